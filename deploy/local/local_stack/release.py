"""Which release of the shop serves: `release current|list|check|activate|deploy|stop`.

A release is a folder below `releases/`; the link `current` names the one that should serve, and the shop's own record
names the one that does. Changes are made one at a time (a file lock), and the link is switched in one rename.
Never here: why a release is changed; anything about traffic. Only the standard library and psutil: this starts often.
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CATALOGUE = Path(__file__).resolve().parents[1] / "releases"  # what CI has built
_STOP_LIMIT = 5.0  # seconds a process gets to end by itself
_START_LIMIT = 20.0  # seconds a release gets until it is healthy
_POLL = 0.05


class SupervisorError(Exception):
    """The wish cannot be fulfilled; the message says why, and nothing serves that was not asked for."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The process that serves, and what it serves."""

    pid: int
    created: float  # the process's creation time: a pid alone may be somebody else's by now
    version: str
    since: float

    def process(self) -> psutil.Process | None:
        """Return the process while it runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            ours = abs(process.create_time() - self.created) < 1.0
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The shop of one home folder: `shop.json` (port, database), `releases/`, `current`, `run/`."""

    home: Path

    @property
    def releases(self) -> Path:
        """The folder of releases that are installed here."""
        return self.home / "releases"

    @property
    def link(self) -> Path:
        """The link to the release that should serve."""
        return self.home / "current"

    @property
    def record(self) -> Path:
        """The file that the serving process writes about itself."""
        return self.home / "run" / "shop.json"

    @property
    def history(self) -> Path:
        """The file with a line for each release that was started: when, and which version."""
        return self.home / "logs" / "releases.log"

    def serving(self) -> Serving | None:
        """Return what really serves: the recorded process, provided it still runs."""
        try:
            serving = Serving(**json.loads(self.record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return serving if serving.process() else None

    def current(self) -> str:
        """Return the version whose process serves; of a process that died, the version that should serve.

        A release that crashes must still be named: it is the one to be rolled back.
        """
        serving = self.serving()
        if serving is not None:
            return serving.version
        if not self.link.is_symlink():
            raise SupervisorError("nothing was activated yet")
        return self.link.readlink().name

    def versions(self) -> list[str]:
        """Return the versions that are installed, the one installed last first."""
        if not self.releases.is_dir():
            return []
        folders = [folder for folder in self.releases.iterdir() if (folder / "release.json").is_file()]
        return [folder.name for folder in sorted(folders, key=_installed_at, reverse=True)]

    def check(self, version: str) -> Path:
        """Return the release's folder when it could be activated; raises `SupervisorError` when not."""
        if version not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise SupervisorError(f"{version!r} is not an installed release; installed: {known}")
        folder = self.releases / version
        try:
            named = json.loads((folder / "release.json").read_text(encoding="utf-8"))["version"]
            compile((folder / "pricing.py").read_text(encoding="utf-8"), str(folder / "pricing.py"), "exec")
        except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
            raise SupervisorError(f"release {version} is damaged: {error}") from error
        if named != version:
            raise SupervisorError(f"release {version} calls itself {named!r}")
        return folder

    def deploy(self, version: str) -> Serving:
        """Install a release from the catalogue, then activate it."""
        built = sorted(path.parent.name for path in CATALOGUE.glob("*/release.json"))
        if version not in built:
            raise SupervisorError(f"{version!r} has not been built; built: {', '.join(built)}")
        with self._alone():
            target = self.releases / version
            if not target.exists():
                aside = self.home / "run" / f"install-{version}"
                shutil.rmtree(aside, ignore_errors=True)
                shutil.copytree(CATALOGUE / version, aside, ignore=shutil.ignore_patterns("__pycache__"))
                os.utime(aside / "release.json")
                self.releases.mkdir(exist_ok=True)
                aside.rename(target)
            return self._activate(version)

    def activate(self, version: str) -> Serving:
        """Make an installed release serve; does nothing when it already does."""
        with self._alone():
            return self._activate(version)

    def stop(self) -> None:
        """End the serving process, if any."""
        with self._alone():
            self._stop()

    def _activate(self, version: str) -> Serving:
        folder = self.check(version)
        serving = self.serving()
        if serving and serving.version == version and self._healthy():
            self._point_to(folder)
            return serving
        self._point_to(folder)
        self._stop()
        return self._start(version)

    def _point_to(self, folder: Path) -> None:
        aside = self.home / "run" / "current.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(Path("releases") / folder.name)
        aside.replace(self.link)

    def _stop(self) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.terminate()
                if not _ended(process, _STOP_LIMIT):
                    os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
                    _ended(process, _STOP_LIMIT)
        self.record.unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        """Return every shop process of this home, also one whose start was interrupted before it wrote its record."""
        record = str(self.record)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = process.cmdline()
                if record in words and "local_stack.shop" in words:
                    found.append(process)
        return found

    def _start(self, version: str) -> Serving:
        settings = json.loads((self.home / "shop.json").read_text(encoding="utf-8"))
        words = ["--release", str(self.home / "releases" / version), "--port", str(settings["port"])]
        words += ["--database", settings["database"], "--record", str(self.record)]
        log_file = self.home / "logs" / "shop.log"
        with log_file.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "local_stack.shop", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it outlives this script, and the controller that called it
            )
        limit = time.monotonic() + _START_LIMIT
        while time.monotonic() < limit and child.poll() is None:
            serving = self.serving()
            if serving and serving.pid == child.pid and self._healthy():
                with self.history.open("a", encoding="utf-8") as history:
                    history.write(f"{serving.since:.3f} {version}\n")
                return serving
            time.sleep(_POLL)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        lines = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise SupervisorError(f"release {version} did not start: {lines[-1] if lines else 'it said nothing'}")

    def _healthy(self) -> bool:
        from http.client import HTTPConnection, HTTPException  # noqa: PLC0415 - dear, and most commands need it not

        port = json.loads((self.home / "shop.json").read_text(encoding="utf-8"))["port"]
        line = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            line.request("GET", "/healthz")
            return line.getresponse().status == 200  # noqa: PLR2004 - HTTP's own number
        except (OSError, HTTPException):
            return False
        finally:
            line.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        for name in ("run", "logs"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        with (self.home / "run" / "release.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _installed_at(folder: Path) -> int:
    return (folder / "release.json").stat().st_mtime_ns


def _ended(process: psutil.Process, limit: float) -> bool:
    """Return true when the process ends within `limit` seconds; a zombie whose parent sleeps counts as ended."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(_POLL)
                continue
        return True
    return False


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="release", description="Which release of the shop serves.")
    parser.add_argument("--home", type=Path, required=True, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("current", help="print the version that serves, or should")
    commands.add_parser("list", help="print the installed versions, newest first")
    commands.add_parser("stop", help="end the serving process")
    for name, text in (
        ("check", "prove that a version could be activated"),
        ("activate", "make an installed version serve"),
        ("deploy", "install a built version and make it serve"),
    ):
        commands.add_parser(name, help=text).add_argument("version")
    return parser.parse_args(words)


def _obey(supervisor: Supervisor, options: argparse.Namespace) -> list[str]:
    match options.command:
        case "current":
            return [supervisor.current()]
        case "list":
            return supervisor.versions()
        case "check":
            supervisor.check(options.version)
            return []
        case "activate":
            return [supervisor.activate(options.version).version]
        case "deploy":
            return [supervisor.deploy(options.version).version]
        case _:
            supervisor.stop()
            return []


def main(words: list[str] | None = None) -> int:
    """Obey one command; returns 0, or 1 with the reason on standard error (2 is argparse's, for wrong use)."""
    options = _arguments(words)
    try:
        for line in _obey(Supervisor(options.home.resolve()), options):
            print(line)
    except (SupervisorError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
