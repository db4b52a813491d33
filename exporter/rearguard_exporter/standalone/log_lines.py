"""The exporter's own lines: text on a terminal, and otherwise JSON with the names of the Elastic Common Schema.

Here: where lines go, and their form. Never here: lines of libraries, which may hold addresses and passwords.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from rearguard_exporter.fault_barrier import log

ECS_VERSION = "8.11.0"
SERVICE = "rearguard-exporter"
_TEXT = "%(asctime)s %(levelname)s %(message)s"


class EcsFormatter(logging.Formatter):
    """Makes one line of JSON of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, in ASCII: nothing in it controls a terminal or begins another line."""
        fields = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "log.level": record.levelname.lower(),
            "message": record.getMessage(),
            "ecs.version": ECS_VERSION,
            "service.name": SERVICE,
            "log.logger": record.name,
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["error.type"] = type(record.exc_info[1]).__name__
            fields["error.message"] = str(record.exc_info[1])
            fields["error.stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(fields).replace("\x7f", "\\u007f")  # the one that JSON does not escape


def set_up(stream: TextIO | None = None) -> None:
    """Write the exporter's own lines to a stream, standard error by default, and nobody else's."""
    out = sys.stderr if stream is None else stream
    logging.raiseExceptions = False  # a full disk, or a closed stream, is no reason to write more
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter(_TEXT) if out.isatty() else EcsFormatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())
