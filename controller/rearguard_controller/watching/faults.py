"""Faults of ours while we look: each kind is logged once, so that a fault at every poll does not fill the log."""

from __future__ import annotations

import traceback

import structlog

log = structlog.get_logger(__name__)

MOST_KINDS = 100  # that are remembered; further ones are not logged


class Faults:
    """Logs faults, each kind once: what failed, the error's type, and the line that raised it."""

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self._known: set[tuple[str, str, str]] = set()

    def note(self, event: str, error: BaseException, **about: object) -> None:
        """Log a fault with its traceback, unless one of its kind was logged before; `about` says what it is about."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = event, type(error).__name__, place
        if kind in self._known or len(self._known) >= MOST_KINDS:
            return
        self._known.add(kind)
        log.error(event, exc_info=error, **about)
