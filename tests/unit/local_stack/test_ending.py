"""A signal ends a program, whatever Python was doing when it came."""

import os
import subprocess
import sys

SCRIPT = """
import os, signal, time
from local_stack.ending import ended_by_signals

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

with ended_by_signals():
    Finalized()
    print("alive", flush=True)
    time.sleep(600)
"""


def test_a_signal_that_comes_inside_a_finalizer_is_not_lost():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env=environment, timeout=30
    )
    assert (done.returncode, done.stdout) == (128 + 15, "alive\n"), done.stderr
    assert "Traceback" not in done.stderr
