"""A look at hundreds of workloads asks about some of them side by side, and stops at a fault of the API server."""

import asyncio

import pytest

from rearguard_controller import config
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Ownership
from rearguard_controller.watching.live.cluster import MOST_AT_ONCE, LiveCluster
from unit.controller.test_config import FOLDER

HEAD = "environment: production\njournal: sqlite:///tmp/j.db\nprometheus: {url: http://p:9090}\ntargets:\n"
NUMBER = 500


class Cluster:
    """An API server that takes a moment for each answer, and counts whom it answers at once."""

    def __init__(self, fails_at=None):
        self.asked, self.now, self.most, self.fails_at = 0, 0, 0, fails_at

    async def lacking(self, _namespace):
        return ()

    async def ownership(self, _release):
        self.asked += 1
        number = self.asked
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.now -= 1
        if self.fails_at is not None and number >= self.fails_at:
            raise SourceError("The API server answers 503.", hint="Is it starting?")
        return Ownership()

    async def obstacle(self, _release):
        return ""


def configuration():
    targets = "".join(
        f"  - {{name: t{number}, match: {{app: t{number}}},"
        f" release: {{kubernetes: {{namespace: shop, deployment: t{number}}}}}}}\n"
        for number in range(NUMBER)
    )
    return config.parse(HEAD + targets, file="rearguard.yaml", folder=FOLDER)


async def test_five_hundred_workloads_are_asked_about_side_by_side_within_bounds_and_told_in_their_order():
    cluster = Cluster()
    found = await LiveCluster(configuration(), cluster).look()
    assert cluster.asked == NUMBER
    assert 1 < cluster.most <= MOST_AT_ONCE
    told = [each.about for each in found if each.about != "Kubernetes"]
    assert told == [f"t{number}" for number in range(NUMBER)]


@pytest.mark.parametrize("fails_at", [1, 100])
async def test_a_fault_of_the_api_server_ends_the_look_and_is_told_once(fails_at):
    cluster = Cluster(fails_at)
    found = await LiveCluster(configuration(), cluster).look()
    assert cluster.asked < fails_at + 2 * MOST_AT_ONCE
    assert [each.said for each in found].count("The API server answers 503. Is it starting?") == 1
