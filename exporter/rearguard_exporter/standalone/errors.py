"""What the operator can mend."""


class ConfigError(Exception):
    """The configuration cannot be used. The message names file, line and key, and shows no address and no secret."""
