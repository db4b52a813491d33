"""What applications import: one `Monitor` per process, and a method for each thing that can be measured.

Never here: how anything is measured. Each method calls one module, which is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from rearguard_exporter.apm.set_up import set_up
from rearguard_exporter.apm.tags import tags_of
from rearguard_exporter.apm.tracers import Tracers
from rearguard_exporter.background.interpreters import is_sub_interpreter
from rearguard_exporter.background.lifecycle import Lifecycle
from rearguard_exporter.background.threads import AtOnce, Worker
from rearguard_exporter.browser.vitals import Vitals
from rearguard_exporter.database.pools import Pools
from rearguard_exporter.database.watch import Check, Watch
from rearguard_exporter.database.watches import Watches
from rearguard_exporter.endpoints.beacons import BeaconEndpoint
from rearguard_exporter.endpoints.dashboard import Dashboard
from rearguard_exporter.endpoints.endpoints import Endpoints
from rearguard_exporter.endpoints.health import Health
from rearguard_exporter.endpoints.metrics import MetricsEndpoint
from rearguard_exporter.endpoints.reloaders import call_before_reloader, follow_reloaders
from rearguard_exporter.exposition.foreign import ForeignCollectors, collectors
from rearguard_exporter.exposition.render import Sources
from rearguard_exporter.fault_barrier import log
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
from rearguard_exporter.identity import Identity, resolve
from rearguard_exporter.optional_libraries import need
from rearguard_exporter.settings import Settings, parse_address, resolve_settings
from rearguard_exporter.values.instruments import LABEL_LIMIT, Instruments
from rearguard_exporter.values.own_collectors import OwnCost, OwnRegistry, TargetInfo
from rearguard_exporter.values.process_figures import ProcessFigures
from rearguard_exporter.values.slots import Slots
from rearguard_exporter.values.user_labels import Hook, Labelled

if TYPE_CHECKING:  # the frameworks are optional: nothing of them is imported until one is instrumented
    import asyncpg
    import psycopg
    import psycopg_pool
    from aiohttp import web
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from rearguard_exporter.endpoints.own_port import OwnPort
    from rearguard_exporter.frameworks import asgi, wsgi
    from rearguard_exporter.workers.sharing import Sharing

SERIES_LIMIT = 1000
"""Sets of label values that one family may hold; further ones become the overflow value."""


class Monitor:
    """Measures this process. Settings that are not given come from the environment variables named below.

    Args:
        service: name of the service; `REARGUARD_SERVICE`, `OTEL_SERVICE_NAME`.
        version: version being served; `REARGUARD_VERSION`.
        environment: where it runs; `REARGUARD_ENVIRONMENT`.
        listen: `REARGUARD_LISTEN`; "host:port" that serves /metrics and the dashboard instead of the application.
        registry: where the families are registered. By default a new one, and what the application has in
            prometheus-client's global registry is exposed after it.
        series_limit: sets of label values that one family may hold.
        exemplars: whether OpenMetrics expositions name the trace of one observation a bucket: always, never, or
            (the default) while OpenTelemetry's SDK is loaded; `REARGUARD_EXEMPLARS`: on, off.
        exclude: paths whose requests and sockets are not measured, exact or with a `*` at the end;
            `REARGUARD_EXCLUDE`, comma-separated.
        labels: constant labels on every family; `REARGUARD_LABELS`: name=value,name=value.
        request_labels: name -> function that gives a label to each request; it is called when the request ends, with
            aiohttp's request, the ASGI scope or the WSGI environ, and returns text, a number or None.
        created: whether OpenMetrics expositions say when counters and histograms began (`_created`), which Prometheus
            takes for further series unless told otherwise; `REARGUARD_CREATED`: on, off (the default).
        vitals: what browsers measure: a `Vitals`, or the pages that metrics tell apart; `REARGUARD_VITALS_PAGES` and
            further variables. Without it the application serves no script and takes no beacons.
        workers_dir: folder in which the processes of a server share what they count, so that each of them shows it
            for all; `REARGUARD_WORKERS_DIR`. It is made if it is missing.
        label_limit: values that each label of `request_labels` may have; further ones become `__overflow__`.
        sentry: whether errors and traces go to Sentry, or a mapping of options of `sentry_sdk.init`; by default if
            `SENTRY_DSN` is set.
        datadog: whether traces go to Datadog's agent; by default if `DD_AGENT_HOST` or `DD_TRACE_AGENT_URL` is set.
        profiling: whether those of the two that are used profile, too; `REARGUARD_PROFILING`: on, off (the default).

    Raises:
        ValueError: `listen` is no address, `registry` holds another monitor's families already, a path cannot be
            excluded so, a label cannot have this name, `vitals` cannot be meant so, or `sentry` has a DSN that is
            none.
        TypeError: `sentry` is neither a switch nor options of `sentry_sdk.init`.
        ModuleNotFoundError: `sentry` or `datadog` asks for an SDK that is not installed.
    """

    def __init__(
        self,
        service: str | None = None,
        version: str | None = None,
        environment: str | None = None,
        *,
        listen: str | None = None,
        registry: CollectorRegistry | None = None,
        series_limit: int = SERIES_LIMIT,
        exemplars: bool | None = None,
        exclude: Iterable[str] = (),
        labels: Mapping[str, object] | None = None,
        request_labels: Mapping[str, Hook] | None = None,
        label_limit: int = LABEL_LIMIT,
        created: bool | None = None,
        vitals: Vitals | Iterable[str] | None = None,
        sentry: bool | Mapping[str, Any] | None = None,
        datadog: bool | None = None,
        profiling: bool | None = None,
        workers_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.identity: Identity = resolve(service, version, environment)
        settings = resolve_settings(
            listen=listen,
            exemplars=exemplars,
            exclude=exclude,
            labels=labels,
            request_labels=request_labels,
            label_limit=label_limit,
            created=created,
            vitals=vitals,
            sentry=sentry,
            datadog=datadog,
            profiling=profiling,
            workers_dir=workers_dir,
        )
        # Of a registry of the user's own, what is registered elsewhere is left to that user.
        self.registry: CollectorRegistry = CollectorRegistry() if registry is None else registry
        registries: tuple[Collector, ...] = (self.registry,) if registry is not None else (self.registry, REGISTRY)
        self._build(settings, series_limit, registries)
        self._port: OwnPort | None = None if settings.listen is None else self._listen(settings.listen)

    def _build(self, settings: Settings, limit: int, registries: tuple[Collector, ...]) -> None:
        """Make the parts, from the families up to what frameworks are given."""
        tracers = set_up(settings.apm, tags_of(self.identity))
        sharing = _sharing(settings, self.identity, limit)
        mine, constant = OwnRegistry(self.registry), settings.options.labels
        _register(
            mine, TargetInfo((self.identity.service, self.identity.version, self.identity.environment)), constant
        )
        self._instruments = _instruments(mine, settings, limit, sharing, tracers)
        self._pools = Pools(limit)
        cost, figures = OwnCost(self._instruments, self._pools), ProcessFigures()
        for collector in (self._pools, figures, cost):
            _register(mine, collector, constant)
        _add_standard(mine, constant)
        # Three, because the application's collectors may hang, and one that waits for them holds up expositions only.
        workers = renders, collects, shows = [_thread(f"rearguard-{name}") for name in ("render", "collect", "show")]
        watches = Watches()
        dashboard = Dashboard(self.identity, self._instruments, figures, self._pools, watches, shows)
        sample = dashboard.sample if sharing is None else partial(sharing.sample, dashboard.sample)
        self._lifecycle = Lifecycle(
            sample, watches, workers, self._instruments.loop_lag, is_shared=sharing is not None
        )
        shown = self._shown(mine, sharing, registries)
        mine.register(self._lifecycle)
        is_shared = None if sharing is None else sharing.is_instrument
        foreign = ForeignCollectors(registries, mine.collectors, collects, cost.timeouts, is_shared)
        sources, has_created = Sources(shown, foreign), settings.options.has_created
        metrics = MetricsEndpoint(sources, cost.render_seconds, renders, has_created=has_created)
        beacons = None if settings.vitals is None else BeaconEndpoint(settings.vitals, self._instruments)
        self._endpoints = Endpoints(metrics, dashboard, Health(self.identity, watches), beacons)
        self._parts = MonitorParts(
            self._instruments,
            self._endpoints,
            self._lifecycle,
            tracers,
            settings.excluded,
            shows_workers=sharing is not None,
            has_own_port=settings.listen is not None,
        )

    def _shown(
        self, mine: OwnRegistry, sharing: Sharing | None, registries: tuple[Collector, ...]
    ) -> Sequence[Collector]:
        """The collectors of an exposition: this process's own, or those of all workers."""
        if sharing is None:
            self._instruments.db_duration.tell_if_forked(self._lifecycle.counts_in_fork)
            return mine.collectors
        info = mine.collectors[0]  # of all workers, it is told once
        taken = [each for each in mine.collectors if not isinstance(each, Slots) and each is not info]
        return [self._lifecycle, sharing.shown(self._instruments, taken, partial(_all_in, registries))]

    @property
    def listen_address(self) -> tuple[str, int] | None:
        """Host and port that are served; None without a port, or while another process has it."""
        return None if self._port is None else self._port.address

    def listen(self, address: str) -> None:
        """Serve /metrics and the dashboard on this "host:port" too, as with `listen` at the start.

        It is for a process that was forked after its monitor was made, because a fork does not pass the port on.
        Applications that are instrumented from now on leave these paths to the port.

        Raises:
            ValueError: it is no address, or this process listens already.
        """
        if self._port is not None and not self._port.is_parents:
            raise ValueError("this process listens already; give it one port, once")
        self._port = self._listen(parse_address(address))
        self._parts.has_own_port = True

    def instrument_aiohttp(self, app: web.Application) -> None:
        """Measure requests and WebSockets of `app` and give it the endpoints. Call this before the app starts."""
        need("aiohttp")
        from rearguard_exporter.frameworks import aiohttp  # noqa: PLC0415 - an optional framework

        aiohttp.instrument(app, self._parts)

    @property
    def instrument_asgi(self) -> Callable[[asgi.App], asgi.MeasuredApp]:
        """Measures an application: `instrument_asgi(app)` is the one to serve instead of `app`, with the endpoints.

        The application may be FastAPI's, Starlette's or any other of ASGI. It may also be given as a middleware:
        `app.add_middleware(monitor.instrument_asgi)`.
        """
        return partial(self._instrument_asgi)  # no method: Sentry's SDK sets an attribute on each middleware

    def _instrument_asgi(self, app: asgi.App) -> asgi.MeasuredApp:
        from rearguard_exporter.frameworks import asgi  # noqa: PLC0415 - not every application needs it

        return asgi.instrument(app, self._parts)

    def instrument_wsgi(self, app: wsgi.App) -> wsgi.MeasuredApp:
        """The application (Flask, Django, any WSGI), measured, with the endpoints. Serve it instead of `app`."""
        from rearguard_exporter.frameworks import wsgi  # noqa: PLC0415 - not every application needs it

        follow_reloaders()  # again: the library that reloads may be imported by now
        return wsgi.instrument(app, self._parts)

    def instrument_sqlalchemy(self, engine: Engine | AsyncEngine, name: str | None = None) -> None:
        """Measure operations, pool and connection failures. The pool's `name` is the database's by default."""
        need("sqlalchemy")
        from rearguard_exporter.database import sqlalchemy  # noqa: PLC0415 - an optional library

        sqlalchemy.instrument(engine, self._instruments, self._pools, name)

    def instrument_asyncpg(
        self, pool: asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record], name: str | None = None
    ) -> None:
        """Measure operations, pool and connection failures; of a single connection only its operations."""
        need("asyncpg")
        from rearguard_exporter.database import asyncpg  # noqa: PLC0415 - an optional library

        asyncpg.instrument(pool, self._instruments, self._pools, name)

    def instrument_psycopg(
        self,
        pool: psycopg_pool.ConnectionPool[Any]
        | psycopg_pool.AsyncConnectionPool[Any]
        | psycopg.Connection[Any]
        | psycopg.AsyncConnection[Any],
        name: str | None = None,
    ) -> None:
        """Measure operations, pool and connection failures; of a single connection only its operations."""
        need("psycopg")
        from rearguard_exporter.database import psycopg  # noqa: PLC0415 - an optional library

        psycopg.instrument(pool, self._instruments, self._pools, name)

    def watch_database(
        self,
        name: str,
        check: Check,
        *,
        readiness: bool = False,
        interval: float = 10.0,
        timeout: float = 5.0,
    ) -> None:
        """Call `check` every `interval` seconds; `db_up` is 0 while it raises, returns False or is late.

        Args:
            name: the pool's name in metrics.
            check: a plain callable (called in a thread) or a coroutine function (awaited on the application's loop).
            readiness: whether `/readyz` fails while the database does not answer.
            interval: seconds between the end of one check and the next.
            timeout: seconds a check may take.
        """
        self._lifecycle.watch(
            Watch(
                self._instruments,
                self._pools,
                name,
                check,
                readiness=readiness,
                interval=interval,
                timeout=timeout,
            )
        )

    def close(self) -> None:
        """End the threads and the port, in at most two seconds.

        With the last aiohttp or ASGI application the threads end by themselves, and so do those of a monitor that
        nobody holds any more. One that listens lives until it is closed.
        """
        if self._port is not None:  # first: it asks for renderings
            self._port.close()
            self._port = None
        self._lifecycle.stop()

    def _listen(self, address: tuple[str, int]) -> OwnPort | None:
        from rearguard_exporter.endpoints.own_port import OwnPort  # noqa: PLC0415 - http.server takes long to import

        if is_sub_interpreter():
            return None
        try:
            port = OwnPort(self._endpoints, *address, self._lifecycle.is_idle, is_shared=self._parts.shows_workers)
        except OSError:
            log.exception("rearguard_exporter: cannot listen on %s:%s; nothing is exposed", *address)
            return None
        self._lifecycle.listens("{}:{}".format(*(port.address or address)))
        call_before_reloader(port.close)
        call_before_reloader(self._lifecycle.stop)
        return port


