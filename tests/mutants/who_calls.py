"""A plugin of pytest that writes down which functions of the controller each test calls, and how long it takes.

The functions tell it themselves (`telling` in mutate.py). It writes JSON to the file named by REARGUARD_CALLS:
test -> {"seconds", "calls": ["execution/step.py Stepping.run"]}. What a test calls in another process is not seen.
"""

import builtins
import json
import os
import time
from pathlib import Path

import pytest

FOUND, CALLED = {}, set()


def pytest_configure():
    builtins._called = CALLED


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    CALLED.clear()
    began = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - began, 3)
    FOUND.setdefault(item.nodeid, {}).update(seconds=seconds, calls=sorted(CALLED))


def pytest_runtest_logreport(report):
    if report.failed or report.skipped:
        FOUND.setdefault(report.nodeid, {})["bad"] = True


def pytest_sessionfinish():
    Path(os.environ["REARGUARD_CALLS"]).write_text(json.dumps(FOUND))
