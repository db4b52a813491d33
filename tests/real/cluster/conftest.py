"""One PostgreSQL server for this folder's tests, started when a test first asks for it."""

import pytest

from real import postgres


@pytest.fixture(scope="module")
def postgres_server():
    """Of one module: the campaign stops it hard."""
    with postgres.running() as server:
        yield server
