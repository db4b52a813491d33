"""A world (decision_world.py) whose Prometheus has any rules, and raises their alerts as Prometheus does.

Here: rules with series, and the documents that follow from them: alerts, rules with their own alerts, and what the
expression of a rule returns, now and over time.
Never here: what is right.
"""

import re
from dataclasses import dataclass, field

from real.controller.decision_scene import Scene
from real.controller.decision_world import ANNOTATIONS, FIGURE, LIMIT, POLL, World, WorldPrometheus
from rearguard_controller.facts.concern import Concern
from rearguard_controller.model import Labels
from rearguard_controller.wording import moment
from unit.controller import factories as make


@dataclass
class Rule:
    """An alerting rule. `series` are those that its expression returns while it holds."""

    name: str
    series: list[Labels]
    labels: Labels = field(default_factory=lambda: {"action": "rollback"})
    annotations: Labels = field(default_factory=dict)
    query: str = ""
    holds: bool = False
    ends_with: str | None = None  # the version that shows it; None: it lasts whatever serves
    since: float = 0.0

    def __post_init__(self):
        self.query = self.query or f"expression_of_{self.name} > 0"

    def alerts(self) -> list[Labels]:
        """The labels of its alerts, as Prometheus makes them: an empty one is none, templates are filled."""
        found = []
        for series in self.series:
            filled = {
                name: re.sub(r"\{\{ *\$labels\.(\w+) *\}\}", lambda at, of=series: of.get(at[1], ""), text)
                for name, text in self.labels.items()
            }
            worn = {**series, **filled, "alertname": self.name}
            found.append({name: value for name, value in worn.items() if value})
        return found


@dataclass
class AlertWorld(World):
    """A world with rules of its own; the target's figure never fails unless a version is bad."""

    rules: list[Rule] = field(default_factory=list)
    lists_alerts: bool = True  # whether the rules of Prometheus' answer hold their alerts
    rule_labels: Labels = field(default_factory=dict)  # that a querier adds to rules
    concern: Concern | None = None
    source_up: bool = True  # the job of the series of rules is scraped

    def __post_init__(self):
        super().__post_init__()
        self.prometheus = AlertPrometheus(self)

    def begin(self, *rules: Rule) -> None:
        for each in rules or self.rules:
            each.holds, each.since = True, self.now

    def settle(self) -> None:
        super().settle()
        for each in self.rules:
            each.holds = each.holds and each.ends_with in (None, self.serving)


class AlertPrometheus(WorldPrometheus):
    """The documents that follow from the rules of the world."""

    def _data(self, what, sent):
        match what:
            case "alerts":
                return {"alerts": [each for rule in self._world.rules for each in self._of(rule)]}
            case "rules":
                return {"groups": [{"name": "g", "interval": POLL, "rules": [*map(self._rule, self._world.rules)]}]}
        return super()._data(what, sent)

    def _of(self, rule):
        if not rule.holds:
            return []
        common = {"annotations": rule.annotations, "state": "firing", "activeAt": moment(rule.since), "value": "1"}
        wanted = self._world.concern.of_reading()  # as the product reads its lists
        return [{"labels": labels, **common} for labels in rule.alerts() if wanted(labels)]

    def _rule(self, rule):
        shown = {
            "type": "alerting", "name": rule.name, "query": rule.query, "duration": 0, "health": "ok",
            "labels": {**rule.labels, **self._world.rule_labels}, "annotations": rule.annotations,
        }  # fmt: skip
        return {**shown, "alerts": self._of(rule)} if self._world.lists_alerts else shown

    def _now(self, query, at):
        rule = next((each for each in self._world.rules if each.query == query), None)
        if rule is not None:
            series = rule.series if rule.holds and self._world.source_up else []
            return [{"metric": each, "value": [self._world.now, "1"]} for each in series]
        if query.startswith("up{job="):
            return [{"metric": {"job": "ksm"}, "value": [self._world.now, str(int(self._world.source_up))]}]
        if at is not None and query.startswith("group by (job) (expression_of_"):
            return [{"metric": {"job": "ksm"}, "value": [at, "1"]}]
        if query.startswith("max by (job) (up{job=~"):
            up = at is not None or self._world.source_up
            return [{"metric": {"job": "ksm"}, "value": [self._world.now, str(int(up))]}]
        return super()._now(query, at)

    def _then(self, query, start, end, step):
        rule = next((each for each in self._world.rules if each.query == query), None)
        if rule is None:
            return super()._then(query, start, end, step)
        moments = [start + step * number for number in range(int((end - start) // step) + 1)]
        points = [[at, "1"] for at in moments if rule.holds and at >= rule.since]
        return [{"metric": each, "values": points} for each in rule.series if points]


class AlertScene(Scene):
    """v1 has earned trust and v2 has just come, in a world with any rules."""

    def __init__(self, path, *rules, match=(make.MATCH,), **more):
        """Prometheus has these rules, beside that of the target's own figure, by which trust is earned."""
        super().__init__(path, match=match, world=AlertWorld(rules=[own_rule(), *rules], **more))
        self.world.concern = Concern(self.controller.targets)

    def release(self):
        for _ in range(6):
            self.controller.run_for(POLL)
            self.controller.poll()
        self.world.turn_to("v2")
        self.controller.run_for(POLL)
        self.controller.poll()
        self.controller.run_for(POLL)
        return self


def own_rule():
    """The rule of the target's own figure, which has a value for every version."""
    return Rule("ReleaseErrorRate", [make.MATCH], annotations=ANNOTATIONS, query=f"{FIGURE} > {LIMIT}")
