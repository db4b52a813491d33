"""What tests of the controller share: a PostgreSQL server, journals, scenes of a simulated world."""

import pytest
from structlog.testing import capture_logs

from real import postgres
from real.controller.decision_scene import Scene
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


@pytest.fixture
def scene(tmp_path):
    """Makes a scene in a simulated world; the log is not printed."""
    made = []

    def make_one(**settings):
        made.append(Scene(tmp_path, **settings))
        return made[-1]

    with capture_logs():
        yield make_one
        for each in made:
            each.controller.end()
