"""Crowds of connections without a token: commands, probes, scrapes and deliveries go on. All is real."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_stack.process import Program, free_ports
from real.controller.served import BASE, CONFIGURATION, OPERATOR, RELEASE, SENDER, VIEWER, alerts

FLOOD = r"""
import contextlib, itertools, os, socket, sys, time
os.nice(2)  # a crowd that took the processor would show nothing of descriptors
port, what, sources = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode("latin-1"), sys.argv[3:]
held, source = [], itertools.cycle(sources)
while True:
    with contextlib.suppress(OSError):
        own = socket.socket()
        own.setblocking(False)
        own.bind((next(source), 0))
        own.connect_ex(("127.0.0.1", port))
        held.append(own)
        if what:
            own.send(what)
    if len(held) > 1500:
        held.pop(0).close()
    time.sleep(0.001 if len(held) < 1500 else 0.02)
"""
HELLO = "\\x16\\x03\\x01\\x00\\xc8\\x01\\x00\\x00\\xc4\\x03\\x03"  # the beginning of a TLS handshake
OPEN = "GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
MOST = 512  # connections, by default
needs_prlimit = pytest.mark.skipif(shutil.which("prlimit") is None, reason="util-linux")


def settings(folder, port, more=""):
    release = folder / "release"
    release.write_text(RELEASE)
    release.chmod(0o755)
    (folder / "current").write_text("v2\n")
    for name, own in (("sender", SENDER), ("viewer", VIEWER), ("operator", OPERATOR)):
        (folder / name).write_text(f"{name}:{own.removeprefix('Bearer ')}\n")
    text = CONFIGURATION.format(folder=folder, prometheus="http://127.0.0.1:9").replace(":9465", f":{port}")
    (folder / "rearguard.yaml").write_text(f"{text}{more}")


@contextlib.contextmanager
def controller(folder, *, soft, hard, more=""):
    """A controller with these limits of descriptors; its port and its program."""
    port = free_ports(1)[0]
    settings(folder, port, more)
    serve = [sys.executable, "-m", "rearguard_controller", "serve", "--config", "rearguard.yaml"]
    program = Program(
        "rearguard",
        ["prlimit", f"--nofile={soft}:{hard}", *serve],
        folder=folder,
        log=folder / "log",
        ready_url=f"http://127.0.0.1:{port}/healthz",
        environment=dict(os.environ),
    )
    try:
        program.start()
        yield port, program
    finally:
        program.stop()


@contextlib.contextmanager
def flood(port, what="", sources=("127.0.0.1",), several=2):
    """Processes that open three times as many connections as there are descriptors; each sends `what`."""
    words = [sys.executable, "-c", FLOOD, str(port), what, *sources]
    crowd = [subprocess.Popen(words) for _ in range(several)]
    try:
        time.sleep(3.0)  # until they hold more than there are descriptors
        yield
    finally:
        for each in crowd:
            each.kill()
            each.wait()


def ask(port, path, token=None, body=None, *, within=20.0, source="127.0.0.1"):
    """The status over a connection of its own; the error's name if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within, source_address=(source, 0))
    headers = {"Content-Type": "application/json", **({"Authorization": token} if token else {})}
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


def _show_token(connection):
    connection.request("GET", f"{BASE}/rollback/status", headers={"Authorization": VIEWER})
    response = connection.getresponse()
    response.read()
    assert response.status == 200


def descriptors(program):
    return len(list(Path(f"/proc/{program.pid}/fd").iterdir()))


def logged(folder):
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


