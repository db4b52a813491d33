"""A plugin of pytest that writes down which functions of the controller each test calls, and how long it takes.

It writes JSON to the file named by REARGUARD_CALLS: test -> {"seconds", "calls": ["execution/step.py Stepping.run"]}.
What a test calls in another process is not seen.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

FOLDER = os.environ["REARGUARD_CALLED"] + os.sep  # of the package
FOUND = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    calls, names = set(), {}

    def trace(frame, _event, _argument):
        code = frame.f_code
        name = names.get(code)
        if name is None:
            inside = code.co_filename.startswith(FOLDER)
            function = code.co_qualname.partition(".<locals>")[0]
            names[code] = name = f"{code.co_filename.removeprefix(FOLDER)} {function}" if inside else ""
        if name:
            calls.add(name)

    began = time.perf_counter()
    threading.settrace(trace)
    sys.settrace(trace)
    yield
    sys.settrace(None)
    threading.settrace(None)
    seconds = round(time.perf_counter() - began, 3)
    FOUND.setdefault(item.nodeid, {}).update(seconds=seconds, calls=sorted(calls))


def pytest_runtest_logreport(report):
    if report.failed or report.skipped:
        FOUND.setdefault(report.nodeid, {})["bad"] = True


def pytest_sessionfinish():
    Path(os.environ["REARGUARD_CALLS"]).write_text(json.dumps(FOUND))
