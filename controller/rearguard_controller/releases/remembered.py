"""What the leader remembers of every target from look to look, through reloads: when it was read, and seen unchanged.

Here: whether `current` is to be run, whether a target's record has to be written, and the one note for all targets
that stands for the writes which are not made.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from rearguard_controller.model import ReleaseKind, Target, TargetState
from rearguard_controller.model.watched import MOST_APART, MOST_LEFT_OUT, Watched
from rearguard_controller.releases.looks import Watch
from rearguard_controller.runtime import Lead, Runtime

READ_EVERY = 240.0  # seconds between two readings of a target to which nothing happens; see `_spread`
SPREAD = 0.2  # of that, in both directions: never more than five minutes, and not all targets at once
SEEN_LASTS = 150.0  # seconds after which a target that was not seen again is left out of the note
FIRST_NOTE = 120.0  # seconds of a term after which targets that were never seen hold up the first note no more


@dataclass(slots=True)
class _OfTarget:
    """What is remembered of one target in this term."""

    release: ReleaseKind | None = None  # how it was read
    version: str | None = None  # and what
    read_at: float = 0.0  # by the steady clock
    written: bool = False  # its record carries this term's moments
    seen_at: float | None = None  # until then it was as its record says
    apart: bool = False  # the last look was a close one, and only the note tells of it


class Remembered:
    """Forgets everything when another term begins."""

    def __init__(self, runtime: Runtime) -> None:
        """Nothing was seen yet."""
        self._lead, self._clock, self._steady = runtime.lead, runtime.clock, runtime.steady
        self._targets: dict[str, _OfTarget] = {}
        self._apart: set[str] = set()  # targets with moments of their own in the note
        self._gone: set[str] = set()  # targets that were watched in this term, and are no more
        self._epoch: int | None = None
        self._since = 0.0

    def keep_only(self, targets: Iterable[Target]) -> None:
        """From now on these are watched; what was remembered of others counts no more."""
        gone = self._targets.keys() - {target.name for target in targets}
        self._gone |= gone
        for name in gone:
            del self._targets[name]
            self._apart.discard(name)

    def known(self, target: Target) -> str | None:
        """The version that was read last, if it need not be read again by now."""
        of = self._of(target.name)
        is_due = self._steady() - of.read_at >= READ_EVERY * _spread(target.name)
        return None if is_due or of.release != target.release else of.version

    def was_read(self, target: Target, version: str) -> None:
        """`current` printed this."""
        of = self._of(target.name)
        of.release, of.version, of.read_at = target.release, version, self._steady()

    def is_written(self, target: Target) -> bool:
        """Whether its record was written in this term, so that the note may speak of it."""
        return self._of(target.name).written

    def may_note(self, target: Target, watch: Watch) -> bool:
        """Whether the note may tell of a look in place of the record; it has room for some that were close ones.

        A close look at which no alerts could be read is none that the note tells of.
        """
        of = self._of(target.name)
        has_room = watch.seen is not None and (of.apart or len(self._apart) < MOST_APART)
        return of.written and (has_room or not watch.closely)

    def moved_on(self, state: TargetState) -> TargetState:
        """A target's state as the journal has it, seen until the last look of this term that found it so."""
        of = self._of(state.target)
        return state if not of.written or of.seen_at is None else Watched(self._since, of.seen_at).of(state)

    def saw(self, target: Target, at: float, *, written: bool, closely: bool = False) -> None:
        """A look found the target as its record says, at `at`; `written`: the record carries this moment itself."""
        of = self._of(target.name)
        of.seen_at, of.apart = at, closely and not written
        (self._apart.add if of.apart else self._apart.discard)(target.name)
        of.written = of.written or written
        self._gone.discard(target.name)

    def lost(self, target: Target) -> None:
        """A look could not tell."""
        of = self._of(target.name)
        of.seen_at, of.version, of.apart = None, None, False
        self._apart.discard(target.name)

    async def note(self, targets: Iterable[Target]) -> None:
        """Note until when all of these were seen; not while too many were not.

        Raises:
            JournalError, LeaseLostError: it could not be noted.
        """
        by_lead: dict[Lead, list[str]] = {}
        for target in targets:
            by_lead.setdefault(self._lead.of(target.name), []).append(target.name)
        for lead, names in by_lead.items():
            if lead.epoch is not None:
                await self._note(lead, names)

    async def _note(self, lead: Lead, names: Iterable[str]) -> None:
        now = self._clock()
        moments: dict[str, float] = {}
        left_out = {name for name in self._gone if self._lead.of(name) is lead}
        for name in names:
            of = self._of(name)
            if of.written and of.seen_at is not None and 0 <= now - of.seen_at <= SEEN_LASTS:
                moments[name] = of.seen_at
            else:
                left_out.add(name)
        unwritten = any(not of.written for name, of in self._targets.items() if self._lead.of(name) is lead)
        is_early = now - self._since < FIRST_NOTE and unwritten
        if moments and not is_early and len(left_out) <= MOST_LEFT_OUT:
            apart = {name: moments[name] for name in sorted(self._apart & moments.keys())}
            at = min(moments.values())
            await lead.note_watched(Watched(self._since, at, tuple(sorted(left_out)), apart))

    def _of(self, name: str) -> _OfTarget:
        if self._epoch != self._lead.epoch:
            self._epoch, self._since = self._lead.epoch, self._clock()
            self._targets.clear()
            self._gone.clear()
            self._apart.clear()
        return self._targets.setdefault(name, _OfTarget())


def _spread(target_name: str) -> float:
    """Around 1; the same for a target at every start."""
    return 1 - SPREAD + 2 * SPREAD * zlib.crc32(target_name.encode()) / 2**32
