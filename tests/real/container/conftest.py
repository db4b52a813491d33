"""One build of the controller's image for all tests of a run, also where several workers share the run."""

import os

import pytest

from real.container.engine import REPOSITORY, Engine, EngineError


@pytest.fixture(scope="session")
def engine():
    try:
        return Engine()
    except EngineError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def run_id():
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process{os.getpid()}")


@pytest.fixture(scope="session")
def image(engine, run_id):
    with engine.alone():
        if not engine.has(f"{REPOSITORY}:{run_id}"):
            engine.forget_others(run_id)
            engine.make_base()
            engine.keep_sources()
            engine.finish(engine.start_build(run_id), within=400)
    return f"{REPOSITORY}:{run_id}"
