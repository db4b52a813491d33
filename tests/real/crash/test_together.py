"""Two targets that go back together, by real processes: kill -9 between any two events of either, and go on.

Here: a world of two targets with one stand-in for Prometheus, whose alert is about one of them. Whatever is
killed and whenever: both serve what is right, once, and the journal's rollbacks are the folds of their events.
"""

import asyncio
import json
import signal
import sys
import traceback

import pytest

from real.controller.journal_kit import Store
from real.crash.checks import is_whole
from real.crash.world import HERE, World, released
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Outcome, StepKind, StepState

NAMES = ("checkout", "payments")
SIDE_BY_SIDE = 4
CONFIGURATION = """
environment: production
journal: {journal}
listen: 127.0.0.1:{port}
prometheus: {{url: "{url}", poll_interval: {poll}}}
policies:
  shop: {{mode: {mode}, cooldown: {cooldown}, budget: {{rollbacks: 100}}, together: [payments, checkout], {order}}}
targets:
"""
TARGET = """
  - name: {name}
    match: {{service_name: {name}, deployment_environment_name: production}}
    release:
      command:
        current: [{program}, current]
        rollback: [{program}, activate, "{{to_version}}"]
        timeout: {limit}
        cwd: {folder}/{name}
    hooks:
      before:
        - name: drain
          command: [{program}, hook, drain]
          undo: {{command: [{program}, hook, restore], cwd: {folder}/{name}}}
          timeout: {limit}
          cwd: {folder}/{name}
          after_crash: redo
          on_failure: stop
    verify:
      health: {{url: "{url}/healthz", successes: 2, interval: 100ms, timeout: 20s}}
      recovery: {{within: 60s}}
"""


class Shop(World):
    """Two targets, each with a folder of its own. The alert is about checkout."""

    order = "together_order: as_one"

    @property
    def text(self):
        program = f"{sys.executable}, -I, -S, {HERE / 'target.py'}"
        rows = [
            TARGET.format(name=name, program=program, limit=self.limit, folder=self.folder, url=self.url)
            for name in NAMES
        ]
        return CONFIGURATION.replace("{order}", self.order) + "".join(rows).replace("{", "{{").replace("}", "}}")

    async def prepare(self, *, fails=()):
        journal = await open_journal(self.store.address)
        for name in NAMES:
            for part in ("knobs", "busy"):
                (self.folder / name / part).mkdir(parents=True)
            (self.folder / name / "current").write_text("v2\n")
            (self.folder / name / "effects.log").touch()
            await released(journal, name)
        for name, what in fails:
            (self.folder / name / "knobs" / f"fail.{what}").touch()
        await journal.close()
        return self

    def effects(self, *names):
        return [
            {**json.loads(line), "target": name}
            for name in names or NAMES
            for line in (self.folder / name / "effects.log").read_text().splitlines()
        ]

    @property
    def version(self):
        return (self.folder / "checkout" / "current").read_text().strip()

    @property
    def versions(self):
        return [(self.folder / name / "current").read_text().strip() for name in NAMES]

    async def outcome(self):
        """How the last rollback of each ended, once both are closed."""
        rows = await self.store.rows("select target, outcome from rollbacks order by seq")
        found = dict(rows)
        return found if len(found) == len(NAMES) and None not in found.values() else None

    async def end_of_both(self):
        await self.until(self.outcome, every=0.1, what="both close")
        polls = self.polls
        await self.until(lambda: self.polls >= polls + 3, what="more polls")


async def carried(folder, point, *, order, fails, server=None):
    """One incident, killed at a point (None: nowhere), carried to its end by the next controller, and checked."""
    folder.mkdir(parents=True, exist_ok=True)
    it = Shop(folder, Store(str(folder / "journal.db") if server is None else await server.database()))
    it.order = f"together_order: {order}"
    async with it.running():
        await it.prepare(fails=fails)
        if point is not None:
            first = await it.serve_deadly(*point)
            await it.until(lambda: _is_over(it, first), every=0.1, what="it is killed, or comes past the point")
            if first.returncode is None:  # what one of them skips when the other fails hangs on which is faster
                assert fails
                assert point[1] in ("step_skipped", "step_started", "step_done")
                await it.end(first)
            else:
                assert first.returncode == -signal.SIGKILL, it.logs()[-3000:]
        controller = await it.serve()
        await it.end_of_both()
        assert await it.end(controller, signal.SIGTERM) == 0, it.logs()
        return await checked(it, went=not fails)


async def _is_over(it, controller):
    """Whether it was killed, or closed both without coming to its point, which may follow a close."""
    if controller.returncode is None and await it.outcome():
        polls = it.polls
        await it.until(lambda: it.polls >= polls + 2 or controller.returncode is not None, what="two more polls")
        return True
    return controller.returncode is not None


