"""A small world for the controller: a target with its commands, a Prometheus, an Alertmanager, and two clocks.

Here: what is true, and the edges at which a controller touches it: the target's commands, and the documents that
Prometheus and Alertmanager answer. Everything behind these edges is the product itself (see decision_controller.py).
Never here: what is right, and how often or in which order things happen.
"""

import asyncio
from dataclasses import dataclass, field

from rearguard_controller.adapters.actions import ActionResult, Actions
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.http_source import Answer, NextAddressError
from rearguard_controller.adapters.http_source.hints import Refusal
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config.configuration import AlertmanagerSettings, PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.watching.one_process import AMBIGUOUS
from rearguard_controller.wording import moment
from unit.controller import factories as make

POLL = 5.0  # seconds between two polls, and between two looks for recovery
EFFECT = 1.0  # seconds that a command or request takes; what it changes, it changes at its end
FIGURE, LIMIT = "version:error_ratio", 0.1
ANNOTATIONS = {"figure": FIGURE, "threshold": f"> {LIMIT}"}
LABELS = {**make.alert().labels}
URL = "http://127.0.0.1:1"  # nobody is there: documents are answered here
UNREADABLE = "release current: exit status 1"


@dataclass
class World:
    """What is true, whether or not the controller knows it."""

    now: float = make.NOW  # the wall clock, which may jump
    steady: float = 0.0  # the clock that never does
    serving: str = "v1"
    bad: set[str] = field(default_factory=set)  # versions that fail whatever happens around them
    outage: bool = False  # a fault that no version is to blame for
    traffic: bool = True
    fires: bool = False  # what Prometheus says of the alert
    away: bool = False  # Prometheus does not answer
    silenced: bool = False
    drained: bool = False
    unreadable: bool = False  # `current` fails
    refuses: bool = False  # the target's own check does not let a version be activated
    checks: int = 0  # how often that was asked
    past_since: float | None = None  # when the present fault began, by the wall clock
    history: list = field(default_factory=list)  # (since when by the wall clock, version, whether it was past)
    luck: str = "well"  # of the next effect: well | fails | stopped before | stopped after
    acted: list = field(default_factory=list)  # argv of every effect, when it ended
    on_act: object = None  # called with argv and context when an effect begins
    on_stop: object = None  # called when the controller's process ends in the middle of an effect

    def __post_init__(self):
        self.commands = Commands(self)
        self.prometheus = WorldPrometheus(self)
        self.alertmanager = WorldAlertmanager(self)
        self.settle()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.steady += seconds

    @property
    def past(self) -> bool | None:
        """Whether the figure is past its threshold; None without traffic."""
        return (self.outage or self.serving in self.bad) if self.traffic else None

    def settle(self) -> None:
        """Write down what holds from now on; to be called after every change."""
        self.past_since = (self.past_since if self.past_since is not None else self.now) if self.past else None
        self.history = [each for each in self.history if each[0] < self.now]  # the wall clock may have been set back
        self.history.append((self.now, self.serving, self.past))

    def turn_to(self, version: str) -> None:
        self.serving = version
        self.settle()
        self.fires = self.fires and self.past is not False  # its rule looks at the version that serves

    def at(self, at: float) -> tuple[str, bool | None] | None:
        """Which version served at a moment, and whether the figure was past its threshold; None before all."""
        return next(((version, past) for since, version, past in reversed(self.history) if since <= at), None)


class Commands(Actions):
    """The target's commands, hooks and health check."""

    def __init__(self, world):
        super().__init__()
        self._world = world

    async def read_version(self, _action, _context):
        if self._world.unreadable:
            raise SourceError(UNREADABLE)
        return self._world.serving

    async def read_versions(self, _action, _context):
        return tuple(f"v{number}" for number in range(1, 9))

    async def run(self, action, context):
        """An effect; it goes well, fails, or the controller's process ends right before or after it."""
        world, argv = self._world, getattr(action, "argv", ("request",))
        if argv == ("check",):
            world.checks += 1
            return ActionResult(not world.refuses, "", "It was asked.", 0.0)
        if world.on_act is not None:
            world.on_act(argv, context)
        await asyncio.sleep(EFFECT)
        luck, world.luck = world.luck, "well"
        if luck == "stopped before":
            await self._stop()
        if luck != "fails":
            self._act(argv, context)
        if luck == "stopped after":
            await self._stop()
        return ActionResult(luck != "fails", "", f"It went {luck}.", EFFECT)

    async def look(self, action, context):
        return await self.run(action, context)

    async def health(self, check, context):
        return await self.run(check, context)

    async def obstacle(self, _action, _context):
        return ""

    async def settle(self, _target, _limit):
        """No command outlives the controller here."""

    def _act(self, argv, context):
        self._world.acted.append(argv)
        match argv:
            case ("activate", _):
                self._world.turn_to(context.to_version)
            case ("drain",):
                self._world.drained = True
            case ("undo", "drain"):
                self._world.drained = False

    async def _stop(self):
        self._world.on_stop()
        await asyncio.Event().wait()  # this process does nothing more


