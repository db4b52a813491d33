"""A sub-interpreter, as mod_wsgi has one for each application: measured without threads, and it aborts nothing."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, threading
logging.basicConfig(format="%(message)s")
from rearguard_exporter import Monitor

def bare(environ, start):
    start("200 OK", [])
    return [b"ok"]

def ask(path):
    return b"".join(app({"REQUEST_METHOD": "GET", "PATH_INFO": path}, lambda *_: None)).decode()

monitor = Monitor(service="shop", version="1", listen=LISTEN)
monitor.watch_database("orders", lambda: None)
app = monitor.instrument_wsgi(bare)
ask("/")
shown = monitor._endpoints.metrics.render("", "").body.decode() if LISTEN else ask("/metrics")
print([line for line in shown.splitlines() if "duration_seconds_count" in line])
print("process figures:", "process_memory_usage_bytes " in shown)
print("threads:", threading.active_count())
"""
OUTER = """
import sys, {interpreters} as interpreters
made = interpreters.create({isolated})
interpreters.run_string(made, "import sys; sys.path[:] = %r\\n" % (sys.path,) + {program!r})
print("over", flush=True)
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="a later Python has another name for these")
@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("listen", [None, "127.0.0.1:0"])
def test_an_application_in_a_sub_interpreter_is_measured_and_aborts_nothing(isolated, listen):
    program = PROGRAM.replace("LISTEN", repr(listen))
    outer = OUTER.format(interpreters="_xxsubinterpreters", isolated=f"isolated={isolated}", program=program)
    done = subprocess.run([sys.executable, "-c", outer], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    said, threads = done.stdout.splitlines(), "threads: 1"
    assert "__unmatched__" in said[0]
    assert said[0].endswith("} 1']")
    assert said[1:] == ["process figures: True", threads, "over"]
    assert done.stderr.count("WSGIApplicationGroup %{GLOBAL}") == 1
    assert "Traceback" not in done.stderr
