"""What was seen: alerts, versions, figures, and what is remembered of a target."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rearguard_controller.model.codes import AlertState, Outcome
from rearguard_controller.model.labels import Labels

OF_CLUSTER = "kubernetes"  # source of an alert that the cluster itself tells of
CLUSTER = "kubernetes:"  # before the figure of a condition that the cluster measures, not Prometheus
EXISTS = "exists"  # instead of an operator: the condition holds while its expression returns anything
EPISODE_GAP = 60.0  # seconds without the condition that end an episode of a fault
LONGEST_SCRAPE = 15.0  # seconds between scrapes that the shipped rules are made for
SCORE_COUNTS = ("agreed", "only_we", "only_people")  # the counts of a `Score`
FRESH_ATTEMPTS = 2  # automatic rollbacks away from one version that follow interrupted ones by themselves
DIGEST_SHOWN = len("@sha256:") + 12  # characters of a digest that a sentence repeats
ERRORS = re.compile(r":http_error_(?:ratio|evidence):")  # in a figure: it measures which share of requests failed
ERROR_EVIDENCE = re.compile(r":http_error_evidence:")  # in a figure: it is evidence made of such shares
SLOWNESS = re.compile(r":http_(?:mean_seconds|slow_evidence):")  # in a figure: it measures how slow answers are
RECORDED = re.compile(r"[A-Za-z_]\w*:[\w:]+")  # the name of a recorded series
GAPS_ALLOWED = 3  # missed polls before unbroken service counts as broken


@dataclass(frozen=True, slots=True)
class Alert:
    """A claim that something is wrong. `fingerprint` and `starts_at` are evidence, never identity."""

    name: str
    labels: Labels  # with `alertname`
    annotations: Labels = field(default_factory=dict)
    firing: bool = True
    starts_at: float | None = None
    fingerprint: str = ""
    source: str = "webhook"  # webhook | prometheus | kubernetes
    prometheus: str | None = None  # of several the one that has it, see `Target.prometheus`; None: not known


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """An accepted alert that waits to be judged."""

    id: int
    alert: Alert
    received_at: float


@dataclass(frozen=True, slots=True)
class SharedFault:
    """A fault that an older version showed beside a release, so that the release is not to blame for it.

    It is followed by figure and threshold. Alerts about the same fault by other figures are told by `same_fault`.
    """

    alert: str  # the name of one of them
    figure: str
    threshold: str
    version: str  # the older version's service_version
    at: float  # when it had lasted for long enough
    own: float | None = None  # what the release showed then
    older: float | None = None  # and the older version
    limit: float | None = None  # and what the threshold was
    well_at: float | None = None  # when both were first seen without it, side by side
    ended_at: float | None = None  # when the release alone showed it after that, for long enough: it counts no more


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a target and what is remembered of it. `version` is an identity, never a word like "previous"."""

    target: str
    version: str
    first_seen: float
    last_seen: float
    served_at: float | None = None  # when it was first seen serving; None while it is only announced
    service_version: str | None = None  # the label that Prometheus shows while it serves
    known_good_at: float | None = None
    suspect_at: float | None = None  # a rollback away from it has started
    bad_at: float | None = None  # a rollback away from it helped
    barrier: bool = False  # never go back past it automatically
    shared_faults: tuple[SharedFault, ...] = ()  # that older versions showed beside it, one for each figure
    interrupted: int = 0  # automatic rollbacks away from it that ended as `interrupted`
    interrupted_at: float | None = None  # when the last of them closed
    description: str = ""  # how people know it, where its identity does not say so: revision and images of a workload
    ran: tuple[str, ...] = ()  # its images that are named by tags, with the digests as its pods ran first
    runs: tuple[str, ...] = ()  # the same as they were seen last; several of one image while its pods differ

    def shared(self, condition: Condition) -> SharedFault | None:
        """What is remembered of a condition's fault: that an older version showed it beside this one."""
        key = (condition.figure, condition.threshold)
        return next((each for each in self.shared_faults if (each.figure, each.threshold) == key), None)

    def cleared_of(self, condition: Condition) -> SharedFault | None:
        """What clears it of a condition's fault: seen by this figure, or by another one of the same fault.

        What ended by this figure counts no more, so another one must have been seen later.
        """
        exact, of = self.shared(condition), (condition.figure, condition.threshold)
        if exact is not None and exact.ended_at is None:
            return exact
        since = -math.inf if exact is None else exact.ended_at or -math.inf
        alike = (each for each in self.shared_faults if same_fault(of, (each.figure, each.threshold)))
        return next((each for each in alike if each.ended_at is None and each.at > since), None)

    @property
    def known_as(self) -> str:
        """How people know it, with what its pods really ran last."""
        return f"{self.description}, run as {short_digests(self.runs)}" if self.runs else self.description

    @property
    def code_doubt(self) -> str:
        """Why going back to it may bring other code than it was trusted for; empty if its identity says it all."""
        if not self.runs:
            return ""
        if self.ran != self.runs:
            return (
                f"It first ran as {short_digests(self.ran)} and last as {short_digests(self.runs)}: a tag has moved."
            )
        return f"It ran as {short_digests(self.runs)}; whether its tag still means that is not known."

    @property
    def distrusted(self) -> bool:
        """Whether it must not be a destination: a rollback away from it started, and nobody cleared it since."""
        return self.suspect_at is not None or self.bad_at is not None

    @property
    def distrusted_since(self) -> float | None:
        """When it was first marked as suspect or bad; None if it is not marked."""
        return min((at for at in (self.suspect_at, self.bad_at) if at is not None), default=None)


