"""Sets up the log: one event name and its ids per line, to standard error.

Here: the configuration of structlog and of the standard library's logging. Lines are readable text on a terminal, and
otherwise JSON with the field names of the Elastic Common Schema. Values whose name suggests a secret are masked, and
what could control a terminal is spelt out: many people read logs on one.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import traceback
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from rearguard_controller.wording import plain, printable

ECS_VERSION = "8.11.0"
SERVICE = "rearguard"
_SECRET_WORDS = ("token", "secret", "password", "authorization", "credential", "api_key")
_ECS_NAMES = {"timestamp": "@timestamp", "level": "log.level", "logger": "log.logger", "event": "message"}
_ERROR_NAMES = {"exception": "error.stack_trace", "error": "error.message"}


def configure(*, stream: TextIO | None = None, level: str = "info", as_json: bool | None = None) -> None:
    """Set up logging for this process.

    Args:
        stream: where lines are written; standard error by default.
        level: debug, info, warning or error.
        as_json: whether to write JSON lines; by default yes, unless the stream is a terminal.
    """
    out = sys.stderr if stream is None else stream
    json_lines = not out.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if json_lines:
        render = structlog.processors.JSONRenderer(default=str, serializer=_json)
        last += [structlog.processors.format_exc_info, ecs_fields, render]
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=_write_traceback)
        last += [spell_out, renderer]
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def spell_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Spell out what could control a terminal or begin another line; the renderer does it for what is not text."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """A traceback without local variables, which may be secret, and without what could control a terminal."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    stream.write("\n" + printable(text, keep="\n\t"))


def _json(event: object, **options: Any) -> str:
    return json.dumps(event, **options).replace("\x7f", "\\u007f")  # the one that JSON does not escape


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace values whose name suggests a secret by `***`, and remove passwords and the like from addresses."""
    for name, value in event.items():
        if _is_secret(name):
            event[name] = "***"
        elif isinstance(value, str) and "://" in value:
            event[name] = plain(value)
    return event


@functools.lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def ecs_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Rename fields to those of the Elastic Common Schema; a field that it does not know goes below `rearguard.`."""
    fields: EventDict = {"ecs.version": ECS_VERSION, "service.name": SERVICE}
    for name, value in event.items():
        known = _ECS_NAMES.get(name) or _ERROR_NAMES.get(name)
        fields[known or f"rearguard.{name}"] = value
    return fields
