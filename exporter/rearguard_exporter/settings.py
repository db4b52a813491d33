"""The settings of a monitor, from its arguments or else from the environment; README.md lists them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rearguard_exporter.apm.set_up import Wanted
from rearguard_exporter.browser.vitals import Vitals, resolve_vitals
from rearguard_exporter.traffic.excluded_paths import ExcludedPaths
from rearguard_exporter.values.instruments import Options
from rearguard_exporter.values.user_labels import Hook, constant, parse_pairs


class Settings(NamedTuple):
    """What the user chose, checked."""

    listen: tuple[str, int] | None  # host and port that the exporter serves itself
    excluded: ExcludedPaths | None
    options: Options
    vitals: Vitals | None  # None: nothing is measured in browsers
    apm: Wanted
    workers_dir: Path | None  # where processes that serve together share what they count


def resolve_settings(
    *,
    listen: str | None,
    exemplars: bool | None,
    exclude: Iterable[str],
    labels: Mapping[str, object] | None,
    request_labels: Mapping[str, Hook] | None,
    label_limit: int,
    created: bool | None,
    vitals: Vitals | Iterable[str] | None,
    sentry: bool | Mapping[str, Any] | None,
    datadog: bool | None,
    profiling: bool | None,
    workers_dir: str | os.PathLike[str] | None,
) -> Settings:
    """The settings; an argument that is empty or None is taken from the environment.

    Raises:
        ValueError: `listen` is no address, a path cannot be excluded so, a label cannot have this name, or `vitals`
            cannot be meant so.
        TypeError: `sentry` is neither a switch nor options.
    """
    listen = listen or _variable("REARGUARD_LISTEN")
    address = parse_address(listen) if listen else None
    paths = tuple(exclude) or tuple(
        part.strip() for part in _variable("REARGUARD_EXCLUDE").split(",") if part.strip()
    )
    options = Options(
        exemplars=_switch("REARGUARD_EXEMPLARS") if exemplars is None else exemplars,
        labels=constant(
            parse_pairs(_variable("REARGUARD_LABELS")) if labels is None else labels, request_labels or ()
        ),
        request_labels=dict(request_labels or {}),
        label_limit=label_limit,
        has_created=bool(_switch("REARGUARD_CREATED") if created is None else created),
    )
    apm = _wanted(
        sentry, datadog, is_profiling=bool(_switch("REARGUARD_PROFILING") if profiling is None else profiling)
    )
    folder = os.fspath(workers_dir or "") or _variable("REARGUARD_WORKERS_DIR")
    # Absolute, because servers change their working folder.
    shared = Path(folder).absolute() if folder else None
    return Settings(address, ExcludedPaths(paths) if paths else None, options, resolve_vitals(vitals), apm, shared)


def _wanted(sentry: bool | Mapping[str, Any] | None, datadog: bool | None, *, is_profiling: bool) -> Wanted:
    if not isinstance(sentry, bool | Mapping | None):
        raise TypeError("sentry is True, False, or a mapping of options of sentry_sdk.init")  # not its value: a DSN?
    options = sentry if isinstance(sentry, Mapping) else None
    is_named = bool(_variable("DD_AGENT_HOST") or _variable("DD_TRACE_AGENT_URL"))
    return Wanted(
        sentry=options,
        has_sentry=bool(_variable("SENTRY_DSN")) if sentry is None else options is not None or bool(sentry),
        is_sentry_argued=sentry is not None,
        has_datadog=is_named if datadog is None else datadog,
        is_datadog_argued=datadog is not None,
        is_profiling=is_profiling,
    )


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:9464", "[::1]:9464" or ":9464" (every IPv4 address).

    Raises:
        ValueError: it is none of these.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "0.0.0.0", parts.port  # noqa: S104 - the user left the host out
    except ValueError:
        port = None
        host = ""
    if port is None:
        raise ValueError(f"listen must be host:port, such as 127.0.0.1:9464, not {text!r}")
    return host, port


def _variable(name: str) -> str:
    return os.environ.get(name, "")


def _switch(name: str) -> bool | None:
    """What a variable says: on (also true, yes, 1) or off; None if it is not set or says neither."""
    value = _variable(name).strip().lower()
    if value in {"on", "true", "yes", "1"}:
        return True
    return False if value in {"off", "false", "no", "0"} else None
