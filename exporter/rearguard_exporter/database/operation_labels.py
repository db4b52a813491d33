"""The labels of a database operation: its first word, its kind of failure, its system and its database.

Never here: SQL beyond the first word. No statement, parameter or path leaves this module.
"""

import re
from pathlib import PurePath

from rearguard_exporter.families import OTHER

_WORDS = frozenset(
    {
        "ABORT", "ALTER", "ANALYZE", "BEGIN", "CALL", "CHECKPOINT", "CLOSE", "COMMENT", "COMMIT", "COPY", "CREATE",
        "DEALLOCATE", "DECLARE", "DELETE", "DISCARD", "DROP", "END", "EXECUTE", "EXPLAIN", "FETCH", "GRANT", "INSERT",
        "LISTEN", "LOCK", "MERGE", "MOVE", "NOTIFY", "PRAGMA", "PREPARE", "REFRESH", "REINDEX", "RELEASE", "REPLACE",
        "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW", "START", "TABLE", "TRUNCATE", "UNLISTEN",
        "UPDATE", "USE", "VACUUM", "VALUES", "WITH",
    }
)  # fmt: skip
# The first word behind white space, brackets, semicolons and comments. Each part begins with another character, so
# that no input is tried in more than one way; nobody's statement begins behind 2,000 characters of comments.
_FIRST_WORD = re.compile(r"(?:[\s(;\ufeff]|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*+([A-Za-z]+)")
_LOOK_AT = 2000
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")

# The four words of most statements, all of six letters, as they are mostly written.
_COMMON = {spelled: word for word in ("SELECT", "INSERT", "UPDATE", "DELETE") for spelled in (word, word.lower())}
_COMMON_LENGTH = 6

# OpenTelemetry's `db.system.name` where it differs from SQLAlchemy's name of the dialect.
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db", "cockroachdb": "cockroachdb"}


def operation_name(statement: str) -> str:
    """The first word of a statement if it is a known one, else `_OTHER`."""
    common = _COMMON.get(statement[:_COMMON_LENGTH])
    if common is not None and statement[_COMMON_LENGTH : _COMMON_LENGTH + 1] in {" ", "\n"}:
        return common
    word = first_word(statement).upper()
    return word if word in _WORDS else OTHER


def first_word(statement: str) -> str:
    """The first word of a statement, or of its known beginning; empty if there is none."""
    found = _FIRST_WORD.match(statement[:_LOOK_AT])
    return found.group(1) if found else ""


def error_type(failure: BaseException | None) -> str:
    """The class of the SQLSTATE (its first two characters) if the driver has one, else the exception's class."""
    if failure is None:
        return ""
    for name in ("sqlstate", "pgcode"):
        code = getattr(failure, name, None)
        if isinstance(code, str) and _SQLSTATE.fullmatch(code):
            return code[:2]
    return type(failure).__name__


def system_name(dialect: str) -> str:
    """OpenTelemetry's name of the database system."""
    return _SYSTEMS.get(dialect, dialect)


def namespace(system: str, database: str | None) -> str:
    """The database's name. For SQLite: the file's name without folders, or `:memory:`."""
    if system != "sqlite":
        return database or ""
    if not database or database == ":memory:" or "mode=memory" in database:
        return ":memory:"
    return PurePath(database.removeprefix("file:").partition("?")[0]).name
