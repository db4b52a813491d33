"""The stand-alone exporter as a process: what is watched, the port, reloads, signals.

A reload keeps everything whose settings did not change, with its connection and its counters.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prometheus_client.registry import Collector

from rearguard_exporter.background.threads import Worker
from rearguard_exporter.endpoints.metrics import MetricsEndpoint
from rearguard_exporter.endpoints.own_port import OwnPort
from rearguard_exporter.exposition.render import Sources
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.standalone import families
from rearguard_exporter.standalone.config.configuration import Configuration, load
from rearguard_exporter.standalone.config.files import Mark, is_exposed, mark
from rearguard_exporter.standalone.errors import ConfigError
from rearguard_exporter.standalone.tls import ServerTls
from rearguard_exporter.standalone.watched.figures import Figures, Watched, WatchedCollector
from rearguard_exporter.standalone.watched.process import WatchedProcess
from rearguard_exporter.values.own_collectors import TargetInfo

LOOK_EVERY = 1.0  # seconds between two looks at the files
_PATIENCE = 5.0  # seconds that files may take to be read
_AGAIN = 1.0  # seconds before what broke is begun again

T = TypeVar("T")


class Part(Watched, Protocol):
    """Something that is watched, with work on the loop or in a thread."""

    def stop(self) -> None:
        """Watch it no more."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the port serves."""

    metrics: MetricsEndpoint
    dashboard: None = None


@dataclass(slots=True)
class _Own:
    """What the exporter says of itself."""

    figures: Figures = field(default_factory=lambda: {families.CONFIG_RELOADED: {(): 1.0}})


