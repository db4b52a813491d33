"""Sets up the log: one event name and its ids per line, to standard error.

Here: the configuration of structlog and of the standard library's logging. Lines are readable text on a terminal, and
otherwise JSON with the field names of the Elastic Common Schema. Values whose name suggests a secret are masked, and
what could control a terminal is spelt out: many people read logs on one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from rearguard_controller.wording import plain, printable

ECS_VERSION = "8.11.0"
SERVICE = "rearguard"
_SECRET_WORDS = ("token", "secret", "password", "authorization", "credential", "api_key")
_ECS_NAMES = {"timestamp": "@timestamp", "level": "log.level", "logger": "log.logger", "event": "message"}
_ENCODER = json.JSONEncoder(default=str)
_ERROR_NAMES = {"exception": "error.stack_trace", "error": "error.message"}


Told = Callable[[str, EventDict], None]  # is given the level and the fields of each line


def configure(
    *, stream: TextIO | None = None, level: str = "info", as_json: bool | None = None, also: Told | None = None
) -> None:
    """Set up logging for this process.

    Args:
        stream: where lines are written; standard error by default.
        level: debug, info, warning or error.
        as_json: whether to write JSON lines; by default yes, unless the stream is a terminal.
        also: is told of each line of ours, secrets masked.
    """
    out = sys.stderr if stream is None else stream
    json_lines = not out.isatty() if as_json is None else as_json
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    ours = [] if also is None else [_telling(also)]
    last: list[Processor]
    if json_lines:
        last = [structlog.processors.format_exc_info, ecs_fields, as_json_line]
    else:
        last = [spell_out, structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=_write_traceback)]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*first, *ours, *last],
        logger_factory=Lines(out),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    _let_libraries_write(out, number, first, last)


def _telling(told: Told) -> Processor:
    def tell(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        told(method, event)
        return event

    return tell


def _let_libraries_write(out: TextIO, level: int, first: list[Processor], last: list[Processor]) -> None:
    """Lines of libraries, which log by the standard library, look like ours."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last], foreign_pre_chain=first
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class Lines:
    """Makes loggers that write lines to one stream. One that takes no line is no fault of whoever logs.

    A line of ours costs a third of one that goes through the standard library; a storm of alerts makes thousands.
    """

    def __init__(self, out: TextIO) -> None:
        """Write to `out`."""
        self._out, self._one_writes = out, threading.Lock()

    def __call__(self, *names: str) -> Line:
        """A logger; its name is the first of `names`."""
        return Line(names[0] if names else "", self.write)

    def write(self, line: str) -> None:
        """Write one line, or none if the stream takes none."""
        with contextlib.suppress(OSError, ValueError), self._one_writes:  # a full disk; a closed stream
            self._out.write(line + "\n")
            self._out.flush()


class Line:
    """A logger of structlog's: each of its methods takes a line that is ready."""

    __slots__ = ("critical", "debug", "error", "info", "name", "warning")

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        """Hand every line to `write`."""
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = write


def spell_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Spell out what could control a terminal or begin another line; the renderer does it for what is not text."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """A traceback without local variables, which may be secret, and without what could control a terminal."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    stream.write("\n" + printable(text, keep="\n\t"))


def as_json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """The event as JSON in ASCII, without control characters; a value that JSON does not know is its text."""
    return _ENCODER.encode(event)


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
