"""What tests of the controller share: PostgreSQL, journals, scenes of a simulated world, commands that are run."""

import contextlib
import os
import signal

import pytest
from structlog.testing import capture_logs

from real import postgres
from real.controller.decision_scene import Scene
from real.controller.journal_kit import Store
from real.controller.spawning import pids_in
from rearguard_controller.adapters.actions import Actions


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


@pytest.fixture
async def actions():
    edge = Actions()
    yield edge
    await edge.close()


@pytest.fixture
def family(tmp_path):
    """Pids written by children; whatever a test leaves alive is ended."""
    file = tmp_path / "pids"
    file.touch()
    yield file
    for pid in pids_in(file):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
