"""Tells objects in a forked process that they were forked.

A fork copies no threads, and any lock may have been held at that moment. Objects with threads or locks ask to be
told, and replace them before anything else runs in the child.
"""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """An object with threads or locks, which a fork leaves useless."""

    def forget_parent(self) -> None:
        """Called in the forked process: no thread of the parent runs here, and nobody releases its locks."""


_concerned: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_after_fork(thing: Forked) -> None:
    """Call `thing.forget_parent` in each process forked from now on, as long as the thing lives."""
    _concerned.add(thing)


def tell_all() -> None:
    """Tell all that this process was forked, where Python does not know it."""
    for thing in list(_concerned):
        thing.forget_parent()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=tell_all)