class WorldPrometheus(Prometheus):
    """The real client; the documents that come over the wire are the world's."""

    def __init__(self, world):
        super().__init__(PrometheusSettings((URL,), poll_interval=POLL))
        self._world = world

    async def _shaped(self, _method, url, path, sent, shape, _kept):
        if self._world.away:
            raise NextAddressError("Prometheus is away.", "Is it running?")
        document = {"status": "success", "data": self._data(path.partition("?")[0].removeprefix("/api/v1/"), sent)}
        return shape(self._source.content(Answer(self._source, url, document, Refusal(url, 200))))

    def _data(self, what, sent):
        match what:
            case "alerts":
                return {"alerts": [self._alert()] if self._world.fires else []}
            case "rules":
                return {"groups": [{"name": "release", "interval": POLL, "rules": [RULE]}]}
            case "targets":
                return {"activeTargets": [{"labels": {"job": "shop", "instance": "shop:1"}, "scrapeInterval": "1s"}]}
            case "query":
                return {"resultType": "vector", "result": self._now(sent["query"], sent.get("time"))}
            case "query_range":
                points = (float(sent[key]) for key in ("start", "end", "step"))
                return {"resultType": "matrix", "result": self._then(sent["query"], *points)}
        raise AssertionError(what)

    def _alert(self):
        since = self._world.past_since or self._world.now
        return {
            "labels": LABELS,
            "annotations": ANNOTATIONS,
            "state": "firing",
            "activeAt": moment(since),
            "value": "1",
        }

    def _now(self, query, at):
        """Who serves now, and the figure; of the past it remembers only the figure."""
        world = self._world
        if at is not None or (query == FIGURE and world.past is None):
            return []
        if query == AMBIGUOUS or "resets(" in query:  # one process at its address
            return []
        value = world.now if query.startswith("timestamp") else 1.0
        value = _figure(past=world.past) if query == FIGURE else value
        return [{"metric": _metric(world.serving), "value": [world.now, str(value)]}]

    def _then(self, query, start, end, step):
        """The figure of each version; there is no past to adopt."""
        found, count = {}, int((end - start) // step) + 1
        asks = query.partition("{")[0] == FIGURE  # of one target only
        for at in (start + step * number for number in range(count) if asks):
            version, past = self._world.at(at) or (None, None)
            if past is not None:
                found.setdefault(version, []).append([at, str(_figure(past=past))])
        return [{"metric": _metric(version), "values": values} for version, values in found.items()]


class WorldAlertmanager(Alertmanager):
    """The real client; it knows of the alert, and of a silence for it if there is one."""

    def __init__(self, world):
        super().__init__(AlertmanagerSettings((URL,)))
        self._world = world

    async def _shaped(self, _method, url, path, _sent, shape, _kept):
        document = self._silences() if path.endswith("/silences") else []
        return shape(self._source.content(Answer(self._source, url, document, Refusal(url, 200))))

    def _silences(self):
        if not self._world.silenced:
            return []
        name = {"name": "alertname", "value": make.alert().name, "isRegex": False, "isEqual": True}
        starts, ends = (moment(self._world.now + seconds) for seconds in (-60, 60))
        silence = {"id": "S1", "matchers": [name], "startsAt": starts, "endsAt": ends, "createdBy": "ann"}
        return [{**silence, "comment": "a known fault", "status": {"state": "active"}}]


RULE = {
    "type": "alerting", "name": make.alert().name, "query": f"{FIGURE} > {LIMIT}", "duration": 0,
    "labels": {"action": "rollback"}, "annotations": ANNOTATIONS, "health": "ok",
}  # fmt: skip


def _figure(*, past):
    return 0.3 if past else 0.0


def _metric(version):
    return {**make.MATCH, "service_version": version, "job": "shop", "instance": "shop:1"}
