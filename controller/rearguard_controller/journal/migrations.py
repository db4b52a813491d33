"""The schema's versions: numbered files, applied in order, forward only.

Here: which files there are, and the error for a journal that a newer Rearguard wrote.
Each store applies a file and notes its version in one transaction.
"""

from __future__ import annotations

from importlib import resources

from rearguard_controller.errors import JournalError


def after(store: str, version: int) -> list[tuple[int, str]]:
    """The steps of a store ("sqlite" or "postgres") after `version`: the version that each leads to, and its SQL.

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