class Exporter:
    """Watches what the file says, from `run` on.

    Raises:
        ConfigError: the configuration cannot be used.
        ModuleNotFoundError: a library that it needs is not installed.
        OSError: the port cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[Path, Mark | None] = {path: mark(path)}
        self._configuration = load(path)
        self._tls = None if (file := self._configuration.tls_config_file) is None else ServerTls(file)
        self._own = _Own()
        self._parts: dict[object, Part] = {}
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._shown: list[Collector] = [_info(self._configuration), WatchedCollector(self._all)]
        self._files = Worker("rearguard-files")
        self._reading: Future[Any] | None = None
        self._told = ""
        _warn_of_secrets(self._configuration)
        self._make(self._configuration)  # before the port opens: a library may be missing

    async def run(self) -> None:
        """Serve, until SIGTERM or SIGINT.

        Raises:
            OSError: the port cannot be opened.
        """
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        hung_up = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        loop.add_signal_handler(signal.SIGHUP, hung_up.set)
        worker = Worker("rearguard-render")
        shown = _Shown(MetricsEndpoint(Sources(self._shown), {}, worker))
        host, port = self._configuration.listen
        served = OwnPort(shown, host, port, lambda: False, self._tls)
        self._start()
        if served.address is not None:  # else the log says that it is taken
            log.info("rearguard_exporter: listening on %s:%s", *served.address)
        follower = asyncio.create_task(_again(lambda: self._follow(hung_up), "following files"))
        await stop.wait()
        follower.cancel()

    async def reload(self) -> None:
        """Read the configuration again; one that cannot be used is logged, and the one before still counts."""
        marks = {file: mark(file) for file in self._configuration.files}
        try:
            found = await self._read(partial(load, self._path))
            _refuse_fixed(self._configuration, found, self._path)
            self._make(found)
        except (ConfigError, ModuleNotFoundError) as error:
            self._own.figures = {families.CONFIG_RELOADED: {(): 0.0}}
            if str(error) != self._told:
                log.error("rearguard_exporter: not reloaded, the configuration before still counts: %s", error)
            self._told = str(error)
            return
        self._marks = {file: marks[file] if file in marks else mark(file) for file in found.files}
        self._configuration, self._told = found, ""
        self._shown[0] = _info(found)
        self._start()
        self._own.figures = {families.CONFIG_RELOADED: {(): 1.0}}
        _warn_of_secrets(found)
        log.info("rearguard_exporter: reloaded")

    async def _follow(self, hung_up: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await hung_up.wait()
            except TimeoutError:
                is_due = bool(self._told) or await self._has_changed()
            else:
                hung_up.clear()
                self._told, is_due = "", True
            if is_due:
                await self.reload()

    async def _has_changed(self) -> bool:
        def look() -> bool:
            if self._tls is not None:
                self._tls.look()
            return {file: mark(file) for file in self._marks} != self._marks

        try:
            return await self._read(look)
        except ConfigError:  # a mount hangs; a reload would say so
            return False

    async def _read(self, work: Callable[[], T]) -> T:
        """What `work` returns, done in a thread: files on a mount that hangs hold up nothing else.

        Raises:
            ConfigError: it takes too long, or what was read before still hangs.
        """
        if self._reading is None or self._reading.done():
            self._reading = future = self._files.submit(work)
            done, _ = await asyncio.wait({asyncio.wrap_future(future)}, timeout=_PATIENCE)
            if done:
                return future.result()
        raise ConfigError(f"{self._path}, or a file that it names, cannot be read: its mount does not answer")

    def _all(self) -> list[Watched]:
        return [self._own, *self._parts.values()]

    def _make(self, configuration: Configuration) -> None:
        """Stop what is no longer watched, and make what is watched anew."""
        makers = _makers(configuration)
        made = {settings: self._parts.get(settings) or make() for settings, make in makers.items()}
        for settings in self._parts.keys() - made.keys():
            if (task := self._tasks.pop(settings, None)) is not None:
                task.cancel()
            self._parts[settings].stop()
        self._parts = made

    def _start(self) -> None:
        for settings, part in self._parts.items():
            if isinstance(part, WatchedProcess):
                part.start()
            elif settings not in self._tasks:
                run: Callable[[], Coroutine[Any, Any, None]] = part.run  # type: ignore[attr-defined]
                self._tasks[settings] = asyncio.create_task(_again(run, type(part).__name__))


async def _again(run: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
    """Do this for ever, whatever breaks. Messages of exceptions may hold addresses, and are not logged."""
    while True:
        try:
            await run()
        except Exception as failure:  # noqa: BLE001 - the others go on, and so does this one
            log.error("rearguard_exporter: %s broke and is begun again: %s", what, type(failure).__name__)
        await asyncio.sleep(_AGAIN)


def _makers(configuration: Configuration) -> dict[object, Callable[[], Part]]:
    """How each part is made, by its settings."""
    makers: dict[object, Callable[[], Part]] = {}
    if configuration.process is not None:
        makers[configuration.process] = partial(WatchedProcess, configuration.process)
    if configuration.probes:
        from rearguard_exporter.standalone.watched.probe import Probe  # noqa: PLC0415 - needs aiohttp

        makers.update({settings: partial(Probe, settings) for settings in configuration.probes})
    if configuration.databases:
        import asyncpg  # noqa: F401, PLC0415 - whether it is there

        from rearguard_exporter.standalone.watched.database import Database  # noqa: PLC0415

        makers.update({settings: partial(Database, settings) for settings in configuration.databases})
    return makers


def _info(configuration: Configuration) -> TargetInfo:
    identity = configuration.identity
    return TargetInfo((identity.service, identity.version, identity.environment))


def _refuse_fixed(before: Configuration, now: Configuration, path: Path) -> None:
    if (before.listen, before.tls_config_file) != (now.listen, now.tls_config_file):
        raise ConfigError(f"{path}: listen and tls_config_file have changed, which needs a restart")


def _warn_of_secrets(configuration: Configuration) -> None:
    for file in configuration.secret_files:
        if is_exposed(file):
            log.warning("rearguard_exporter: every account here may read or write %s", file)