def short_digests(runs: Sequence[str]) -> str:
    """Images with their digests as people read them: `shop:v1@sha256:1a2b3c4d5e6f`."""
    return ", ".join(each[: each.index("@") + DIGEST_SHOWN] if "@" in each else each for each in runs)


@dataclass(frozen=True, slots=True)
class Check:
    """One answered question about whether a target could be rolled back if it had to be."""

    name: str
    holds: bool | None  # None: not known
    detail: str  # a sentence; of a check that does not hold it says what to do


@dataclass(frozen=True, slots=True)
class Drill:
    """A trial of everything that a rollback needs, which changes nothing, and what it found."""

    id: str
    target: str
    at: float  # when it began
    operator: str
    reason: str = ""
    ended_at: float | None = None
    checks: tuple[Check, ...] = ()

    @property
    def ok(self) -> bool | None:
        """True when every check holds, False when one does not, None when it is not known."""
        answers = {check.holds for check in self.checks}
        return False if False in answers else None if not answers or None in answers else True


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert of a target that was pending or firing at some moment, whichever instance it was about."""

    name: str
    state: AlertState
    service_version: str | None = None  # that it named, if any
    since: float | None = None  # how long it is known to have been pending or firing; None: not known


@dataclass(frozen=True, slots=True)
class AlertsSeen:
    """Which alerts of a target were pending or firing at a moment."""

    at: float
    alerts: tuple[SeenAlert, ...] = ()
    between: tuple[SeenAlert, ...] = ()  # seen while the version was not read: before its change or after
    unknown: str = ""  # why they are not known
    asked: bool = False  # true: read from Prometheus' history, which cannot know more later


@dataclass(frozen=True, slots=True)
class Score:
    """What the controller would have done, compared with what people did by hand; each release counts once."""

    agreed: int = 0  # it would have gone back, and people did
    only_we: int = 0  # it would have, and nobody did
    only_people: int = 0  # people did, and it had not said so
    lead: float = 0.0  # seconds by which it was earlier than people, summed over `agreed`
    version: str | None = None  # that it would leave now; people have not decided yet
    said_at: float | None = None  # when it first said so
    settled: str | None = None  # the version that was counted last

    @property
    def mean_lead(self) -> float | None:
        """By how many seconds the controller was earlier than people, on average; None before they agreed once."""
        return self.lead / self.agreed if self.agreed else None


@dataclass(frozen=True, slots=True)
class Left:
    """What was known of a release when another version was read in its place: within minutes it may come back.

    Then both serve, side by side, in one rollout.
    """

    version: str
    at: float  # when the other version was first read
    since: float | None = None
    changed_after: float | None = None
    previous_version: str | None = None
    is_release: bool = False
    alerts_before: AlertsSeen | None = None
    scored: Score | None = None  # the score, once it is clear that the version was left for good
    unscored: Score | None = None  # the score before that was counted; None: it was not


@dataclass(frozen=True, slots=True)
class Alternation:
    """`current` prints two versions in turn: it is asked through a load balancer, and both serve."""

    since: float
    last: float  # when it last printed another version than the one before
    other: str  # the version beside the one that counts as serving


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is remembered of a target between restarts."""

    target: str
    armed: bool = True
    armed_reason: str = ""  # why it was disarmed, or armed again
    armed_changed_at: float | None = None
    disarmed_until: float | None = None
    disarmed_by: Outcome | None = None  # of the rollback that left it disarmed; None: a person did, or it is armed
    serving_version: str | None = None
    serving_since: float | None = None  # when it was first seen serving
    changed_after: float | None = None  # when the version before was last seen: the change came between the two
    looked_at: float | None = None  # when the serving version was last read
    previous_version: str | None = None
    is_release: bool = False  # the serving version arrived as a release, not as a return or on day one
    deploy_started_at: float | None = None  # CI announced a deployment and not yet its end
    clean_since: float | None = None  # unbroken good service, on the way to known good
    clean_checked_at: float | None = None
    figure_at: float | None = None  # when a trigger rule's figure last had a value for the serving version
    alerts: AlertsSeen | None = None  # at the last poll that found the serving version
    alerts_before: AlertsSeen | None = None  # right before the serving version came; None: nobody looked for them
    adopting: bool = False  # it is new here, and Prometheus' history has not been read yet
    told_bad_since: float | None = None  # when the last return of a bad version that people were told of began
    score: Score = Score()  # what it would have done, against what people did
    left: Left | None = None  # the version that was read before, as it stood then
    alternation: Alternation | None = None  # the last time that two versions were read in turn


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a figure, with the labels that tell whose it is."""

    labels: Labels
    value: float
    at: float | None = field(
        default=None, compare=False
    )  # when it was evaluated, as Prometheus says; None: it does not


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be over before a rollback counts as recovered: the trigger's figure and threshold, frozen.

    `labels` of a figure are the map of `match` by which the alert belongs to its target: the figure may wear other
    labels than the instances. `labels` of an alert without a figure are those that it has from the series of its
    rule's expression.
    """

    alert: str
    figure: str
    threshold: str
    selector: Labels  # whose instances: the target's telemetry labels
    settle: float = 0.0  # seconds that the figure looks back: after that it shows nothing from before
    clears: float = 0.0  # seconds that the alert itself may go on firing because of what was before
    comparable: str = ""  # PromQL with a sample of each version that has enough traffic to be compared; "": not told
    labels: Labels | None = None  # whose figure, beside `selector`; None: `selector` alone says it

    @property
    def of_cluster(self) -> bool:
        """Whether Kubernetes tells of it, and not Prometheus."""
        return self.figure.startswith(CLUSTER)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure against its threshold at one moment.

    `past` says whether the value is past the threshold; None means that there is no data, which is neither yes nor
    no. `operator` is one of > >= < <=, or EXISTS for an alert without a figure: then `past` is true while the rule's
    expression returns anything.
    """

    value: float | None
    threshold: float | None
    operator: str
    past: bool | None


@dataclass(frozen=True, slots=True)
class Silencing:
    """What Alertmanager says of an alert, by its list as last read.

    `age` is the age of that list in seconds; None if none was ever read.
    """

    age: float | None
    fault: str = ""  # why it could not be read since
    silence: str = ""  # the silence that holds for the alert and ends last, in words
    until: float | None = None  # when that silence ends; None when it is too new to be known
    inhibited_by: str = ""  # the fingerprint of an alert that inhibits it


def same_fault(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two figures, each with its threshold, are about the same fault.

    So are figures that are compared with the same recorded threshold: they measure the same over different windows.
    So are all shares of failed requests, and the evidence that is made of them; so is all that measures how slow
    answers are. A bare number says nothing.
    """
    if one == other or any(each.search(one[0]) and each.search(other[0]) for each in (ERRORS, SLOWNESS)):
        return True
    return one[1].split() == other[1].split() and RECORDED.search(one[1]) is not None


