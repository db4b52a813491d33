"""One PostgreSQL server for this folder's tests, started when a test first asks for it."""

import pytest

from real import postgres
from real.crash.world import Sharded


@pytest.fixture(scope="session")
def postgres_server():
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", "four shards"])
def server(request):
    """Where the journals are: None for files, else the PostgreSQL server, where targets may be led shard by shard."""
    if request.param == "sqlite":
        return None
    server = request.getfixturevalue("postgres_server")
    return server if request.param == "postgres" else Sharded(server, shards=4)


@pytest.fixture(params=["postgres", "four shards"])
def shared_server(request, postgres_server):
    """Where several controllers may share a journal."""
    return postgres_server if request.param == "postgres" else Sharded(postgres_server, shards=4)
