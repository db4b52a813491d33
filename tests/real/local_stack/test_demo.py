"""`make demo` itself: the whole story with every real part, and its end by a signal."""

import os
import re
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from local_stack.binaries import ROOT
from local_stack.process import wait_until

STORY = [
    "started",
    "v1 is known good",
    "fault began",
    "alert pending ReleaseErrorRate",
    "alert firing ReleaseErrorRate",
    "webhook received ReleaseErrorRate",
    "decision: roll_back ReleaseErrorRate",
    "save-state",
    "drain",
    "rollback",
    "health",
    "restore",
    "clear-cache",
    "recovery",
    "recovered",
    "alerts over",
]


@pytest.fixture
def demo(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "deploy/local"), "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        [sys.executable, "-m", "local_stack.demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield child
    if child.poll() is None:
        child.terminate()  # it stops its parts by itself
        child.wait(timeout=60)
    child.stdout.close()


def left_running(folder):
    """Processes whose command line or working folder lies in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            about = [*process.cmdline(), process.cwd()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in about) and process.pid != os.getpid():
            found.append(process.pid)
    return found


@pytest.mark.timeout(300)
@pytest.mark.alone
@pytest.mark.soak  # two minutes; test_end_to_end.py goes the same way in every run
def test_the_demo_rolls_back_once_and_proves_it(demo, tmp_path):
    text, _ = demo.communicate(timeout=270)
    assert demo.returncode == 0, text
    lines = text.splitlines()
    told = [" ".join(re.sub(r"^ *-?[\d.]* +", "", line).split()) for line in lines]
    places = [next((n for n, line in enumerate(told) if line.startswith(what)), None) for what in STORY]
    assert None not in places, dict(zip(STORY, places, strict=True))
    assert places == sorted(places), text
    assert len([line for line in lines if line.startswith("yes  ")]) == 4
    decided = next(line for line in lines if line.startswith("fault began → decision"))
    assert float(decided.split()[-2]) <= 60
    assert list(tmp_path.iterdir()) == []
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_part(demo, tmp_path, number):
    killer = threading.Timer(60, demo.kill)
    killer.start()
    try:
        told = []
        for line in iter(demo.stdout.readline, ""):
            told.append(line)
            if line.split()[:1] == ["load"]:
                break
        else:
            pytest.fail("".join(told))
        assert len(left_running(tmp_path)) >= 5
        demo.send_signal(number)
        text, _ = demo.communicate(timeout=40)
    finally:
        killer.cancel()
    assert demo.returncode == 128 + number, text
    assert "Traceback" not in text
    wait_until(lambda: left_running(tmp_path) == [], within=5, what="every part to end")
