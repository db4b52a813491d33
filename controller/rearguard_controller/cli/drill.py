"""The command drill: asks for a drill of a target, and shows its checks.

Here: the table of checks, and the exit code, which a scheduled job can use.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import cast

from rearguard_controller.cli import html_file, terminal
from rearguard_controller.cli.connection import connected
from rearguard_controller.cli.progress import LiveLine
from rearguard_controller.cli.show import Json, objects
from rearguard_controller.client import Client
from rearguard_controller.errors import WrongUseError

GOOD, FAILED, UNKNOWN = 0, 1, 4
_CODES: Mapping[bool | None, int] = {True: GOOD, False: FAILED, None: UNKNOWN}
_MARKS: Mapping[bool | None, str] = {True: "yes", False: "no", None: "unknown"}


def drill(options: Namespace) -> int:
    """Drill a target, or list its earlier drills.

    Returns:
        0 when every check holds, 1 when one fails, 4 when none fails but one is unknown; 0 for the list.
    """
    if options.html is not None and options.history:
        raise WrongUseError("--html shows a drill with those before it; --history does none.", hint="Leave one out.")
    client = connected(options)
    if options.history:
        return _history(client.drills(options.target, limit=options.limit), options)
    answer = _drilled(client, options)
    if options.html is not None:
        _write(options, answer, client)
    if options.html != html_file.STANDARD_OUTPUT and not terminal.as_asked(options, answer):
        _one(answer)
    return _CODES[cast("bool | None", answer["ok"])]


def _drilled(client: Client, options: Namespace) -> Json:
    if not sys.stderr.isatty():
        return client.drill(options.target, options.reason)
    waits = LiveLine()
    waits.show("Drilling: an alert is on its way through Alertmanager, for a minute at most.")
    try:
        return client.drill(options.target, options.reason)
    finally:
        waits.end()


def _write(options: Namespace, answer: Json, client: Client) -> None:
    from rearguard_controller.page import report  # noqa: PLC0415  # only this path needs templates

    before = objects(client.drills(options.target, limit=report.MOST_DRILLS), "drills")
    drills = [answer, *(each for each in before if each["id"] != answer["id"])]
    html_file.write(options.html, report.document(f"Drill of {options.target}", report.drill(options.target, drills)))


def _one(answer: Json) -> None:
    rows = [
        [check["name"], _MARKS[cast("bool | None", check["holds"])], check["detail"]]
        for check in objects(answer, "checks")
    ]
    terminal.table(("CHECK", "HOLDS", "BECAUSE"), rows)
    words = {
        True: "could be rolled back now: every check holds",
        False: "could not be rolled back as it should: see the checks that do not hold",
        None: "could perhaps be rolled back: not everything is known",
    }
    terminal.line(f"\nDrill {answer['id']}: {answer['target']} {words[cast('bool | None', answer['ok'])]}.")


def _history(answer: Json, options: Namespace) -> int:
    if terminal.as_asked(options, answer):
        return GOOD
    rows = [
        [
            each["id"],
            terminal.when(each["at"]),
            _MARKS[cast("bool | None", each["ok"])],
            each["operator"],
            each["reason"],
            _not_good(each),
        ]
        for each in objects(answer, "drills")
    ]
    terminal.table(("DRILL", "AT", "OK", "OPERATOR", "REASON", "NOT GOOD"), rows)
    return GOOD


def _not_good(drill: Json) -> str:
    if drill["ended_at"] is None:
        return "no end: it goes on, or its controller stopped"
    return ", ".join(str(check["name"]) for check in objects(drill, "checks") if check["holds"] is not True)


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"drill": drill}