@needs_prlimit
@pytest.mark.parametrize(
    "what",
    [
        pytest.param("", id="silent"),
        pytest.param("G", id="a byte", marks=pytest.mark.soak),
        pytest.param(HELLO, id="a handshake", marks=pytest.mark.soak),
        pytest.param(OPEN, id="requests"),
    ],
)
def test_a_crowd_without_a_token_takes_no_descriptor_from_commands_and_shuts_nobody_out(tmp_path, what):
    """The usual 1024 descriptors, hard: they cannot be raised."""
    wish = {"target": "checkout", "reason": "r", "dry_run": True}
    seen = []
    with controller(tmp_path, soft=1024, hard=1024, more="limits: {triggers_per_minute: 100000}\n") as (
        port,
        program,
    ):
        with flood(port, what):
            most, end = 0, time.monotonic() + 4
            while time.monotonic() < end:
                seen += [
                    ("probe", ask(port, "/healthz")),
                    ("scrape", ask(port, "/metrics", VIEWER)),
                    ("delivery", ask(port, "/webhook/alertmanager", SENDER, alerts("A"))),
                    ("dry run", ask(port, f"{BASE}/rollback/trigger", OPERATOR, wish)),  # runs two commands
                ]
                most = max(most, descriptors(program))
        after = ask(port, "/readyz")
    wrong = [each for each in seen if each[1] not in {200, 202}]
    assert not wrong, (len(wrong), len(seen), wrong[:10])
    assert most <= MOST + 200
    assert after == 200
    told = {line["message"].split("\n")[0] for line in logged(tmp_path)}
    assert not {each for each in told if "out of system resource" in each or "short_of" in each}, told


@needs_prlimit
def test_a_kept_connection_that_has_shown_a_token_outlives_a_crowd_of_its_own_address(tmp_path):
    with controller(tmp_path, soft=1024, hard=1024) as (port, _):
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        _show_token(kept)
        with flood(port):
            own = kept.sock
            for _ in range(10):
                _show_token(kept)
                assert kept.sock is own  # http.client would connect again
                time.sleep(0.1)
        kept.close()


@needs_prlimit
def test_the_crowd_of_one_address_pushes_out_its_own_and_nobody_of_another(tmp_path):
    with controller(tmp_path, soft=1024, hard=1024) as (port, _):
        others = [socket.create_connection(("127.0.0.1", port), 5, (f"127.0.0.{n}", 0)) for n in range(2, 12)]
        with flood(port, OPEN):
            for n in range(2, 12):
                assert ask(port, "/healthz", source=f"127.0.0.{n}") == 200
            for each in others:  # silent all the time
                each.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert each.recv(15) == b"HTTP/1.1 200 OK"
                each.close()


@needs_prlimit
def test_the_soft_limit_is_raised_to_the_hard_one_and_commands_get_back_what_was_inherited(tmp_path):
    with controller(tmp_path, soft=256, hard=4096) as (port, program):
        (tmp_path / "release").write_text("#!/bin/sh\ncat >/dev/null\nulimit -n >> limits\necho v2\n")
        assert "4096                 4096" in Path(f"/proc/{program.pid}/limits").read_text()
        wish = {"target": "checkout", "reason": "r", "dry_run": True}
        assert ask(port, f"{BASE}/rollback/trigger", OPERATOR, wish) == 200
        assert set((tmp_path / "limits").read_text().split()) == {"256"}
    raised = next(line for line in logged(tmp_path) if line["message"] == "descriptor_limit_raised")
    assert (raised["rearguard.before"], raised["rearguard.now"]) == (256, 4096)


@needs_prlimit
def test_with_very_few_descriptors_connections_take_half_of_them(tmp_path):
    with controller(tmp_path, soft=128, hard=128) as (port, program):
        held = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(200)]
        assert ask(port, "/healthz") == 200
        assert descriptors(program) < 128
        for each in held:
            each.close()


def test_a_reader_that_takes_nothing_is_closed_after_the_idle_timeout(tmp_path):
    """Many requests, whose answers it never reads: what waits to be sent must not keep the connection."""
    with controller(tmp_path, soft=1024, hard=1024, more="limits: {idle_timeout: 500ms}\n") as (port, program):
        before = descriptors(program)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.connect(("127.0.0.1", port))
            request = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {VIEWER}\r\n\r\n"
            slow.settimeout(1)
            with contextlib.suppress(OSError):
                for _ in range(200):
                    slow.sendall(request.encode())
            deadline = time.monotonic() + 20
            while descriptors(program) > before:
                assert time.monotonic() < deadline
                time.sleep(0.05)
