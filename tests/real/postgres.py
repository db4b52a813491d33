"""A real PostgreSQL server of a test's own, on a free port of the loopback.

Here: making its folder, starting it, stopping it gently or hard, databases in it. The server refuses to run as root,
so that where the tests do, it runs as an unprivileged user to whom its folder belongs.
Never here: what is stored in it.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from local_stack import binaries
from local_stack.process import free_ports

USER = "rearguard"
UNPRIVILEGED = "nobody"
DEADLINE = 60.0  # seconds that the server may take to start or to stop


class Server:
    """A server with its folder; not started yet."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Make the server's files in a folder that exists. `settings` are those of the server, besides the usual."""
        self.folder = folder
        self._settings = settings
        self.port = free_ports(1)[0]
        self._as = _unprivileged(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            binaries.find("initdb"), "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C",
            "--no-sync", "-D", folder / "data",
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "jit": "off",
            "max_connections": "200",
            "dynamic_shared_memory_type": "mmap",
            **self._settings,
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries.find("postgres"), "-D", self.folder / "data", *words],
                stdout=log, stderr=log, cwd=self.folder, env=binaries.environment(), **self._as,
            )  # fmt: skip
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)  # between two looks, with a deadline

    def stop_hard(self) -> None:
        """End it as a crash of the server would, in the middle of whatever it does."""
        self._run(binaries.find("pg_ctl"), "stop", "-w", "-m", "immediate", "-D", self.folder / "data")
        if self._process is not None:
            self._process.wait(DEADLINE)

    def hold(self) -> None:
        """Let all its processes hang: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it, if it runs, and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self.go_on()
            self._process.send_signal(signal.SIGQUIT)  # immediate shutdown
            try:
                self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def database(self) -> str:
        """Make an empty database of its own; returns its URL."""
        name = f"test_{uuid.uuid4().hex}"
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f"create database {name}")
        finally:
            await connection.close()
        return self.url(name)

    def url(self, database: str) -> str:
        """A database's URL."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        log = subprocess.run(
            [binaries.find("pg_ctl"), "status", "-D", self.folder / "data"],
            capture_output=True, check=False, env=binaries.environment(), cwd=self.folder, **self._as,
        )  # fmt: skip
        state = self.folder / "data" / "postmaster.pid"
        lines = state.read_text().splitlines() if log.returncode == 0 and state.exists() else []
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _run(self, *words: object) -> None:
        done = subprocess.run(
            [str(word) for word in words],
            capture_output=True, text=True, check=False, timeout=DEADLINE,
            env=binaries.environment(), cwd=self.folder, **self._as,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A server that is stopped and removed at the end, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="rearguard-postgres-"))
    server = None
    try:
        server = Server(folder, **settings)
        server.start()
        yield server
    finally:
        if server is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            server.remove()


def _unprivileged(folder: Path) -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
