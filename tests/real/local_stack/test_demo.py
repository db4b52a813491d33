"""`make demo` ended by a signal. Its whole story is in test_lowest_versions.py and test_end_to_end.py."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from local_stack.binaries import ROOT
from local_stack.process import wait_until


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
    wait_until(lambda: left_running(tmp_path) == [], within=30, what="every part to end")
