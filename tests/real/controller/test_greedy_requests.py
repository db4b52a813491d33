"""Requests that would take much memory if they were held: the controller reads on only as far as it has room.

The lowest versions of its libraries are tried with these, too.
"""

import contextlib
import http.client
import socket
import time
import zlib
from pathlib import Path

import psutil

from real.controller.running import controller
from real.controller.served import SENDER

MIB = 1024 * 1024
ROOM = 60 * MIB  # a delivery of 16 MiB, held once and buffered
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def running(folder):
    """The process of the controller that lives in a folder."""
    [found] = [each for each in psutil.Process().children() if each.cwd() == str(folder)]
    return found


def peak(process):
    """The most memory that a process ever had, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) * 1024


def asked(address):
    return http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)


def test_a_small_delivery_that_unpacks_to_a_gigabyte_is_refused_and_takes_no_room(tmp_path):
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packing.compress(b"a" * MIB) for _ in range(1024)) + packing.flush()
    with controller(tmp_path) as address:
        process = running(tmp_path)
        before = peak(process)
        caller = asked(address)
        caller.request("POST", "/webhook/alertmanager", bomb, {"Authorization": SENDER, "Content-Encoding": "gzip"})
        assert caller.getresponse().status == 413
        caller.close()
        assert peak(process) - before < ROOM


def test_requests_whose_answers_nobody_reads_are_not_taken_in(tmp_path):
    """From somebody without a token, one behind the other."""
    with controller(tmp_path) as address, contextlib.ExitStack() as held:
        process = running(tmp_path)
        before, sent = peak(process), 0
        host, port = address.removeprefix("http://").split(":")
        for _ in range(4):
            greedy = held.enter_context(socket.create_connection((host, int(port))))
            greedy.settimeout(1)
            deadline = time.monotonic() + 20
            with contextlib.suppress(TimeoutError, ConnectionError):
                while time.monotonic() < deadline:
                    sent += greedy.send(HEALTH * 2000)
        assert sent > MIB  # of it, the system keeps some itself
        caller = asked(address)
        caller.request("GET", "/healthz")
        assert caller.getresponse().status == 200
        caller.close()
        assert peak(process) - before < ROOM
