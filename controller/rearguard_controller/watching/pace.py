"""How long polls really last, and how far apart the looks at each target are.

Here: the measure, and the readiness check that is told before trust suffers. A poll of many targets may last longer
than `poll_interval`; a target whose `current` is slow is looked at less often than it is polled.
"""

from __future__ import annotations

from collections.abc import Callable

from rearguard_controller.judgement.already_firing import LONGEST_UNSEEN
from rearguard_controller.model import Check
from rearguard_controller.model.checks import POLL
from rearguard_controller.model.observations import GAPS_ALLOWED
from rearguard_controller.wording import span

LONGEST_APART = LONGEST_UNSEEN / GAPS_ALLOWED  # seconds between two looks from which on a target is not ready


class Pace:
    """Measures with a clock that never jumps."""

    def __init__(self, steady: Callable[[], float], poll_interval: float) -> None:
        """Nothing was polled yet; `poll_interval` is how often it should be, in seconds."""
        self._steady = steady
        self._poll_interval = poll_interval
        self._began: float | None = None  # the poll that runs
        self._lasted = 0.0  # the poll that ended last
        self._looked: dict[str, float] = {}  # target -> when the last look at it began
        self._every: dict[str, float] = {}  # target -> seconds between its last two looks
        self._every_before: dict[str, float] = {}  # target -> seconds between the two looks before
        self._planned: dict[str, float] = {}  # target -> seconds that will lie between the last look and the next one

    def begin(self) -> None:
        """A poll begins."""
        self._began = self._steady()

    def end(self) -> None:
        """It ended."""
        if self._began is not None:
            self._lasted, self._began = self._steady() - self._began, None

    def seconds(self) -> float:
        """How long the last poll lasted; the one that runs counts as soon as it has lasted longer."""
        return self._lasted if self._began is None else max(self._lasted, self._steady() - self._began)

    def look(self, target_name: str) -> None:
        """A look at a target begins."""
        now = self._steady()
        before = self._looked.get(target_name)
        self._every_before[target_name] = self.every(target_name)
        self._every[target_name] = self._poll_interval if before is None else max(self._poll_interval, now - before)
        self._looked[target_name] = now

    def plan(self, target_name: str, polls: int) -> None:
        """The next look at a target is to come so many polls after the last one."""
        self._planned[target_name] = polls * max(self._poll_interval, self.seconds())

    def looking_for(self, target_name: str) -> float:
        """Seconds since the last look at a target began; 0 before the first."""
        return self._steady() - self._looked.get(target_name, self._steady())

    def every(self, target_name: str) -> float:
        """Seconds between the last two looks at a target, at least `poll_interval`; or more, if that is planned."""
        return max(self._every.get(target_name, self._poll_interval), self._planned.get(target_name, 0.0))

    def every_before(self, target_name: str) -> float:
        """Seconds between the two looks before the last one: what the last gap is to be measured by.

        No gap may be its own measure: else the looks that a stopped process did not make would count as made.
        """
        return self._every_before.get(target_name, self._poll_interval)

    def check(self, target_name: str) -> Check:
        """Whether a target is looked at often enough to tell whether its service is unbroken."""
        now, before = self._steady(), self._looked.get(target_name)
        apart = max(self.every(target_name), 0.0 if before is None else now - before)
        most = max(self._poll_interval, LONGEST_APART)
        if apart <= most:
            return Check(POLL, True, "The target is looked at often enough.")
        why = "its command `current` is slow"
        if self.seconds() > most / 2:
            why = f"a poll of all targets took {span(self.seconds())}"
        detail = (
            f"The last two looks at the target lie {span(apart)} apart, because {why}. Beyond"
            f" {span(LONGEST_UNSEEN)} no version earns trust. Give the controller more processor time or fewer"
            " targets, and see whether Prometheus answers slowly."
        )
        return Check(POLL, False, detail)