def last_episode(moments: Iterable[float], gap: float = EPISODE_GAP) -> float:
    """The first moment of the last episode.

    Args:
        moments: at which a condition held, at least one, in any order.
        gap: seconds between two moments that still belong to one episode.
    """
    newest_first = sorted(moments, reverse=True)
    start = newest_first[0]
    for moment in newest_first:
        if start - moment > gap:
            break
        start = moment
    return start


def compare(value: float, operator: str, threshold: float) -> bool:
    """Compare as PromQL does; operators are > >= < <=."""
    match operator:
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
    raise ValueError(f"unknown comparison {operator!r}")


def is_armed(state: TargetState, now: float) -> bool:
    """Whether automatic rollbacks are switched on at `now`: they may be switched off until a moment."""
    return state.armed or (state.disarmed_until is not None and now >= state.disarmed_until)


def is_given_up(state: TargetState | None, release: Release | None) -> bool:
    """Whether no automatic rollback away from a version is tried any more, because too many were interrupted.

    A person who arms the target allows one more attempt each time.
    """
    if release is None or release.interrupted <= FRESH_ATTEMPTS:
        return False
    armed_at = None if state is None or not state.armed else state.armed_changed_at
    return armed_at is None or release.interrupted_at is None or armed_at <= release.interrupted_at


def unreadable(target: str) -> TargetState:
    """What stands for the state of a target whose record is damaged: nothing is judged by it."""
    why = "The journal's record of this target is damaged: no alert of it is judged. Restore the journal from a copy."
    return TargetState(target, armed=False, armed_reason=why)


def is_unreadable(state: TargetState) -> bool:
    """Whether a state stands for one that cannot be read."""
    return not state.armed and state == unreadable(state.target)


def last_known_good(releases: Sequence[Release]) -> Release | None:
    """The trusted version that served most recently, the serving one included."""
    trusted = [each for each in releases if each.known_good_at is not None and not each.distrusted]
    return max(trusted, key=lambda each: (each.last_seen, each.first_seen), default=None)
