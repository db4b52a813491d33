"""Pods whose containers are real processes on this machine: started, probed, restarted and ended like containers.

Each pod has an address of its own on loopback, so all can listen on the port of their manifest. A process finds
the address in `POD_IP` and the port in `PORT`, beside the variables of its manifest.
"""

import asyncio
import base64
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import aiohttp

from local_cluster.kinds import CONFIG_MAPS, SECRETS
from local_cluster.objects import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from local_cluster.pod_scripts import Seen
from local_cluster.store import Store

_PROBE_EVERY = 0.2  # seconds; a manifest's probes are slower, and tests are in a hurry
_END_LIMIT = 10.0  # seconds between SIGTERM and SIGKILL, at most
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.5, 5.0  # seconds between restarts
_LOOK_EVERY = 0.2
_VARIABLE = re.compile(r"\$\((?P<name>[A-Za-z_][A-Za-z0-9_]*)\)")
_CRASHES = "CrashLoopBackOff"


@dataclass(frozen=True, slots=True)
class Program:
    """How to run the containers of an image: a command that the manifest's command and args are added to.

    In both, `{address}`, `{port}`, `{pod}` and `{tag}` stand for the pod's address, the container's first port, the
    pod's name and the image's tag, and `$(NAME)` for a variable of the container.
    """

    command: Sequence[str | Path]
    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Container:
    """One container that runs, or waits to be started again."""

    child: subprocess.Popen[bytes] | None = None
    ready: bool = False
    restarts: int = 0
    code: int = 0
    start_at: float = 0.0
    probe: "asyncio.Task[None] | None" = None


