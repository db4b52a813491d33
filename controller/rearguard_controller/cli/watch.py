"""The command watch: waits until a version has proved itself, so that a pipeline can wait for it.

Here: asking the controller repeatedly, for a limited time, and showing the progress: one live line on a terminal,
elsewhere a line when something changes and once a minute. Progress goes to standard error, the result to standard
output. `watch_result` judges what the controller answers.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import cast

from rearguard_controller.cli import terminal
from rearguard_controller.cli.connection import connected
from rearguard_controller.cli.progress import LiveLine
from rearguard_controller.cli.show import Json, objects
from rearguard_controller.cli.watch_result import (
    EXIT_CODES,
    Blame,
    Finding,
    Leaving,
    Look,
    Order,
    Progress,
    Result,
    judge,
)
from rearguard_controller.client import Client, RemoteError

LOOK_EVERY = 5.0  # seconds between two looks at the controller
LOOK_FIRST = 0.2  # seconds; a short watch looks more often
RETRY_MOST = 30.0  # seconds between two tries while the controller does not answer
REPEAT_AFTER = 60.0  # seconds after which the same line is printed again
MOST_READ = 50  # rollbacks and decisions that one look reads
SERVER_ERROR, TOO_MANY = 500, 429  # HTTP: the controller may answer again


def watch(options: Namespace) -> int:
    """Wait until a version has proved itself, was rolled back, or the time is up; the exit code tells which."""
    order = Order(options.version, options.lasts, options.start_within)
    client, shown = connected(options), Shown()
    started = time.monotonic()
    try:
        result, finding = _until_settled(client, options.target, order, lambda: time.monotonic() - started, shown)
    finally:
        shown.end()
    return _say(options, result, finding, time.monotonic() - started)


def _until_settled(
    client: Client, target: str, order: Order, elapsed: Callable[[], float], shown: Shown
) -> tuple[Result, Finding]:
    progress, pause = Progress(), 0.0
    while True:
        try:
            seen, pause = _look(client, target, order.version), _every(order)
        except RemoteError as error:
            if error.status is not None and error.status < SERVER_ERROR and error.status != TOO_MANY:
                raise
            seen, pause = None, min(RETRY_MOST, max(1.0, pause * 2))
        progress, finding = judge(order, progress, seen, elapsed())
        if finding.result is not None:
            return finding.result, finding
        shown.show(finding.text, elapsed())
        time.sleep(pause)


def _say(options: Namespace, result: Result, finding: Finding, elapsed: float) -> int:
    code = EXIT_CODES[result]
    told = {
        "target": options.target,
        "version": options.version,
        "result": result.value,
        "exit_code": code,
        "detail": finding.text,
        "rollback_id": finding.rollback,
        "watched_s": round(elapsed, 1),
    }
    if not terminal.as_asked(options, told):
        terminal.line(f"{result.value}: {finding.text}")
        if finding.rollback is not None:
            terminal.line(f"See: rearguard show {finding.rollback}")
    return code


class Shown:
    """Shows the progress on standard error."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._live = LiveLine() if sys.stderr.isatty() else None
        self._last, self._at = "", 0.0

    def show(self, text: str, elapsed: float) -> None:
        """Show the progress at `elapsed` seconds; without a terminal only if it changed, or after `REPEAT_AFTER`."""
        words = terminal.cell(text)
        clock = f"{int(elapsed) // 60:d}:{int(elapsed) % 60:02d}"
        if self._live is not None:
            self._live.show(f"{clock} {words}")
        elif _outline(words) != self._last or elapsed - self._at >= REPEAT_AFTER:
            sys.stderr.write(f"{clock} {words}\n")
            sys.stderr.flush()
            self._last, self._at = _outline(words), elapsed

    def end(self) -> None:
        """Clear the live line."""
        if self._live is not None:
            self._live.end()


def _outline(words: str) -> str:
    """A line without its digits: a changed duration alone is not worth a new line."""
    return "".join(character for character in words if not character.isdigit())


def _every(order: Order) -> float:
    return max(LOOK_FIRST, min(LOOK_EVERY, order.lasts / 10))


def _look(client: Client, target: str, version: str) -> Look:
    """Ask the controller once. Rollbacks are read last: if the version has changed, its rollback is there already."""
    service = client.releases(target, version=version, limit=1)
    decisions = objects(client.decisions(target=target, verdict="leave", limit=MOST_READ), "decisions")
    rollbacks = objects(client.history(target=target, limit=MOST_READ), "rollbacks")
    release = next(iter(objects(service, "releases")), {})
    return Look(
        at=terminal.moment_of(service["at"]) or 0.0,
        serving=service["serving_version"],
        serving_since=terminal.moment_of(service["serving_since"]),
        clean_for=service["clean_for_s"],
        known_good_at=terminal.moment_of(release.get("known_good_at")),
        lacking=_lacking(service),
        triggers=tuple(map(str, cast("list[object]", service["triggers"]))),
        leavings=tuple(_leaving(each) for each in rollbacks if each["from_version"] == version),
        blames=tuple(
            _blame(each) for each in decisions if each["from_version"] == version and each["would"] != "leave"
        ),
    )


def _leaving(rollback: Json) -> Leaving:
    outcome = rollback["outcome"]
    return Leaving(
        id=str(rollback["id"]),
        to_version=str(rollback["to_version"]),
        at=terminal.moment_of(rollback["started_at"]) or 0.0,
        begun=any(step["attempt"] for step in objects(rollback, "steps")),
        waiting=rollback["phase"] == "waiting",
        outcome=None if outcome is None else str(outcome),
        detail=str(rollback["detail"] or ""),
    )


def _blame(decision: Json) -> Blame:
    alert = cast("Json", decision["alert"] or {})
    why_not = next((str(each["detail"]) for each in objects(decision, "reasons") if each["blocks"]), "")
    return Blame(
        str(decision["id"]),
        terminal.moment_of(decision["decided_at"]) or 0.0,
        str(alert.get("name", "a fault")),
        why_not,
    )


def _lacking(service: Json) -> str:
    """Why the controller does not see the version serve well, as far as its answer says."""
    triggers = cast("list[object]", service["triggers"])
    if triggers:
        return f"{', '.join(map(str, triggers))} {'fires' if len(triggers) == 1 else 'fire'}"
    if service["prometheus_age_s"] is None:
        return "Prometheus has not answered the controller yet"
    checks = cast("Mapping[str, bool | None]", service["checks"])
    failing = [name for name, holds in checks.items() if holds is not True]
    if failing:
        return f"the checks {', '.join(failing)} do not hold"
    return "not all instances are scraped, an alert is pending, or the controller has not looked lately"


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"watch": watch}
