"""What is said of a key.

Here: the record for one key, and the one for the keys of one kind of mapping.
"""

from __future__ import annotations

from dataclasses import dataclass

REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what a user may write, what applies without it, and what it does."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Section:
    """The keys of one kind of mapping, and where in the file it stands."""

    where: str
    keys: tuple[Key, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys' names in the order of the documentation."""
        return tuple(key.name for key in self.keys)
