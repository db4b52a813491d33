"""What a forked process must forget: threads stay with the parent, which may have held any lock at that moment.

Here: telling those that asked, in the child, before anything else runs there.
Never here: what each of them forgets.
"""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something that a fork copies without what it needs."""

    def forget_parent(self) -> None:
        """This is another process now: no thread of the parent runs here, and no lock of it is ever released."""


_concerned: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_after_fork(thing: Forked) -> None:
    """Have `thing.forget_parent` called in each process forked from now on, for as long as the thing lives."""
    _concerned.add(thing)


def _tell() -> None:
    for thing in list(_concerned):
        thing.forget_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(after_in_child=_tell)
