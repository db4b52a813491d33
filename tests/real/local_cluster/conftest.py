"""What tests of the stand-in cluster itself need: the kit, a plain client of it, and waiting."""

import asyncio

import pytest

from real.local_cluster.client import client_of
from real.local_cluster.kit import cluster, kubectl  # noqa: F401 - fixtures


@pytest.fixture
async def client(cluster):  # noqa: F811 - the fixture
    async with client_of(cluster) as client:
        yield client


@pytest.fixture
def until():
    async def until(holds, *, within=20):
        async with asyncio.timeout(within):
            while not (answer := holds()):  # noqa: ASYNC110 - what is asked has no event
                await asyncio.sleep(0.02)
            return answer

    return until
