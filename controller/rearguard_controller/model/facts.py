"""Everything that a judgement may know of the world, as three records: of the target, of the alert, and measured.

Here: the records. Each brings the evidence that it rests on, so that a new question adds its field to one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rearguard_controller.model.codes import AlertState
from rearguard_controller.model.counts import Counts
from rearguard_controller.model.decisions import Evidence, Rollback
from rearguard_controller.model.labels import Labels
from rearguard_controller.model.observations import Measurement, Release, SharedFault, Silencing, TargetState
from rearguard_controller.model.ownership import Ownership, Room
from rearguard_controller.model.targets import StormLimit, Target


class PendingAlert(NamedTuple):
    """A trigger alert that pends.

    Attributes:
        name: of the alert.
        since: when its expression became true, in seconds since the epoch.
        of_errors: whether it is about a share of failed requests.
    """

    name: str
    since: float
    of_errors: bool


@dataclass(frozen=True, slots=True)
class Companion:
    """A target that its policy ties to the one that is judged, and what is known of it."""

    target: Target
    known: TargetFacts


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is known of a target, and of the other targets, whichever alert is judged.

    Attributes:
        serving_version: None when it is not known; `serving_detail` then says why.
        releases: every version that is remembered.
        activatable: the versions that the target lists; None when it cannot list them.
        checked: versions that the target's own check was asked about, each with why it cannot be activated, or "".
        open_rollback: the id of the rollback that is under way.
        handled_by: the automatic rollback that already went away from the serving version.
        ended_waits: rollbacks that were never begun: the newest that was vetoed, that expired, that was not needed.
        last_action_at: when the last rollback of the target was begun.
        actions_in_budget: automatic rollbacks within the period of the budget.
        budget_frees_at: when one more is allowed; None while some are left.
        sick_dependencies: targets that this one depends on, each with what is wrong with it.
        pending_dependencies: targets that this one depends on, each with its trigger alerts that pend.
        counted_dependencies: what those were asked and failed, all versions of each together, around the release of
            this one; only where it was counted.
        dependencies_detail: why it is not known which of them are sick; empty when it is known.
        ownership: who else changes the workload; None where that is not asked.
        room: whether the version that would be gone back to finds room; None as long as that was not asked.
        troubled: targets that had trigger alerts within `storm.within` seconds.
        companions: the other targets that go back together with this one, in the order of the policy.
        spared: why neither its commands nor its figures were asked, in a storm; else empty. What serves is then what
            the journal knows.
    """

    serving_version: str | None = None
    serving_detail: str = ""
    state: TargetState | None = None
    releases: tuple[Release, ...] = ()
    activatable: frozenset[str] | None = None
    checked: Labels = field(default_factory=dict)
    open_rollback: str | None = None
    handled_by: str | None = None
    ended_waits: tuple[Rollback, ...] = ()
    last_action_at: float | None = None
    actions_in_budget: int = 0
    budget_frees_at: float | None = None
    sick_dependencies: Labels = field(default_factory=dict)
    pending_dependencies: Mapping[str, tuple[PendingAlert, ...]] = field(default_factory=dict)
    counted_dependencies: Mapping[str, Counts] = field(default_factory=dict)
    dependencies_detail: str = ""
    ownership: Ownership | None = None
    room: Room | None = None
    troubled: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()
    storm: StormLimit = field(default_factory=StormLimit)
    spared: str = ""
    evidence: tuple[Evidence, ...] = ()

    def release(self, version: str | None) -> Release | None:
        """What is remembered of a version, if anything."""
        return next((release for release in self.releases if release.version == version), None)

    @property
    def serving(self) -> Release | None:
        """What is remembered of the version that serves, if anything."""
        return self.release(self.serving_version)


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What Prometheus and Alertmanager say of the alert that is judged.

    Attributes:
        state: by Prometheus' own list.
        detail: why the state is not known, why Prometheus does not confirm it, or why nothing can be measured.
        silencing: by Alertmanager; None when none is configured.
        is_foreign: Prometheus has the alert, but its labels there are not of the target: only the delivered ones are.
    """

    state: AlertState = AlertState.UNKNOWN
    detail: str = ""
    silencing: Silencing | None = None
    is_foreign: bool = False
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """What the figure of the alert's condition says; each `..._detail` says why a value is not known.

    Attributes:
        now: the figure of the serving version against its threshold.
        since: when the present episode of the condition began, in seconds since the epoch.
        since_own: the service_versions that alone showed a condition that began before the release; else empty.
        before: the figure of the version before. `before_detail` then begins the sentence that tells it.
        shared: what an older version showed beside the release; None if nothing was seen.
        counts: the requests and failures of the release and of the version before; None also where the condition is
            not about a share of failed requests, and then `counts_detail` is empty.
        by_evidence: the condition itself is evidence, so without counts nothing speaks for it.
    """

    now: Measurement | None = None
    now_detail: str = ""
    since: float | None = None
    since_detail: str = ""
    since_own: tuple[str, ...] = ()
    before: Measurement | None = None
    before_detail: str = ""
    shared: SharedFault | None = None
    shared_detail: str = ""
    counts: Counts | None = None
    counts_detail: str = ""
    by_evidence: bool = False
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that `judgement.policy` may know, gathered before it is called; `now` in seconds since the epoch."""

    now: float
    target: TargetFacts = field(default_factory=TargetFacts)
    alert: AlertFacts = field(default_factory=AlertFacts)
    measured: Measured = field(default_factory=Measured)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All that was read for these facts, and what it said."""
        return (*self.target.evidence, *self.alert.evidence, *self.measured.evidence)
