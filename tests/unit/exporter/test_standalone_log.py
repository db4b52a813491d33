"""The form of the stand-alone exporter's own lines."""

import io
import json
import logging

import pytest

from rearguard_exporter.fault_barrier import log
from rearguard_exporter.standalone import log_lines


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def _as_before():
    before = (log.handlers[:], log.level, log.propagate, logging.raiseExceptions, logging.getLogger().handlers[:])
    yield
    log.handlers[:], log.level, log.propagate, logging.raiseExceptions = before[:4]
    logging.getLogger().handlers[:] = before[4]


@pytest.mark.usefixtures("_as_before")
def test_a_terminal_gets_text_and_anything_else_one_object_with_names_of_ecs():
    for stream in (terminal := Terminal(), file := io.StringIO()):
        log.handlers[:] = []
        log_lines.set_up(stream)
        log.warning("probe %s failed", "home\n\x1b[31m\u2028")
        log.debug("not shown")
    assert terminal.getvalue().split(" ", 2)[2].startswith("WARNING probe home")
    (line,) = file.getvalue().splitlines()
    said = json.loads(line)
    assert said["message"] == "probe home\n\x1b[31m\u2028 failed"
    assert (said["log.level"], said["log.logger"], said["service.name"]) == (
        "warning",
        "rearguard_exporter",
        "rearguard-exporter",
    )
    assert line.isascii()
    assert line.isprintable()
    assert said["@timestamp"].endswith("+00:00")
