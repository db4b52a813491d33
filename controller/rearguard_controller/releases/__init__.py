"""Which version serves, which versions earned trust, and which never may come back."""