async def checked(it, *, went):
    """Every promise; returns all events of both, in their order."""
    journal = await open_journal(it.store.address)
    try:
        rollbacks = {each.target: each for each in (await journal.rollbacks()).items}
        assert len(rollbacks) == len((await journal.rollbacks()).items) == len(NAMES)
        stored = []
        for each in rollbacks.values():
            events = await journal.events(each.id)
            is_whole(each, events)
            stored += [(event.at, event.kind.value, event.seq) for event in events]
        states = [await journal.target_state(name) for name in NAMES]
    finally:
        await journal.close()
    assert it.versions == (["v1"] * 2 if went else ["v2"] * 2), it.effects()
    assert not [each for each in it.effects() if each.get("beside")]
    assert not any((it.folder / name / "drained").exists() for name in NAMES)
    assert len({each.together.id for each in rollbacks.values()}) == 1
    assert len({each.decision_id for each in rollbacks.values()}) == 1
    changes = [(each["target"], each["version"]) for each in it.effects() if each["what"] == "changed"]
    outcomes = {name: each.outcome for name, each in rollbacks.items()}
    if went:
        assert sorted(changes) == [("checkout", "v1"), ("payments", "v1")], "each exactly once"
        assert outcomes == {"checkout": Outcome.RECOVERED, "payments": Outcome.COMPLETED}
        assert all(each.armed for each in states)
    else:
        assert set(outcomes.values()) == {Outcome.FAILED}, [each.detail for each in rollbacks.values()]
        began = {name: any(step.attempt for step in each.steps) for name, each in rollbacks.items()}
        assert [each.armed for each in states] == [not began[name] for name in NAMES], (
            "whose attempt failed is disarmed"
        )
        for each in rollbacks.values():
            undo = each.step_of(StepKind.UNDO_ROLL_BACK)
            assert undo.state is (StepState.DONE if each.step_of(StepKind.ROLL_BACK).attempt else StepState.SKIPPED)
    return [(kind, seq) for _, kind, seq in sorted(stored, key=lambda each: each[0])]


async def campaign(folder, points, **settings):
    gate, wrong = asyncio.Semaphore(SIDE_BY_SIDE), []

    async def one(number, point):
        async with gate:
            try:
                await carried(folder / str(number), point, **settings)
            except Exception:  # noqa: BLE001  # every point is tried; all that went wrong are told at the end
                wrong.append(f"--- {point}\n{traceback.format_exc()[-3000:]}")

    await asyncio.gather(*(one(number, point) for number, point in enumerate(points)))
    assert not wrong, f"{len(wrong)} of {len(points)} points\n" + "\n".join(wrong[:5])


def points_of(events):
    """Before and after each event, the first and the second of its kind."""
    return [
        (when, kind, f"{seq}/{time}")
        for kind, seq in dict.fromkeys(events)
        for time in range(1, (1 if kind == "opened" else events.count((kind, seq))) + 1)
        for when in ("before", "after")
    ]


DRAIN, ROLL_BACK, HEALTH, UNDO = range(4)


async def test_both_go_back_or_neither_also_when_killed_where_it_tells_most(tmp_path):
    both = [
        None,
        ("after", "opened", "None/1"),
        ("after", "step_done", f"{DRAIN}/1"),  # one is prepared, the other not
        ("after", "step_done", f"{ROLL_BACK}/1"),  # one is changed, the other not
        ("after", "together_done", "None/1"),  # one knows that both were changed
    ]
    neither = [
        None,
        ("before", "step_failed", f"{ROLL_BACK}/1"),
        ("after", "together_ended", "None/1"),
        ("after", "step_started", f"{UNDO}/1"),
        ("before", "step_done", f"{UNDO}/1"),
    ]
    await asyncio.gather(
        campaign(tmp_path / "both", both, order="as_one", fails=()),
        campaign(tmp_path / "neither", neither, order="stated", fails=[("checkout", "activate")]),
    )


async def test_on_postgres_too(tmp_path, postgres_server):
    point = ("after", "step_done", f"{ROLL_BACK}/1")
    await campaign(tmp_path, [point], order="as_one", fails=(), server=postgres_server)


async def over_two_shards(folder, point, order, server):
    """Two replicas lead one target each; one is killed at a point, and the other carries both to their end."""
    folder.mkdir(parents=True)
    it = Shop(folder, Store(await server.database()))
    it.order, it.more, it.fires = f"together_order: {order}", "sharding: {shards: 2}\n", False
    async with it.running():
        await it.prepare()
        first, second = await it.serve_deadly(*point), await it.serve()
        await it.until(lambda: _each_leads_one(it), every=0.2, what="each leads one")
        it.fires = True
        await it.until(lambda: first.returncode is not None, every=0.1, what="one is killed")
        assert first.returncode == -signal.SIGKILL, it.logs()[-3000:]
        await it.end_of_both()
        assert await it.end(second, signal.SIGTERM) == 0, it.logs()
        await checked(it, went=True)


async def _each_leads_one(it):
    held = "select holder from shard where until > extract(epoch from clock_timestamp())"
    holders = await it.store.rows(held)
    return len(holders) == len(set(holders)) == len(NAMES)


@pytest.mark.soak
@pytest.mark.parametrize("order", ["as_one", "stated"])
async def test_a_replica_that_dies_while_targets_of_two_shards_go_back_is_followed_by_the_other(
    tmp_path, postgres_server, order
):
    points = [
        ("after", "step_done", f"{DRAIN}/1"),
        ("after", "step_started", f"{ROLL_BACK}/1"),
        ("after", "step_done", f"{ROLL_BACK}/1"),
        ("after", "together_done", "None/1"),
    ]
    for pair in (points[:2], points[2:]):
        each = (
            over_two_shards(tmp_path / "-".join(point).replace("/", "-"), point, order, postgres_server)
            for point in pair
        )
        await asyncio.gather(*each)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("order", ["as_one", "stated"])
@pytest.mark.parametrize("fails", [(), [("checkout", "activate")], [("payments", "drain")]], ids=str)
async def test_killed_at_every_point(tmp_path, order, fails):
    events = await carried(tmp_path / "undisturbed", None, order=order, fails=fails)
    await campaign(tmp_path, points_of(events), order=order, fails=fails)
