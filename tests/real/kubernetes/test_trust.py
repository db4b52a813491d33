"""When a pod template counts as serving: not before the first of its pods is ready, whatever Prometheus shows."""

import asyncio
import time

import pytest

from local_cluster.pod_scripts import Script
from real.local_cluster.workloads import workload
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import KubernetesRelease, Sample, TargetState, WorkloadKind
from rearguard_controller.releases.looks import Watch
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import HOLDING, MATCH, TARGET, policy, target
from unit.controller.runtime_kit import runtime

CLEAN = Watch(HOLDING, figures=frozenset({None}))  # a figure that names no version has a value
SHOP = KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "shop", 20.0)
POLL, NEEDED, WITHIN = 0.1, 1.0, 20.0


class Prometheus:
    """Sees one instance, always scraped, that shows v1: the pods of the first version."""

    async def query(self, expression, _at=None):
        age = expression.startswith("timestamp")  # of the sample, below 0
        return (Sample({**MATCH, "instance": "a", "service_version": "v1"}, 0.0 if age else 1.0),)


@pytest.fixture
async def tracked(cluster, client, tmp_path):
    journal = SqliteJournal.open(tmp_path / "journal.db")
    releases = Releases(runtime(journal, clock=time.time), ReleaseKinds(Actions(), client), lambda _: Prometheus())
    it = target(release=SHOP, policy=policy(known_good_after=NEEDED))

    async def poll():
        await releases.track(it, CLEAN, poll_interval=POLL)
        return await journal.target_state(TARGET), {each.version: each for each in await journal.releases(TARGET)}

    async def polled_until(holds, within=WITHIN):
        async with asyncio.timeout(within):
            while True:
                state, known = await poll()
                if holds(state, known):
                    return state, known
                await asyncio.sleep(POLL)

    now = time.time()
    known = TargetState(TARGET, serving_version="first", serving_since=now, looked_at=now)
    await journal.change_target(TARGET, lambda _state: known)  # not new, so that nothing is adopted
    yield polled_until
    await journal.close()


async def test_a_template_without_a_ready_pod_earns_nothing_and_learns_no_label(cluster, kubectl, tracked):
    cluster.scripts.set("shop:v2", Script(never_ready=True))
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    state, _ = await tracked(
        lambda _, known: any(each.known_good_at and each.service_version == "v1" for each in known.values())
    )
    first = state.serving_version
    await kubectl("set image deployment/shop shop=shop:v2")
    state, _ = await tracked(lambda state, _: state.serving_version != first)
    second, until = state.serving_version, time.time() + 3 * NEEDED
    _, known = await tracked(lambda *_: time.time() > until)
    assert known[second].known_good_at is None
    assert known[second].service_version is None


async def test_a_release_begins_to_serve_when_its_first_pod_is_ready(cluster, kubectl, tracked):
    cluster.scripts.set("shop:v2", Script(ready_after=3.0))
    cluster.create(workload(image="shop:v1"))
    await kubectl("rollout status deployment/shop --timeout=40s")
    state, _ = await tracked(lambda _, known: any(each.known_good_at for each in known.values()))
    first = state.serving_version
    deployed = time.time()
    await kubectl("set image deployment/shop shop=shop:v2")
    state, _ = await tracked(lambda state, _: state.serving_version != first and state.clean_since)
    assert state.is_release
    assert state.serving_since - deployed >= 3.0
    assert state.changed_after == state.serving_since  # until then the version before served alone
    state, _ = await tracked(lambda state, known: known[state.serving_version].known_good_at)
    assert state.serving_version != first
