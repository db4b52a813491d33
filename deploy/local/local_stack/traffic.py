"""Whether clients reach the shop: `traffic state|drain|restore TARGET`, through HAProxy's runtime socket.

Drained: new requests get HAProxy's own 503 with Retry-After, requests under way end in peace within a limit, and what
is left then (price feeds, mostly) is cut. Every command may be repeated. Never here: releases; starting HAProxy.
"""

import argparse
import csv
import io
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SOCKET = Path("run/haproxy.sock")  # relative to the home folder: socket addresses hold about a hundred characters
SERVER = "instance"  # every target has one server of this name
_POLL = 0.1
_ANSWER_LIMIT = 5.0
_CUT_LIMIT = 3.0  # seconds until sessions that were cut must be gone


class TrafficError(Exception):
    """The traffic switch did not do it; the message says why."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What HAProxy says of a target's server."""

    status: str  # HAProxy's word: "UP", "no check", "DRAIN", "MAINT" ...
    sessions: int

    @property
    def drained(self) -> bool:
        """True when no new request is let through."""
        return self.status.startswith(("DRAIN", "MAINT"))

    def __str__(self) -> str:
        """One word and the sessions left."""
        return f"{'drained' if self.drained else 'open'} sessions={self.sessions}"


def _say(command: str) -> str:
    """Give HAProxy a runtime command; returns its answer. Raises `TrafficError` when it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_ANSWER_LIMIT)
            line.connect(str(SOCKET))
            line.sendall(command.encode() + b"\n")
            parts = []
            while part := line.recv(65536):
                parts.append(part)
    except OSError as error:
        raise TrafficError(f"HAProxy does not answer on {SOCKET}: {error}") from error
    return b"".join(parts).decode()


def state(target: str) -> Traffic:
    """Return the target's traffic now; raises `TrafficError` for an unknown target."""
    for row in csv.DictReader(io.StringIO(_say("show stat").removeprefix("# "))):
        if row["pxname"] == target and row["svname"] == SERVER:
            return Traffic(row["status"], int(row["scur"]))
    raise TrafficError(f"HAProxy knows no target {target!r}")


def _checked(target: str) -> str:
    """Return the name when it may become part of a runtime command."""
    if not target.replace("-", "").replace("_", "").isalnum():
        raise TrafficError(f"{target!r} is no name of a target")
    return target


def _set(target: str, wanted: str) -> None:
    answer = _say(f"set server {target}/{SERVER} state {wanted}").strip()
    if answer:
        raise TrafficError(f"HAProxy refused: {answer}")


def _sessions_after(target: str, limit: float) -> int:
    """Wait up to `limit` seconds for the sessions to end; returns how many are left."""
    deadline = time.monotonic() + limit
    while (left := state(target).sessions) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return left


def drain(target: str, limit: float) -> Traffic:
    """Let nothing new in, wait up to `limit` seconds for what is under way, cut the rest; returns the state."""
    state(target)
    _set(target, "drain")
    if _sessions_after(target, limit):
        _say(f"shutdown sessions server {target}/{SERVER}")
        if left := _sessions_after(target, _CUT_LIMIT):
            raise TrafficError(f"{left} sessions of {target} could not be cut")
    return _proven(target, drained=True)


def restore(target: str) -> Traffic:
    """Let requests through again; returns what HAProxy says."""
    state(target)
    _set(target, "ready")
    return _proven(target, drained=False)


def _proven(target: str, *, drained: bool) -> Traffic:
    now = state(target)
    if now.drained is not drained:
        raise TrafficError(f"{target} is still {now}")
    return now


def _obey(command: str, target: str, limit: float) -> Traffic:
    match command:
        case "drain":
            return drain(target, limit)
        case "restore":
            return restore(target)
        case _:
            return state(target)


def main(words: list[str] | None = None) -> int:
    """Obey one command; returns 0, or 1 with the reason on standard error (2 is argparse's, for wrong use)."""
    parser = argparse.ArgumentParser(prog="traffic", description="Whether clients reach a target.")
    parser.add_argument("--home", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("command", choices=("state", "drain", "restore"))
    parser.add_argument("target")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds that requests under way get (default 5)")
    options = parser.parse_args(words)
    try:
        os.chdir(options.home)
        now = _obey(options.command, _checked(options.target), options.limit)
    except (TrafficError, OSError) as error:
        print(f"traffic: {error}", file=sys.stderr)
        return 1
    print(f"{options.target} {now}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
