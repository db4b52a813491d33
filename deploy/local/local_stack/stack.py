"""All parts of the local stack as one thing: start them in order or singly, stop them all whatever happens.

Here: which programs there are and in which order. Never here: their settings, the story of the demo, the load.
Use it as a context manager: leaving it, also by an exception, stops everything that was started.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local_stack import binaries, settings
from local_stack.layout import HOST, TARGET, Layout
from local_stack.process import Program, StackError
from local_stack.release import Supervisor

_COMMAND_LIMIT = 60.0


class Stack:
    """The shop, HAProxy, Prometheus, Alertmanager and the controller in one work folder."""

    def __init__(self, folder: Path, *, database: str | None = None) -> None:
        """Lay out the folder and write every setting; nothing is started yet.

        Args:
            folder: the work folder, made where it is missing.
            database: the shop's, as an SQLAlchemy URL with an async driver; SQLite in the work folder by default.
        """
        self.layout = Layout.make(folder)
        settings.write_all(self.layout, database)
        self.supervisor = Supervisor(self.layout.folder)
        self.proxy = self._proxy()
        self.prometheus = self._prometheus()
        self.alertmanager = self._alertmanager()
        self.controller = self._controller()

    @property
    def programs(self) -> tuple[Program, ...]:
        """Every program but the shop, in the order of their start."""
        return (self.proxy, self.alertmanager, self.prometheus, self.controller)

    def start(self, *, without: Sequence[Program] = ()) -> None:
        """Start release v1 and every program that is not in `without`; each is ready when this returns."""
        self.release("deploy", "v1")
        for program in self.programs:
            if program not in without:
                program.start()

    def stop(self) -> None:
        """Stop everything. May be repeated; one part that resists does not keep the others running."""
        failures = []
        for stop in (*(program.stop for program in reversed(self.programs)), self.supervisor.stop):
            try:
                stop()
            except Exception as error:  # noqa: BLE001 - the others must be stopped as well
                failures.append(str(error))
        if failures:
            raise StackError("; ".join(failures))

    def configure_controller(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the controller's configuration file; it counts from the controller's next start."""
        settings.rewrite(self.layout.folder / "rearguard.yaml", change)

    def release(self, *words: str) -> str:
        """Run the release command as the controller would; returns what it printed. Raises `StackError`."""
        return self._run("release", *words)

    def traffic(self, word: str, target: str = TARGET) -> str:
        """Run the traffic command as the controller would; returns what it printed. Raises `StackError`."""
        return self._run("traffic", word, target)

    def _run(self, command: str, *words: str) -> str:
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        done = subprocess.run(
            [self.layout.folder / command, *words],
            cwd="/",
            env=clean,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_LIMIT,
        )
        if done.returncode != 0:
            raise StackError(f"{command} {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def __enter__(self) -> Self:
        """Return the stack as it is; start what you need."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    # --- the programs --------------------------------------------------------------------------------------

    def _proxy(self) -> Program:
        command: list[str | Path] = [binaries.find("haproxy"), "-db", "-f", "haproxy.cfg"]
        return self._program("haproxy", command, f"{self.layout.proxy}/haproxy-alive")

    def _prometheus(self) -> Program:
        program = binaries.find("prometheus")
        command: list[str | Path] = [
            program,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data/prometheus",
            "--storage.tsdb.retention.time=1d",
            f"--web.listen-address={HOST}:{self.layout.prometheus_port}",
        ]
        assets = program.parents[1] / "share/prometheus/web"
        if assets.is_dir() and program.is_relative_to(binaries.LOCAL):
            command.append(f"--web.local-assets={assets}/")  # Debian's build keeps its pages outside the program
        return self._program("prometheus", command, f"{self.layout.prometheus}/-/ready")

    def _alertmanager(self) -> Program:
        command: list[str | Path] = [
            binaries.find("prometheus-alertmanager"),
            "--config.file=alertmanager.yml",
            "--storage.path=data/alertmanager",
            f"--web.listen-address={HOST}:{self.layout.alertmanager_port}",
            "--cluster.listen-address=",
        ]
        return self._program("alertmanager", command, f"{self.layout.alertmanager}/-/ready")

    def _controller(self) -> Program:
        command = [sys.executable, "-m", "rearguard_controller", "serve", "--config", "rearguard.yaml"]
        return self._program("controller", command, f"{self.layout.controller}/healthz")

    def _program(self, name: str, command: Sequence[str | Path], ready_url: str) -> Program:
        return Program(
            name,
            command,
            folder=self.layout.folder,
            log=self.layout.log(name),
            ready_url=ready_url,
            environment=binaries.environment(),
        )
