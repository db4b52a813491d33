"""The journal: what survives a crash. `store` says what it promises; SQLite or PostgreSQL holds it."""