class ProcessRunner:
    """Runs the containers whose image has a program."""

    def __init__(self, store: Store, logs: Path) -> None:
        """Write what each container prints to a file under `logs`, made when it is needed."""
        self._store = store
        self._logs = logs
        self._programs: dict[str, Program] = {}
        self._running: dict[tuple[str, str], _Container] = {}
        self._ending: dict[str, float] = {}
        self.look_again: Callable[[Object], None] = lambda _: None

    def set(self, image: str, program: Program) -> None:
        """Have containers of this image, or pattern such as `*/shop:*`, be processes from now on."""
        self._programs[image] = program

    def takes(self, pod: Object) -> bool:
        """Return true when every container of the pod has a program."""
        return all(self._program(one["image"]) for one in pod["spec"]["containers"])

    def log_of(self, namespace: str, pod: str, container: str) -> Path:
        """Return the file that a container prints to."""
        return self._logs / f"{namespace}_{pod}_{container}.log"

    def read_log(self, namespace: str, pod: str, container: str) -> str:
        """Return what a container has printed, empty for one that is no process."""
        file = self.log_of(namespace, pod, container)
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _program(self, image: str) -> Program | None:
        fitting = [pattern for pattern in self._programs if fnmatchcase(image, pattern)]
        return self._programs[max(fitting, key=len)] if fitting else None

    def see(self, pod: Object, container: Object) -> Seen:
        """Return how the container is now; starts it when it is new, or when its back-off is over."""
        one = self._running.setdefault((uid_of(pod), container["name"]), _Container())
        if one.child and (code := one.child.poll()) is not None:
            self._note_end(one, code)
        if one.child is None:
            wait = one.start_at - time.monotonic()
            if wait > 0:
                message = f"back-off {wait:.0f}s restarting failed container={container['name']} pod={name_of(pod)}"
                return Seen(
                    running=False,
                    ready=False,
                    restarts=one.restarts,
                    waiting=_CRASHES,
                    message=message,
                    exit_code=one.code,
                    changes_in=wait,
                )
            self._start(pod, container, one)
        return Seen(running=True, ready=one.ready, restarts=one.restarts, exit_code=one.code, changes_in=_LOOK_EVERY)

    def _note_end(self, one: _Container, code: int) -> None:
        one.child, one.ready, one.code = None, False, code if code >= 0 else 128 - code
        back_off = min(_FIRST_BACK_OFF * 2**one.restarts, _LONGEST_BACK_OFF)
        one.restarts += 1
        one.start_at = time.monotonic() + back_off
        if one.probe:
            one.probe.cancel()

    def _start(self, pod: Object, container: Object, one: _Container) -> None:
        program = self._program(container["image"])
        if program is None:
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        environment = self._environment(pod, container, program)
        command = [*program.command, *(container.get("command") or []), *(container.get("args") or [])]
        with self.log_of(namespace_of(pod), name_of(pod), container["name"]).open("ab") as log:
            one.child = subprocess.Popen(
                [_filled(str(part), environment, container["image"]) for part in command],
                cwd=program.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        one.probe = asyncio.create_task(self._probe(pod, container, one))

    def _environment(self, pod: Object, container: Object, program: Program) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        own = {"POD_IP": pod["status"]["podIP"], "HOSTNAME": name_of(pod)}
        if ports := container.get("ports"):
            own["PORT"] = str(ports[0]["containerPort"])
        said = {one["name"]: self._value(pod, one) for one in container.get("env") or []}
        return {**kept, **program.environment, **own, **said}

    def _value(self, pod: Object, variable: Object) -> str:
        source = variable.get("valueFrom") or {}
        if path := (source.get("fieldRef") or {}).get("fieldPath"):
            return _field(pod, path)
        if reference := source.get("configMapKeyRef"):
            found = self._store.get(CONFIG_MAPS, namespace_of(pod), reference["name"])
            return str((found.get("data") or {}).get(reference["key"], ""))
        if reference := source.get("secretKeyRef"):
            found = self._store.get(SECRETS, namespace_of(pod), reference["name"])
            return _decoded((found.get("data") or {}).get(reference["key"], ""))
        return str(variable.get("value", ""))

    async def _probe(self, pod: Object, container: Object, one: _Container) -> None:
        """Ask the container's readiness as its manifest says; without a probe it is ready once it runs."""
        probe = container.get("readinessProbe") or {}
        http = probe.get("httpGet")
        if http is None:
            self._found(pod, one, ready=True)
            return
        port = http["port"]
        if isinstance(port, str):
            port = next((one["containerPort"] for one in container["ports"] if one.get("name") == port), port)
        url = f"http://{pod['status']['podIP']}:{port}{http.get('path', '/')}"
        limit = aiohttp.ClientTimeout(total=max(float(probe.get("timeoutSeconds", 1)), 1.0))
        failed = 0
        async with aiohttp.ClientSession(timeout=limit) as session:
            while one.child is not None and one.child.poll() is None:
                well = await _is_well(session, url)
                failed = 0 if well else failed + 1
                if well or failed >= int(probe.get("failureThreshold", 3)):
                    self._found(pod, one, ready=well)
                await asyncio.sleep(_PROBE_EVERY)
        self.look_again(pod)

    def _found(self, pod: Object, one: _Container, *, ready: bool) -> None:
        if one.ready != ready:
            one.ready = ready
            self.look_again(pod)

    def end(self, pod: Object) -> bool:
        """Ask the pod's processes to end, kill them when they take too long; returns true once none is left."""
        mine = {key: one for key, one in self._running.items() if key[0] == uid_of(pod)}
        alive = [one.child for one in mine.values() if one.child and one.child.poll() is None]
        if not alive:
            for key, one in mine.items():
                if one.probe:
                    one.probe.cancel()
                del self._running[key]
            self._ending.pop(uid_of(pod), None)
            return True
        first = uid_of(pod) not in self._ending
        grace = min(float(pod["spec"].get("terminationGracePeriodSeconds", _END_LIMIT)), _END_LIMIT)
        kill_at = self._ending.setdefault(uid_of(pod), time.monotonic() + grace)
        for child in alive:
            if first or time.monotonic() >= kill_at:
                _send(child, signal.SIGTERM if time.monotonic() < kill_at else signal.SIGKILL)
        asyncio.get_running_loop().call_later(_LOOK_EVERY, self.look_again, pod)
        return False

    def kill_all(self) -> None:
        """Kill every process."""
        for one in self._running.values():
            if one.probe:
                one.probe.cancel()
            if one.child and one.child.poll() is None:
                _send(one.child, signal.SIGKILL)
                one.child.wait()
        self._running.clear()


def _filled(text: str, environment: dict[str, str], image: str) -> str:
    known = {
        "{address}": environment["POD_IP"],
        "{port}": environment.get("PORT", ""),
        "{pod}": environment["HOSTNAME"],
        "{tag}": image.rpartition(":")[2],
    }
    for name, value in known.items():
        text = text.replace(name, value)
    return _VARIABLE.sub(lambda found: environment.get(found["name"], found[0]), text)


def _send(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


async def _is_well(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _field(pod: Object, path: str) -> str:
    for prefix, texts in (("metadata.labels['", labels_of(pod)), ("metadata.annotations['", annotations_of(pod))):
        if path.startswith(prefix):
            return texts.get(path.removeprefix(prefix).removesuffix("']"), "")
    value: object = pod
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    return str(value)


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
