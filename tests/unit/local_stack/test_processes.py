"""Programs of the stack: started with a deadline, ended whole, whatever happens."""

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from local_stack.process import Program, StackError, free_ports, wait_until

SERVER = """
import http.server, os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open("child", "w").write(str(child.pid))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def program(tmp_path):
    port = free_ports(1)[0]
    program = Program(
        "server",
        [sys.executable, "-c", SERVER, str(port)],
        folder=tmp_path,
        log=tmp_path / "log",
        ready_url=f"http://127.0.0.1:{port}/",
        environment=os.environ,
    )
    yield program
    program.stop()


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_ending_a_program_ends_what_it_started_and_it_starts_again(program, tmp_path, end):
    program.start()
    first, child = program.pid, int((tmp_path / "child").read_text())
    getattr(program, end)()
    assert program.pid is None
    wait_until(lambda: gone(first) and gone(child), within=30, what="both processes to end")
    getattr(program, end)()
    program.start()
    assert program.pid not in {None, first}


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(tmp_path):
    program = Program(
        "broken",
        [sys.executable, "-c", "raise SystemExit('no such setting')"],
        folder=tmp_path,
        log=tmp_path / "log",
        ready_url="http://127.0.0.1:9/",
        environment=os.environ,
    )
    with pytest.raises(StackError, match=r"(?s)broken ended at once.*no such setting"):
        program.start()


def test_waiting_names_what_did_not_happen():
    began = time.monotonic()
    with pytest.raises(StackError, match=r"the moon: not within 0\.2 s"):
        wait_until(lambda: False, within=0.2, what="the moon")
    assert time.monotonic() - began < 2


def test_free_ports_are_different():
    assert len(set(free_ports(20))) == 20


@pytest.mark.parametrize("number", ["INT", "TERM", "HUP"])
def test_a_signal_ends_the_block_once_and_what_it_started_is_stopped(tmp_path, number):
    script = f"""
import time
from pathlib import Path
from local_stack.ending import ended_by_signals
from local_stack.stack import Stack
with ended_by_signals(), Stack(Path({str(tmp_path)!r})) as stack:
    stack.release("deploy", "v1")
    stack.proxy.start()
    print(stack.supervisor.serving().pid, stack.proxy.pid, flush=True)
    time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as child:
        killer = threading.Timer(60, child.kill)
        killer.start()
        try:
            pids = [int(word) for word in child.stdout.readline().split()]
            assert len(pids) == 2
            child.send_signal(getattr(__import__("signal"), f"SIG{number}"))
            assert child.wait(timeout=30) > 128
        finally:
            killer.cancel()
    wait_until(lambda: all(gone(pid) for pid in pids), within=30, what="every part to end")
