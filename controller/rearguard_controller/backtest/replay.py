"""Walks through the past as a controller would have seen it, and judges every alert on the way. Pure.

Here: the moments at which something changes, in order, over all targets. Versions come, go and earn trust; alerts
fire and are judged by `policy.decide`; a rollback that would have been begun changes what is known from then on.

Such a rollback counts as one that helped at once: its version is marked bad, cooldown and budget count from it, and
the target stays armed. There is one exception. If people really went back to its destination and the alert fired on,
it did not help: no mark stays, and the target is disarmed.

In history the version that would have been left serves on. Until another version serves, its alerts are answered by
`not_already_handled`, they make no storm, and its figure does not date the fault of the next release. What depends on
it shows its fault for as long, so it stays a sick dependency.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import IntEnum, unique

from rearguard_controller.adapters.prometheus import PrometheusAlert
from rearguard_controller.backtest import counted, dependencies
from rearguard_controller.backtest.curves import Curves, alike, condition_of
from rearguard_controller.backtest.facts_then import Life, facts_of, not_measured, with_figures
from rearguard_controller.backtest.nouns import Change, Presence, Record, Replayed, Stretch, World, curve_key
from rearguard_controller.backtest.outcome import helped
from rearguard_controller.backtest.serving import changes
from rearguard_controller.backtest.whose import owners_of, troubled_by
from rearguard_controller.facts.alert_facts import NO_CONDITION
from rearguard_controller.facts.counting import is_of_errors
from rearguard_controller.facts.measurements import BEFORE_RELEASE, NO_RELEASE
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.judgement import policy
from rearguard_controller.judgement.already_firing import LONGEST_UNSEEN
from rearguard_controller.model import (
    Alert,
    AlertsSeen,
    AlertState,
    Condition,
    Decision,
    Facts,
    PendingAlert,
    Target,
    TargetFacts,
    TargetState,
    Trust,
    Verdict,
    is_subset,
)
from rearguard_controller.model.identity import key_of
from rearguard_controller.releases.past import as_seen
from rearguard_controller.releases.trust import (
    concerns,
    earns,
    recently_released,
    seen,
    serves,
    stands,
    tended,
    trusted,
    with_alerts,
)

MOST_LOOKS = 480  # judgements of one alert in a watch window
NO_RECENT = "it was not looked up, as there was no recent release"
_SOON = 0.001  # seconds after which a span of time is over for certain, whatever the rounding


@unique
class _Kind(IntEnum):
    """What happens at a moment, in the order in which it counts when several happen at once."""

    CHANGED = 0  # another version serves
    CAME = 1  # a version is scraped
    ACTIVE = 2  # an alert is pending or firing
    FIRES = 3
    TEND = 4  # a version may have earned trust
    JUDGE = 5
    QUIET = 6  # an alert stops firing: ends come after judgements, as a stretch includes its last moment
    INACTIVE = 7
    WENT = 8


def replay(world: World, name: str = "") -> Replayed:
    """Judge every trigger alert of the past; `name` begins each id, where several worlds are judged.

    Returns:
        Each judgement once for as long as its answers stay the same, as the journal would hold it.
    """
    return _Walk(world, name).run()


class _Walk:
    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._now = world.start
        self._lives = {each.name: Life(each, TargetState(each.name)) for each in world.targets}
        self._trouble = Trouble(lambda: self._now)
        self._trouble.use(world.targets, world.storm)
        self._owners = [owners_of(self._lives.values(), each.labels) for each in world.alerts]
        self._troubles = troubled_by(world)
        self._firing_of: Counter[str] = Counter()  # targets in trouble, with how many alerts
        self._firing: set[int] = set()
        self._fires: dict[int, Stretch] = {}
        self._judging: dict[int, float] = {}
        self._agenda: list[tuple[float, _Kind, int, object]] = []
        self._numbers = 0
        self._conditions: dict[tuple[str, int], Condition | None] = {}
        self._curves_of = {key: Curves(curves) for key, curves in world.curves.items()}
        self._records: list[Record] = []
        self._recorded: dict[tuple[str, str, str | None], tuple[int, object]] = {}
        self._unmatched: Counter[str] = Counter()

    def run(self) -> Replayed:
        for life in self._lives.values():
            presence = self._world.presence.get(life.target.name, ())
            life.changes = changes(presence, self._world.look_every)
            for change in life.changes:
                self._at(change.at, _Kind.CHANGED, (life, change))
            for each in presence:
                self._at(each.start, _Kind.CAME, (life, each))
                self._at(each.end, _Kind.WENT, (life, each))
        for number, history in enumerate(self._world.alerts):
            for active in history.active:
                self._at(active.start, _Kind.ACTIVE, number)
                self._at(active.end, _Kind.INACTIVE, number)
            for firing in history.firing:
                self._at(firing.start, _Kind.FIRES, (number, firing))
                self._at(firing.end, _Kind.QUIET, number)
        steps: dict[_Kind, Callable[..., None]] = {
            _Kind.CHANGED: lambda what: self._changed(*what),
            _Kind.CAME: lambda what: self._came(*what),
            _Kind.WENT: lambda what: self._went(*what),
            _Kind.ACTIVE: lambda number: self._stain(number, on=True),
            _Kind.INACTIVE: lambda number: self._stain(number, on=False),
            _Kind.TEND: self._tend,
            _Kind.FIRES: lambda what: self._fire(*what),
            _Kind.JUDGE: self._look,
            _Kind.QUIET: self._quiet,
        }
        while self._agenda:
            self._now, kind, _, what = heapq.heappop(self._agenda)
            steps[kind](what)
        return Replayed(tuple(self._records), dict(self._unmatched))

    def _at(self, moment: float, kind: _Kind, what: object) -> None:
        self._numbers += 1
        heapq.heappush(self._agenda, (moment, kind, self._numbers, what))

    # --- versions ---------------------------------------------------------------------------------------------

    def _changed(self, life: Life, change: Change) -> None:
        name, version, before = life.target.name, change.version, life.serving
        life.releases[version] = seen(life.releases.get(version), name, version, change.at)
        if life.releases[version].service_version is None:
            life.releases[version] = replace(life.releases[version], service_version=version)
        after = change.changed_after
        if before is None:  # found on day one: adopted
            life.releases[version] = replace(life.releases[version], known_good_at=change.at)
        else:
            left = change.at if after is None else after
            life.releases[before] = replace(life.releases[before], last_seen=left)
            life.last_served[before] = (left - BEFORE_RELEASE, left)
        state = with_alerts(replace(life.state, looked_at=after), self._snapshot(life, change))
        if life.returned_to not in (None, version):
            state = replace(state, serving_version=life.returned_to)
        life.state = serves(state, version, change.at, trusted=life.releases[version].known_good_at is not None)
        life.returned_to = None
        self._tend(life)
        for number in sorted(self._firing):
            if life in self._owners[number]:
                self._plan_look(number, change.at)

    def _snapshot(self, life: Life, change: Change) -> AlertsSeen | None:
        """What was pending or firing when the version before a change was last seen; None for the first version.

        Nothing, if that version would have been rolled back by then: its alerts would have ended with it.
        """
        serving, after = life.serving, change.changed_after
        if serving is None or after is None:
            return None
        left = life.releases[serving].bad_at is not None
        alerts = () if left else as_seen(self._active(life, after))
        return AlertsSeen(max(after, change.at - LONGEST_UNSEEN), alerts)

    def _active(self, life: Life, at: float) -> Iterator[PrometheusAlert]:
        """The alerts of a target that were pending or firing at a moment, or one look before it."""
        for history, owners in zip(self._world.alerts, self._owners, strict=True):
            if life not in owners:
                continue
            since = self._since(history.active, at)
            for state, stretches in ((AlertState.PENDING, history.active), (AlertState.FIRING, history.firing)):
                if self._since(stretches, at) is not None:
                    yield PrometheusAlert(history.labels, {}, state, since, None)

    def _since(self, stretches: Iterable[Stretch], at: float) -> float | None:
        """When the stretch began in which a moment lies, or which ended one look before it; None if there is none."""
        look_every = self._world.look_every
        return next((each.start for each in stretches if each.start <= at <= each.end + look_every), None)

    def _came(self, life: Life, presence: Presence) -> None:
        life.present[presence.version] += 1
        self._tend(life)

    def _went(self, life: Life, presence: Presence) -> None:
        life.present[presence.version] -= 1
        self._tend(life)

    def _stain(self, number: int, *, on: bool) -> None:
        for life in self._owners[number]:
            if is_subset(life.target.policy.alerts, self._world.alerts[number].labels):
                (life.stains.add if on else life.stains.discard)(number)
                self._tend(life)

    def _tend(self, life: Life) -> None:
        """Whether the serving version is on its way to trust, or has earned it."""
        version, now = life.serving, self._now
        if version is None:
            return
        clean = life.present[version] > 0 and not self._is_denied(life, version)
        before, policy = life.state.clean_since, life.target.policy
        life.state = tended(life.state, now, clean=clean, most_gap=math.inf, has_figure=False)
        if life.state.clean_since is not None:
            life.state = replace(life.state, figure_at=self._measured(life, version, life.state.clean_since))
        if life.state.clean_since is not None and life.state.clean_since != before:
            self._at(now + policy.known_good_after + _SOON, _Kind.TEND, life)
        if earns(life.releases[version], life.state, now, policy):
            life.releases[version] = trusted(life.releases[version], now)

    def _is_denied(self, life: Life, version: str) -> bool:
        """Whether a trigger alert keeps the serving version from earning trust."""
        known = TargetFacts(version, state=life.state, releases=tuple(life.releases.values()))
        began: dict[str, float | None] = {}
        for number in life.stains:
            history = self._world.alerts[number]
            if concerns(history.labels, version):
                name, since = history.labels.get("alertname", ""), self._since(history.active, self._now)
                began[name] = min((at for at in (began.get(name), since) if at is not None), default=None)
        window = life.target.policy.watch_window
        return not all(stands(name, known, since, self._now, window) for name, since in began.items())

    def _measured(self, life: Life, version: str, since: float) -> float | None:
        """When something was measured of a version, since a moment; None if it was not up to now.

        Then it is looked again as soon as something was.
        """
        if self._world.measured is None or life.target.policy.trust is Trust.BY_UP:
            return self._now
        of = self._world.measured.get(life.target.name, {})
        found = [
            moments[index]
            for moments in (of.get("", ()), of.get(version, ()))
            if (index := bisect_left(moments, since)) < len(moments)
        ]
        first = min(found, default=math.inf)
        if self._now < first < math.inf:
            self._at(first, _Kind.TEND, life)
        return first if first <= self._now else None

    # --- alerts -----------------------------------------------------------------------------------------------

    def _fire(self, number: int, firing: Stretch) -> None:
        self._firing.add(number)
        self._firing_of.update(self._troubles[number])
        self._fires[number] = firing
        self._plan_look(number, self._now)

    def _quiet(self, number: int) -> None:
        self._see_trouble()
        self._firing.discard(number)
        self._firing_of.subtract(self._troubles[number])

    def _plan_look(self, number: int, at: float) -> None:
        if at <= self._fires[number].end:
            self._judging[number] = at
            self._at(at, _Kind.JUDGE, number)

    def _look(self, number: int) -> None:
        """Judge an alert that fires, and plan to do so again for as long as the answer may change."""
        if number not in self._firing or self._judging.get(number) != self._now:
            return
        life = self._judge(number)
        if life is None or life.is_handled:
            return
        window = life.target.policy.watch_window
        if recently_released(life.state, self._now, window):
            self._plan_look(number, self._now + max(self._world.look_every, window / MOST_LOOKS))

    def _judge(self, number: int) -> Life | None:
        """The target that the alert was judged for; None when it is not exactly one."""
        labels = self._world.alerts[number].labels
        owners = self._owners[number]
        alert = Alert(labels.get("alertname", ""), labels, starts_at=self._fires[number].start, source="history")
        if not owners:
            self._unmatched[alert.name] += 1
            return None
        if not any(is_subset(life.target.policy.alerts, labels) for life in owners):
            return None
        life = owners[0] if len(owners) == 1 else self._only_recent(owners)
        if life is None:
            targets = [owner.target for owner in owners]
            self._record(policy.decide_unclear(self._number(), alert, targets, self._now), life)
            return None
        alert = self._with_annotations(alert, life.target, number)
        facts = self._facts(life, number)
        self._record(policy.decide(self._number(), alert, life.target, facts), life)
        return life

    def _only_recent(self, owners: Sequence[Life]) -> Life | None:
        recent = [
            life for life in owners if recently_released(life.state, self._now, life.target.policy.watch_window)
        ]
        return recent[0] if len(recent) == 1 else None

    def _with_annotations(self, alert: Alert, target: Target, number: int) -> Alert:
        condition = self._condition(target, number)
        if condition is None:
            return alert
        return replace(alert, annotations={"figure": condition.figure, "threshold": condition.threshold})

    def _number(self) -> str:
        return f"{self._name}b{len(self._records) + 1}"

    def _record(self, decision: Decision, life: Life | None) -> None:
        subject = (key_of(decision.alert) if decision.alert else "", decision.target, decision.from_version)
        answers = tuple((reason.code, reason.holds) for reason in decision.reasons)
        place, before = self._recorded.get(subject, (-1, None))
        if before == answers and decision.would is Verdict.LEAVE:
            known, alert = self._records[place], decision.alert
            begins = alert is not None and alert.starts_at == self._now
            self._records[place] = replace(known, last_at=self._now, times=known.times + begins)
            return
        self._recorded[subject] = len(self._records), answers
        begins = decision.would is not Verdict.LEAVE
        result = self._roll_back(life, decision) if begins and life is not None else None
        self._records.append(Record(decision, self._now, helped=result))

    def _roll_back(self, life: Life, decision: Decision) -> bool | None:
        """Change what is known as if this rollback had begun; returns whether it helped, None if nobody knows."""
        version, name = decision.from_version or "", decision.alert.name if decision.alert else ""
        following = next((change for change in life.changes if change.at > self._now), None)
        own = (history for history, owners in zip(self._world.alerts, self._owners, strict=True) if life in owners)
        known = helped(life.target, name, decision.to_version, following, own)
        life.handled[version] = decision.id
        life.actions.append(self._now)
        life.returned_to = decision.to_version
        if known is False:
            why = f"{decision.id} did not help: the alert fired on when people had gone back"
            life.state = replace(life.state, armed=False, armed_reason=why, armed_changed_at=self._now)
        else:
            life.releases[version] = replace(life.releases[version], suspect_at=self._now, bad_at=self._now)
        return known

    def _facts(self, life: Life, number: int) -> Facts:
        self._see_trouble()
        facts = facts_of(life, self._now, self._world, +self._firing_of, self._trouble.recent())
        facts = dependencies.beside(facts, self._world, life.target, self._pending(life.target))
        counts = self._world.counts.get((life.target.name, life.state.serving_since or 0.0))
        if self._world.alerts[number].by_counts:
            return counted.with_counts(facts, life.target, counts)
        condition = self._condition(life.target, number)
        if condition is None:
            return not_measured(facts, NO_CONDITION)
        if not recently_released(life.state, self._now, life.target.policy.watch_window):
            return not_measured(facts, NO_RECENT, NO_RELEASE)
        key = curve_key(life.target, condition)
        presence = self._world.presence.get(life.target.name, ())
        own, others = self._curves_of.get(key, Curves(())), alike(key, self._curves_of)
        return counted.beside_figures(with_figures(facts, life, own, presence, others), condition, counts)

    def _pending(self, target: Target) -> dict[str, tuple[PendingAlert, ...]]:
        """The trigger alerts that pend now of each target that this one depends on."""
        found: dict[str, tuple[PendingAlert, ...]] = {}
        for its in target.independent_dependencies({name: life.target for name, life in self._lives.items()}):
            for number in sorted(self._lives[its.name].stains - self._firing):
                history, condition = self._world.alerts[number], self._condition(its, number)
                since = self._since(history.active, self._now)
                if self._troubles[number] == {its.name} and since is not None:
                    of_errors = condition is not None and is_of_errors(condition)
                    one = PendingAlert(history.labels.get("alertname", ""), since, of_errors)
                    found[its.name] = (*found.get(its.name, ()), one)
        return found

    def _condition(self, target: Target, number: int) -> Condition | None:
        key = (target.name, number)
        if key not in self._conditions:
            self._conditions[key] = condition_of(self._world.alerts[number], self._world.rules, target)
        return self._conditions[key]

    def _see_trouble(self) -> None:
        """Note which targets are in trouble now, without those whose version would have been left."""
        for name in sorted(+self._firing_of):
            if not self._lives[name].is_handled:
                self._trouble.saw(name)
