"""A folder with targets, a journal and processes around it: everything a measurement starts, and ends again.

Here: the configuration, a journal in which v1 earned trust and v2 came ten minutes ago, starting the controller as
users start it, ending every process on the way out.
Never here: measuring.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

from local_stack.process import free_ports
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.model import Release

HERE = Path(__file__).parent
CALM, CALM_FOR, CALM_WITHIN = 0.2, 5, 240.0  # seconds of processor time in a second; seconds
DEADLINE = 60.0  # seconds that a process may take to be ready, or to end
TOP = """
environment: production
journal: {journal}
listen: 127.0.0.1:{port}
prometheus: {{url: "{prometheus}", poll_interval: {poll}}}
storm: {{targets: {storm}}}
policies:
  standard: {{mode: {mode}, alerts: {{action: rollback}}, watch_window: 2h}}
targets:
"""
TARGET = """
  - name: svc-{n}
    match: {{service_name: svc-{n}, deployment_environment_name: production}}
    policy: standard
    release:
      command:
        current: [cat, current-{n}]
        versions: [cat, versions]
        rollback: [{activate}]
"""
HOOK = "    hooks: {{before: [{{name: stamp, command: [{program}]}}]}}\n"


class Place:
    """Use as a context."""

    def __init__(self, targets=1, young=None):
        """All targets serve v2 since ten minutes; with `young`, only so many do, and the others v1 since a day."""
        self.targets = targets
        self.young = targets if young is None else young
        self._ends = contextlib.ExitStack()

    def __enter__(self):
        self.folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="rearguard-bench-")))
        (self.folder / "versions").write_text("v2\nv1\n")
        for number in range(self.targets):
            (self.folder / f"current-{number}").write_text("v2\n" if number < self.young else "v1\n")
            (self.folder / f"v1-{number}").write_text("v1\n")
        return self

    def __exit__(self, *error):
        return self._ends.__exit__(*error)

    def start(self, *words, listens=None, env=None):
        """Start a process; wait until it listens on a port. It is ended with the place."""
        log = self._ends.enter_context((self.folder / f"log-{time.monotonic_ns()}").open("wb"))
        process = subprocess.Popen(
            [str(word) for word in words], stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **(env or {})}
        )
        self._ends.callback(end, process)
        if listens is not None:
            _wait_for(listens, process, Path(log.name))
        return process

    def prometheus(self):
        """Start the stand-in; returns its address."""
        process = subprocess.Popen(
            [sys.executable, HERE / "stand_in.py", *self._sizes()], stdout=subprocess.PIPE, text=True
        )
        self._ends.callback(end, process)
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    def _sizes(self):
        return [str(self.targets), *([str(self.young)] if self.young < self.targets else [])]

    def configure(self, journal, prometheus, *, mode="act", poll="15s", hook=None, storm=1000):
        """Write a configuration; returns its file and the port."""
        port = free_port()
        address = journal if journal.startswith("postgresql:") else f"sqlite://{journal}"
        text = TOP.format(journal=address, port=port, prometheus=prometheus, poll=poll, mode=mode, storm=storm)
        for n in range(self.targets):
            text += TARGET.format(n=n, activate=f"cp, v1-{n}, current-{n}")
            text += HOOK.format(program=hook) if hook else ""
        file = self.folder / f"rearguard-{port}.yaml"
        file.write_text(text)
        return file, port

    def controller(self, file, port, **more):
        """Start the controller as users do."""
        words = (sys.executable, "-m", "rearguard_controller", "serve", "--insecure", "--config", file)
        return self.start(*words, listens=port, **more)

    def remember(self, journal):
        """Put into the journal what a controller that ran for a day would know."""
        asyncio.run(self._remember(journal))

    async def _remember(self, address):
        journal, now = await open_journal(address), time.time()
        for n in range(self.targets):
            name = f"svc-{n}"
            good = Release(
                name, "v1", now - 86400, now - 600, now - 86400, service_version="v1", known_good_at=now - 80000
            )
            if n >= self.young:
                await journal.change_release(name, "v1", lambda _known, good=good: replace(good, last_seen=now))
                await journal.change_target(name, lambda state: _calm(state, now))
                continue
            for release in (good, Release(name, "v2", now - 600, now, service_version="v2")):
                await journal.change_release(name, release.version, lambda _known, release=release: release)
            await journal.change_target(name, lambda state: _deployed(state, now))
        await journal.close()


def _deployed(state, now):
    return replace(
        state, serving_version="v2", serving_since=now - 600, changed_after=now - 601, looked_at=now,
        previous_version="v1", is_release=True,
    )  # fmt: skip


def _calm(state, now):
    return replace(state, serving_version="v1", serving_since=now - 86400, changed_after=now - 86401, looked_at=now)


def free_port():
    return free_ports(1)[0]


def metrics(port):
    """The lines of a controller's own metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:  # our own
        return answer.read().decode().splitlines()


def until_looked(port, targets):
    """Return once the controller says of each of so many targets which version serves: its first poll is over."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        serving = [line for line in metrics(port) if line.startswith("rearguard_target_version_info")]
        if sum('state="serving"' in line and line.endswith(" 1.0") for line in serving) == targets:
            return
        time.sleep(0.05)  # between two looks, with a deadline
    raise AssertionError(f"the controller did not look at its targets within {DEADLINE:g} s")


def until_calm(process, port):
    """Return once the first poll and what follows it are over: little processor time is taken."""
    deadline, calm = time.monotonic() + CALM_WITHIN, 0
    while calm < CALM_FOR:
        assert time.monotonic() < deadline, f"the first poll was not over within {CALM_WITHIN:g} s"
        before = processor(process)
        time.sleep(1)  # between two looks, with a deadline
        asked = _has_polled(port)
        calm = calm + 1 if asked and processor(process) - before < CALM else 0


def _has_polled(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:  # our own
        return json.loads(answer.read())["prometheus_age_s"] is not None


def end(process):
    """End a process that was started here."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def memory(process):
    """The most memory that a process held so far, in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def processor(process):
    """Seconds of processor time so far, without those of its children."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_for(port, process, log):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.01)  # between two looks, with a deadline
    raise AssertionError(f"did not come up:\n{log.read_text()[-2000:]}")
