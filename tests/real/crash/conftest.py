"""One PostgreSQL server for this folder's tests, started when a test first asks for it."""

import pytest

from real import postgres


@pytest.fixture(scope="session")
def postgres_server():
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def server(request):
    """Where the journals are: None for files, else the PostgreSQL server."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_server")
