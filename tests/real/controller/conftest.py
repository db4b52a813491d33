"""One PostgreSQL server for the session, started when a test first asks for it."""

import pytest

from real import postgres
from real.controller.journal_kit import Store


@pytest.fixture(scope="session")
def postgres_server():
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request, tmp_path):
    if request.param == "sqlite":
        return Store(str(tmp_path / "journal.db"))
    return Store(await request.getfixturevalue("postgres_server").database())


@pytest.fixture
async def journal(store):
    opened = await store.open()
    yield opened
    await opened.close()
