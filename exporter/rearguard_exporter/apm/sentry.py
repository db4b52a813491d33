"""Sentry: the SDK, set up once in a process, and what it is told of applications that it does not know by itself.

The SDK's own integrations see Starlette, FastAPI, Django, Flask and aiohttp. Around any other application stands the
SDK's middleware, which does nothing inside another one of its kind: so nothing is captured twice.
"""

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sentry_sdk
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.scope import add_global_event_processor
from sentry_sdk.utils import BadDsn, Dsn, get_default_release

from rearguard_exporter.apm.tags import Tags
from rearguard_exporter.apm.tracer import Operation
from rearguard_exporter.fault_barrier import log

_ORIGIN: Final = "auto.rearguard"
_REASON: Final = "websocket.close_reason"
_DEFAULT_ENVIRONMENT: Final = "production"  # the SDK's, where nobody names one
_MOST_TEXT: Final = 2000  # characters of a statement

_lock = threading.Lock()


class _State:
    """What this process has: the SDK is one for all monitors."""

    client: Any = None  # made here
    adopted: Any = None  # made by the application, and given our tags
    tags: Tags | None = None
    guess: str | None = None  # the release that the SDK finds by itself


def set_up(
    tags: Tags, options: Mapping[str, Any] | None = None, *, must: bool = False, is_profiling: bool = False
) -> bool:
    """Set the SDK up, unless the application has; either way its events have our tags. False if it is of no use.

    If the application sets it up later, that set-up counts, and has our tags, too.

    Args:
        tags: who tells.
        options: what `sentry_sdk.init` takes; they win over ours.
        must: whether an argument asked for it, so that a wrong one raises; else a fault is a line of the log.
        is_profiling: whether to profile what is traced.

    Raises:
        ValueError: `options` hold a DSN that is none.
        TypeError: `options` hold a name that the SDK does not know.
    """
    given = dict(options or {})
    dsn = given.get("dsn") or os.environ.get("SENTRY_DSN", "")
    if dsn and not _is_dsn(dsn):
        if given.get("dsn"):
            raise ValueError(_NO_DSN.format("the dsn in Monitor(sentry=...)"))
        log.warning("rearguard_exporter: %s; nothing is sent to Sentry", _NO_DSN.format("SENTRY_DSN"))
        return False
    with _lock:
        if _State.tags is None:
            add_global_event_processor(_complete)
        elif _State.tags != tags:
            log.warning("rearguard_exporter: Sentry has the tags of the Monitor made last; use one in a process")
        _State.tags = tags
        _State.guess = get_default_release() if tags.version else None
        for name, value in tags.labels().items():
            sentry_sdk.get_global_scope().set_tag(name, value)
        client = sentry_sdk.get_client()
        if client.is_active() and client is not _State.client:
            _adopt(client)
            return True
        if not dsn:
            log.warning(
                "rearguard_exporter: Sentry was asked for, but SENTRY_DSN is not set: nothing is sent there unless "
                "the application calls sentry_sdk.init"
            )
            return must
        try:
            sentry_sdk.init(**_options(tags, given, dsn, is_profiling=is_profiling))
        except Exception as failure:
            if must and given:
                raise
            log.warning("rearguard_exporter: %s; nothing is sent to Sentry", _refused(failure))
            return False
        _State.client = sentry_sdk.get_client()
    return True


_NO_DSN: Final = "{} is no DSN; Sentry shows it as https://KEY@HOST/PROJECT"


def _refused(failure: Exception) -> str:
    # The class alone: what the SDK says of its environment may hold keys.
    return f"Sentry's SDK does not start ({type(failure).__name__}); look at its SENTRY_* variables"


def _is_dsn(text: object) -> bool:
    try:
        Dsn(str(text))
    except (BadDsn, ValueError):
        return False
    return True


def _options(tags: Tags, given: Mapping[str, Any], dsn: str, *, is_profiling: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"dsn": dsn, "release": tags.version, "environment": tags.environment}
    if not os.environ.get("SENTRY_TRACES_SAMPLE_RATE") and "traces_sampler" not in given:
        options["traces_sample_rate"] = 1.0
    if is_profiling:
        options |= {"profile_session_sample_rate": 1.0, "profile_lifecycle": "trace"}
    return options | dict(given)


def _complete(event: Any, _: Any) -> Any:
    """Every event passes here. The first one of a client that the application made later adopts that client."""
    client = sentry_sdk.get_client()
    if client is not _State.client and client is not _State.adopted:
        _adopt(client)
    return event


def _adopt(client: Any) -> None:
    """Give the application's own client our release and environment, where it has only what the SDK guessed."""
    tags, options = _State.tags, client.options
    _State.adopted = client
    if tags is None:
        return
    guessed = options.get("release") is None or (
        options["release"] == _State.guess and not os.environ.get("SENTRY_RELEASE")
    )
    if tags.version and guessed:
        options["release"] = tags.version
    is_default = options.get("environment") == _DEFAULT_ENVIRONMENT and not os.environ.get("SENTRY_ENVIRONMENT")
    if tags.environment and is_default:
        options["environment"] = tags.environment


class SentryTracer:
    """What Sentry is told of applications and databases."""

    def around_asgi(self, app: Any) -> Any:
        """The application inside the SDK's middleware."""
        return SentryAsgiMiddleware(app, mechanism_type="rearguard", span_origin=_ORIGIN, asgi_version=3)

    def around_wsgi(self, app: Any) -> Any:
        """The application inside the SDK's middleware."""
        return SentryWsgiMiddleware(app, span_origin=_ORIGIN)

    def around_aiohttp(self, app: Any) -> None:
        """Nothing: the SDK's integration sees each application of aiohttp."""

    def name_request(self, scope: Any, method: str, route: str) -> None:  # noqa: ARG002 - the shape of every tracer
        """Name the transaction after its route, which is known however early the routes were declared."""
        sentry_sdk.get_current_scope().set_transaction_name(route, source="route")

    def open_socket(self, headers: Mapping[str, str], route: str) -> Any:  # noqa: ARG002 - as above
        """The transaction of the handshake lasts until the socket ends."""
        if route:
            sentry_sdk.get_current_scope().set_transaction_name(route, source="route")

    def close_socket(self, opened: Any, reason: str, failure: BaseException | None) -> None:  # noqa: ARG002 - as above
        """Tag transaction and error with the reason."""
        scope = sentry_sdk.get_isolation_scope()
        scope.set_tag(_REASON, reason)
        transaction = sentry_sdk.get_current_scope().transaction
        if transaction is not None:
            transaction.set_tag(_REASON, reason)

    def add_operation(self, operation: Operation) -> None:
        """A span, unless an integration of the SDK makes one of it."""
        parent = sentry_sdk.get_current_span()
        if parent is None or not getattr(parent, "sampled", None):
            return
        if sentry_sdk.get_client().get_integration(operation.library) is not None:
            return
        ended = datetime.now(UTC)
        span = parent.start_child(
            op="db",
            name=operation.statement[:_MOST_TEXT],
            origin=_ORIGIN,
            start_timestamp=ended - timedelta(seconds=operation.seconds),
        )
        span.set_data("db.system", operation.system)
        span.set_data("db.name", operation.namespace)
        span.set_status("ok" if operation.failure is None else "internal_error")
        span.finish(end_timestamp=ended)
