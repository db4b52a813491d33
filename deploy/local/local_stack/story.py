"""What happened, in order: events and spans, gathered from what the parts themselves say.

Here: `Story.look` asks every part once and returns what is new. Events carry the time the part gives (an alert's
`activeAt`, a step's `ended_at`), or the time we saw it where a part gives none.
Never here: printing; starting anything; deciding whether the story ended well (`proof`).
"""

import time
from dataclasses import dataclass, field

from local_stack.ask import Asker, Json, seconds
from local_stack.load import Counts

_STEP_WORDS = {
    "roll_back": "rollback",
    "verify_health": "health",
    "verify_recovery": "recovery",
}
_RECORD_LIMIT = 1.0  # seconds
_UNDO_WORDS = {"drain": "restore"}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline. `lines` are (mark, name, sentence) below it: a decision's reasons."""

    at: float  # seconds since the Unix epoch
    what: str
    detail: str = ""
    mood: str = "plain"  # plain, bad, good, note: how it may be coloured
    lines: tuple[tuple[str, str, str], ...] = ()


@dataclass(slots=True)
class Story:
    """Remembers what was told, so that every event is told once; `marks` are the moments that spans are made of."""

    asker: Asker
    counts: Counts
    marks: dict[str, float] = field(default_factory=dict)
    rollback: Json | None = None
    left_alone: set[str] = field(default_factory=set)  # decisions after the one that acted, by their ids
    _told: set[str] = field(default_factory=set)

    def tell(self, key: str, event: Event) -> list[Event]:
        """Return the event the first time its key is seen, and remember its moment."""
        if key in self._told:
            return []
        self._told.add(key)
        self.marks[key] = event.at
        return [event]

    def doing(self) -> str:
        """Return what the parts are busy with, for a person who watches."""
        ended = {key.split(" ")[0] for key in self.marks if not key.endswith((" started", " begun"))}
        if "closed" in ended:
            return "recovered; waiting until Prometheus' alerts are over"
        if "undo_hook" in ended:
            return "v1 serves; waiting until Prometheus proves that it helped"
        if "decision" in ended:
            return "the controller is rolling back"
        if "pending" in ended:
            return "an alert is pending; it fires when the fault lasts"
        return "Prometheus is measuring v2"

    def look(self) -> list[Event]:
        """Ask every part once; returns the new events, oldest first."""
        # Alerts last: what has led to a decision is then certainly among them.
        new = [*self._fault(), *self._rollback(), *self._decisions(), *self._alerts()]
        return sorted(new, key=lambda event: event.at)

    def _fault(self) -> list[Event]:
        began = self.counts.first_fault
        if began is None:
            return []
        return self.tell("fault", Event(began, "fault began", "a shopper is answered with status 500", "bad"))

    def _alerts(self) -> list[Event]:
        events = []
        for alert in self.asker.trigger_alerts():
            name, version = alert["labels"]["alertname"], alert["labels"].get("service_version", "")
            about = f"{name}, version {version}"
            if self.rollback is None and alert["state"] == "pending":
                pending = Event(seconds(alert["activeAt"]), "alert pending", about, "bad")
                events += self.tell(f"pending {name}", pending)
            if alert["state"] == "firing":
                since = self._firing_since(name)
                events += self.tell(f"firing {name}", Event(since, "alert firing", about, "bad"))
        return events

    def _firing_since(self, alert: str) -> float:
        """Return Prometheus' own moment; its record of alerts is written a moment after the alert is sent."""
        deadline = time.monotonic() + _RECORD_LIMIT
        while time.monotonic() < deadline:
            if since := self.asker.firing_since(alert):
                return since
            time.sleep(_RECORD_LIMIT / 20)
        return time.time()

    def _decisions(self) -> list[Event]:
        events = []
        for decision in reversed(self.asker.decisions()):
            alert = decision["alert"] or {}
            name, at = alert.get("name", "by hand"), seconds(decision["decided_at"])
            if decision["verdict"] == "roll_back":
                took = self.asker.span("receipt_to_decision")
                if took is None:
                    continue  # the controller writes its figures a moment after the decision
                source = "webhook received" if alert.get("source") == "webhook" else "alert read"
                events += self.tell("received", Event(at - took, source, f"{name}, by the controller"))
                versions = f"{name}: {decision['from_version']} to {decision['to_version']}"
                reasons = tuple((_mark(each["holds"]), each["code"], each["detail"]) for each in decision["reasons"])
                events += self.tell("decision", Event(at, "decision: roll_back", versions, "good", reasons))
            elif "decision" in self._told:
                self.left_alone.add(decision["id"])  # the same trouble judged again while it is being handled
            else:
                against = next((each["detail"] for each in decision["reasons"] if each["blocks"]), "")
                left = Event(at, f"decision: {decision['verdict']}", f"{name}: {against}", "note")
                events += self.tell(f"decision {decision['id']}", left)
        return events

    def _rollback(self) -> list[Event]:
        found = self.asker.rollbacks()
        if not found:
            return []
        self.rollback = self.asker.rollback(found[0]["id"]) or self.rollback
        if self.rollback is None:
            return []
        events = [event for step in self.rollback["steps"] for event in self._step(step)]
        if self.rollback["closed_at"]:
            mood = "good" if self.rollback["outcome"] == "recovered" else "bad"
            closed = Event(
                seconds(self.rollback["closed_at"]),
                str(self.rollback["outcome"]),
                self.rollback["detail"] or "",
                mood,
            )
            events += self.tell("closed", closed)
        return events

    def _step(self, step: Json) -> list[Event]:
        key, word = f"{step['kind']} {step['name']}", _word(step)
        if not step["started_at"]:
            return []
        began, events = seconds(step["started_at"]), []
        self.marks[f"{key} started"] = began
        if step["kind"] == "verify_recovery":
            text = "waiting until Prometheus says that the condition is over"
            events += self.tell(f"{key} begun", Event(began, word, text))
        if step["ended_at"]:
            ended = seconds(step["ended_at"])
            output = " ".join(str(step.get("output") or "").split())
            text = f"{step['state']} in {ended - began:.1f} s"
            said = output if step["kind"] in {"before_hook", "roll_back", "undo_hook"} else step["detail"] or ""
            good = step["state"] == "done"
            events += self.tell(
                key, Event(ended, word, f"{text}: {said}" if said else text, "good" if good else "bad")
            )
        return events


def _word(step: Json) -> str:
    name = str(step["name"])
    if step["kind"] == "undo_hook":
        return next((word for hook, word in _UNDO_WORDS.items() if hook in name), f"undo {name}")
    return _STEP_WORDS.get(str(step["kind"]), name)


def _mark(holds: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[holds]
