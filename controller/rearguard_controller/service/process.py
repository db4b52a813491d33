"""The controller as a process: it starts, listens, handles signals, and stops in order.

Here: the order of start and stop, and what each signal means. `controller` runs in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from pathlib import Path

import structlog

from rearguard_controller import api, config
from rearguard_controller.adapters.actions import descriptors
from rearguard_controller.api import auth
from rearguard_controller.api.logged import Logged
from rearguard_controller.config import Configuration
from rearguard_controller.errors import JournalError
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.service import logs
from rearguard_controller.service.controller import Controller

log = structlog.get_logger(__name__)

STOP_GRACE = 10.0  # seconds for requests under way to finish at the end


def serve(path: Path, *, insecure: bool = False) -> int:
    """Run the controller until SIGTERM or SIGINT.

    Returns:
        0 after a regular stop, 1 when a part of the controller failed.

    Raises:
        RearguardError: the configuration, the journal or the tokens cannot be used.
        OSError: the address cannot be listened on.
    """
    configuration = config.load(path)
    logged = Logged(time.time)
    logs.configure(also=logged.note)
    _take_descriptors()
    _collect_seldom()
    auth.require_protection(configuration.tokens, configuration.listen.host, insecure=insecure)
    return asyncio.run(_serve(path, configuration, logged, insecure=insecure))


def _take_descriptors() -> None:
    before, now = descriptors.raise_limit()
    if now != before:
        log.info("descriptor_limit_raised", before=before, now=now)


def _collect_seldom() -> None:
    """Look for cyclic garbage less often: in a storm each look goes through 100,000s of objects that are in use."""
    gc.freeze()  # what was imported stays
    gc.set_threshold(50_000, 20, 100)


async def _serve(path: Path, configuration: Configuration, logged: Logged, *, insecure: bool) -> int:
    journal = await open_journal(configuration.journal)
    try:
        await journal.agree_on_shards(configuration.shards)
    except JournalError:
        await journal.close()
        raise
    controller = Controller(path, configuration, journal, insecure=insecure, logged=logged)
    controller.adopt_orphans()
    listener = api.Listener(controller.web, grace=STOP_GRACE)
    stop = _signals(controller)
    try:
        address = configuration.listen
        port = await listener.start(address.host, address.port, controller.tls)
        names = [target.name for target in configuration.targets]
        log.info("ready", listen=f"{address.host}:{port}", targets=names)
        return await _run_until(stop, controller)
    finally:
        await listener.close()
        await controller.close()
        log.info("stopped")


def _signals(controller: Controller) -> asyncio.Event:
    """Handle signals: SIGTERM and SIGINT set the event that is returned, SIGHUP reloads the configuration."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        with contextlib.suppress(Exception):  # `reload` has logged and counted it
            await controller.reload()

    def hang_up() -> None:
        task = asyncio.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return stop


async def _run_until(stop: asyncio.Event, controller: Controller) -> int:
    running, stopping = asyncio.create_task(controller.run()), asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    stopping.cancel()
    result, _ = await asyncio.gather(running, stopping, return_exceptions=True)
    if isinstance(result, Exception):
        log.error("part_failed", exc_info=result)
        return 1
    return 0
