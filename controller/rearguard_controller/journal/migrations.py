"""The schema's versions: numbered files, applied in order, forward only.

Here: which files there are, and what is said to a journal that a newer Rearguard wrote.
Never here: connections. Each store applies a file and its version in one transaction.
"""

from __future__ import annotations

from importlib import resources

from rearguard_controller.errors import JournalError


def after(store: str, version: int) -> list[tuple[int, str]]:
    """The steps of a store ("sqlite", "postgres") that lead on from `version`: the version each leads to, its SQL.

    Raises:
        JournalError: the version is newer than every step known here.
    """
    files = resources.files(__package__).joinpath("schema", store).iterdir()
    named = {int(file.name.removesuffix(".sql")): file for file in files if file.name.endswith(".sql")}
    newest = max(named)
    if version > newest:
        raise JournalError(
            f"The journal has schema {version}; this controller knows {newest}.",
            hint="A newer Rearguard wrote it: start that version, or restore the journal saved before the upgrade.",
        )
    return [(number, named[number].read_text(encoding="utf-8")) for number in sorted(named) if number > version]
