"""Opening the journal that the configuration names.

Here: which store an address means. PostgreSQL's driver is imported only if the address asks for it.
"""

from __future__ import annotations

from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.journal.store import Journal


async def open_journal(address: str) -> Journal:
    """Open or create the journal at an absolute path (SQLite) or a `postgresql://` URL.

    Raises:
        JournalError: it cannot be used; the hint says what to do.
        ModuleNotFoundError: the driver asyncpg is not installed; the command line says how to install it.
    """
    if not address.startswith("postgresql://"):
        return SqliteJournal.open(address)
    from rearguard_controller.journal.postgres.store import PostgresJournal  # noqa: PLC0415  # an extra

    return await PostgresJournal.open(address)
