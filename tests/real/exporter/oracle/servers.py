"""The servers under test, each a process of its own: how it is started, when it listens, and what it logged."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from local_stack.binaries import ROOT
from local_stack.process import free_ports, wait_until

_BIN = Path(sys.executable).parent
_TESTS = ROOT / "tests"

_UVICORN = ("python", "-m", "uvicorn", "--port", "{port}", "--timeout-graceful-shutdown", "1", "{app}")
_HYPERCORN = ("hypercorn", "-b", "127.0.0.1:{port}", "--graceful-timeout", "1", "{app}")
_GUNICORN = ("gunicorn", "-b", "127.0.0.1:{port}", "--graceful-timeout", "1", "{app}")
_GRANIAN = ("granian", "--interface", "asgi", "--port", "{port}", "--workers-kill-timeout", "1", "{app}")
_DAPHNE = ("daphne", "-b", "127.0.0.1", "-p", "{port}", "{app}")

ASGI: Mapping[str, tuple[str, ...]] = {
    "uvicorn-h11": (*_UVICORN, "--http", "h11", "--loop", "asyncio"),
    "uvicorn-httptools": (*_UVICORN, "--http", "httptools", "--loop", "asyncio"),
    "uvicorn-uvloop": (*_UVICORN, "--http", "httptools", "--loop", "uvloop"),
    "hypercorn": _HYPERCORN,
    "hypercorn-uvloop": (*_HYPERCORN, "-k", "uvloop"),
    "hypercorn-trio": (*_HYPERCORN, "-k", "trio"),
    "daphne": _DAPHNE,
    "granian": _GRANIAN,
    "gunicorn-asgi": (*_GUNICORN, "-k", "asgi"),
    "gunicorn-uvicorn": (*_GUNICORN, "-k", "uvicorn_worker.UvicornWorker"),
}
"""The command of each server of ASGI applications."""

HTTP2: Mapping[str, tuple[str, ...]] = {
    f"h2-{name}": ASGI[name] for name in ("hypercorn", "hypercorn-trio", "granian")
}
"""Those that speak HTTP/2 without TLS."""

WSGI: Mapping[str, tuple[str, ...]] = {
    "gunicorn-sync": _GUNICORN,
    "gunicorn-gthread": (*_GUNICORN, "-k", "gthread", "--threads", "32"),
    "gunicorn-gevent": (*_GUNICORN, "-k", "gevent"),
    "waitress": ("waitress-serve", "--listen", "127.0.0.1:{port}", "--threads", "32", "{app}"),
    "cheroot": ("cheroot", "{app}", "--bind", "127.0.0.1:{port}", "--threads", "32"),
    "werkzeug": ("python", "-m", "real.exporter.oracle.werkzeug_server", "{port}", "{app}"),
}
"""The command of each server of WSGI applications."""

_ITSELF = ("python", "-m", "real.exporter.oracle.apps.aiohttp_app", "{port}")
AIOHTTP: Mapping[str, tuple[str, ...]] = {
    "aiohttp": _ITSELF,
    "aiohttp-cancelling": (*_ITSELF, "cancelling"),  # it cancels handlers whose caller left
    "gunicorn-aiohttp": (*_GUNICORN, "-k", "aiohttp.GunicornWebWorker"),
    "gunicorn-aiohttp-uvloop": (*_GUNICORN, "-k", "aiohttp.GunicornUVLoopWebWorker"),
}
"""The command of each server of aiohttp's applications."""


COMMANDS: Mapping[str, tuple[str, ...]] = {**ASGI, **HTTP2, **WSGI, **AIOHTTP}
"""The commands of all of them; their names differ."""


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    port: int
    folder: Path
    log: Path

    def said(self) -> str:
        """What it logged until now."""
        return self.log.read_text(errors="replace")


@contextmanager
def serve(command: tuple[str, ...], app: str, folder: Path, **environment: str) -> Iterator[Served]:
    """Run this server with this application (`module:name` in `apps`) as long as the context lasts."""
    [port] = free_ports(1)
    words = [word.format(port=port, app=f"real.exporter.oracle.apps.{app}") for word in command]
    log = folder / "log"
    paths = os.pathsep.join(map(str, (_TESTS, ROOT / "deploy/local")))
    environment = {
        "PATH": f"{_BIN}:/usr/bin:/bin", "PYTHONPATH": paths, "ORACLE_FOLDER": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1", **environment,
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            [_BIN / words[0], *words[1:]], cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_until(lambda: _listens(port, process, log), within=30, what=f"{words[0]} listens")
        yield Served(port, folder, log)
    finally:
        _end(process)


def _listens(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):  # workers that outlive a killed parent
        os.killpg(process.pid, signal.SIGKILL)
