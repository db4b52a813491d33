"""Long-running programs of the stack, each in a process group of its own, with its log in a file.

Here: start, wait until ready (with a deadline), end, kill. Never here: which programs there are, and their settings.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

import requests

T = TypeVar("T")

_POLL = 0.05
_LOWEST_PORT, _HIGHEST_PORT = 10_000, 32_000  # Linux begins outgoing connections at 32,768
_END_LIMIT = 10.0  # seconds a program gets to end by itself before it is killed


class StackError(Exception):
    """A part of the stack does not do what it should; the message says which, and quotes the end of its log."""


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that were free a moment ago, all different.

    They lie below those that the system gives to outgoing connections, so none is taken that way meanwhile.
    """
    holders: list[socket.socket] = []
    try:
        while len(holders) < count:
            holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                holder.bind(("127.0.0.1", _LOWEST_PORT + secrets.randbelow(_HIGHEST_PORT - _LOWEST_PORT)))
            except OSError:  # taken: the next one
                holder.close()
                continue
            holders.append(holder)
        return [int(holder.getsockname()[1]) for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def wait_until(ask: Callable[[], T | None], *, within: float, what: str, every: float = _POLL) -> T:
    """Return the first true answer; raises `StackError` naming `what` when there is none within `within` seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(every)
    raise StackError(f"{what}: not within {within:g} s")


def answers(url: str) -> bool:
    """Return true when the address answers 2xx or 3xx."""
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


class Program:
    """One program that can be started, ended, killed and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        folder: Path,
        log: Path,
        ready_url: str,
        environment: Mapping[str, str],
    ) -> None:
        """Start nothing yet; `ready_url` answers 2xx once the program can be used."""
        self.name = name
        self.log = log
        self._command = command
        self._folder = folder
        self._ready_url = ready_url
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self, *, within: float = 30.0) -> float:
        """Start it and wait until it is ready; returns the seconds that took. Raises `StackError`."""
        if self.pid:
            return 0.0
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._child = self._spawn(log)
        wait_until(self._ready, within=within, what=f"{self.name} ready ({self._ready_url})")
        return time.monotonic() - began

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _ready(self) -> bool:
        if self.pid is None:
            raise StackError(f"{self.name} ended at once:\n{self.tail()}")
        return answers(self._ready_url)

    def stop(self) -> None:
        """End it, by force when it takes too long. May be repeated."""
        if self._child is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._child.wait(timeout=_END_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
        self._child = None

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would: the program and what it has started in its own group."""
        if self._child is not None:
            self._signal(signal.SIGKILL)
            self._child.wait()
            self._child = None

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def tail(self, lines: int = 12) -> str:
        """Return the end of the log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""
