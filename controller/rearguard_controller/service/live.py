"""A look at the real things that a configuration names, for `rearguard check --live`. It changes nothing.

Here: a controller that is wired as always, with a journal that is thrown away, and never leads; what is asked side by
side, and for how long at most.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.kubernetes import Cluster
from rearguard_controller.adapters.prometheus.of_all import PrometheusOfAll
from rearguard_controller.config import Configuration
from rearguard_controller.journal.opening import open_journal
from rearguard_controller.service.controller import Controller
from rearguard_controller.service.wiring import Parts
from rearguard_controller.watching.live.cluster import KUBERNETES, LiveCluster
from rearguard_controller.watching.live.figures import PROMETHEUS, LiveFigures, ShippedRules
from rearguard_controller.watching.live.finding import Finding, Weight, together
from rearguard_controller.watching.live.routes import ALERTMANAGER, LiveRoutes
from rearguard_controller.watching.live.services import LiveServices
from rearguard_controller.watching.live.targets import of_targets

__all__ = ["Finding", "ShippedRules", "Weight", "look"]

WITHIN = 60.0  # seconds for everything that is asked of one system
_NEVER = 50  # the level of the log that nothing of ours has

Look = Callable[[], Awaitable[list[Finding]]]


def look(path: Path, configuration: Configuration, shipped: Iterable[ShippedRules]) -> tuple[Finding, ...]:
    """Everything that is found, the worst first.

    Args:
        path: of the configuration.
        configuration: what it says.
        shipped: the rules that Prometheus should have loaded.

    Raises:
        JournalError: there is no room for a journal that is thrown away.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_NEVER))  # the findings say it
    try:
        return together(asyncio.run(_look(path, configuration, tuple(shipped))))
    finally:
        structlog.configure(**before)


async def _look(path: Path, configuration: Configuration, shipped: Sequence[ShippedRules]) -> list[Finding]:
    found: list[Finding] = []
    if configuration.cluster is not None:
        cluster = Cluster(configuration.cluster)
        live = LiveCluster(configuration, cluster)
        try:
            found += await _within(KUBERNETES, live.look)
        finally:
            await cluster.close()
        configuration = replace(configuration, targets=(*configuration.targets, *live.targets))
    configuration, services = await _with_services(configuration)
    found += services
    with tempfile.TemporaryDirectory(prefix="rearguard-check-") as folder:
        # Tokens and certificates are checked elsewhere, and the real journal belongs to the controller that runs.
        harmless = replace(configuration, journal=f"{folder}/journal.db", tokens={}, tls_config_file=None)
        journal = await open_journal(harmless.journal)
        controller = Controller(path, harmless, journal, insecure=True)
        try:
            return found + await _asked(harmless, controller.parts, shipped)
        finally:
            await controller.close()


async def _with_services(configuration: Configuration) -> tuple[Configuration, list[Finding]]:
    """The configuration with the services that Prometheus shows as targets, and what is said of them."""
    if not configuration.services:
        return configuration, []
    prometheus = PrometheusOfAll(configuration.prometheus, time.time)
    asked = LiveServices(configuration, prometheus.each)
    try:
        told = await _within(PROMETHEUS, asked.look)
    finally:
        await prometheus.close()
    taken = {target.name for target in asked.targets}
    others = tuple(each for each in configuration.targets if each.name not in taken)
    return replace(configuration, targets=(*others, *asked.targets)), told


async def _asked(configuration: Configuration, parts: Parts, shipped: Sequence[ShippedRules]) -> list[Finding]:
    """What Prometheus, Alertmanager, programs and receivers say."""
    prometheus = PrometheusOfAll(configuration.prometheus, time.time)
    settings = configuration.alertmanager
    alertmanager = None if settings is None else Alertmanager(settings)
    figures = {
        each.name: LiveFigures(
            prometheus.each[each.name], parts.watchers[each.name], parts.releases, parts.intake, about=each.called
        )
        for each in configuration.prometheus.each
    }
    targets = configuration.targets

    def of(name: str) -> Look:
        own = [target for target in targets if target.prometheus == name]
        return lambda: figures[name].look(own, shipped)

    try:
        *seen, own = await asyncio.gather(
            *(_within(each.called, of(each.name)) for each in configuration.prometheus.each),
            _within("Programs and hosts", lambda: of_targets(targets, parts.releases, parts.readiness)),
        )
        routes: list[Finding] = []
        if alertmanager is not None:
            asked = LiveRoutes(alertmanager)
            rules = {name: each.rules for name, each in figures.items()}
            routes = await _within(ALERTMANAGER, lambda: asked.look(targets, rules))
    finally:
        await prometheus.close()
        if alertmanager is not None:
            await alertmanager.close()
    return [*(finding for found in seen for finding in found), *own, *routes]


async def _within(about: str, ask: Look) -> list[Finding]:
    try:
        async with asyncio.timeout(WITHIN):
            return await ask()
    except TimeoutError:
        said = f"Not everything was answered within {WITHIN:g} s: is it overloaded, or the network slow?"
        return [Finding(about, said, Weight.BLOCKS)]