def _sharing(settings: Settings, identity: Identity, limit: int) -> Sharing | None:
    if settings.workers_dir is None:
        return None
    try:
        from rearguard_exporter.workers.sharing import Sharing  # noqa: PLC0415 - few applications need it
        from rearguard_exporter.workers.store import Who  # noqa: PLC0415 - as above
    except ImportError:
        log.warning("rearguard_exporter: this system has no fcntl, so that workers_dir is left aside")
        return None
    who = Who(identity.service, identity.version, identity.environment, settings.options.labels)
    return Sharing(settings.workers_dir, who, limit)


def _instruments(
    mine: OwnRegistry, settings: Settings, limit: int, sharing: Sharing | None, tracers: Tracers
) -> Instruments:
    keep = None if sharing is None else sharing.store.keep
    made = Instruments(mine, limit, settings.options, keep)
    if tracers:
        made.on_operation = tracers.add_operation
        if settings.options.exemplars is None:
            made.exemplars.ask_always()
    return made


def _all_in(registries: Iterable[Collector]) -> list[Collector]:
    return [each for registry in registries for each in collectors(registry)]


def _thread(name: str) -> Worker:
    return AtOnce(name) if is_sub_interpreter() else Worker(name)


def _register(registry: OwnRegistry, collector: Collector, labels: Mapping[str, str]) -> None:
    registry.register(Labelled(collector, labels) if labels else collector)


def _add_standard(registry: OwnRegistry, labels: Mapping[str, str]) -> None:
    for kind in (ProcessCollector, PlatformCollector, GCCollector):
        apart: Any = CollectorRegistry() if labels else registry
        try:
            kind(registry=apart)
            if labels:
                registry.register(Labelled(apart, labels))
        except ValueError:
            log.debug("rearguard_exporter: %s is registered already", kind.__name__)
