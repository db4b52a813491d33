"""`rearguard status --watch`: shows changes as they come, until Ctrl-C.

Here: when to look, and what is shown: on a terminal the whole status anew, elsewhere a line for each change. Events
of the controller wake a look early; without them it looks every few seconds.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime

from rearguard_controller.cli import terminal
from rearguard_controller.cli.show import Json, objects
from rearguard_controller.client import Client, RemoteError

LOOK_EVERY = 5.0  # seconds without an event
APART = 0.3  # seconds between two looks, however many events come
RETRY_MOST = 30.0  # seconds between two tries while the controller does not answer
SERVER_ERROR, TOO_MANY = 500, 429
CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def follow(client: Client, options: Namespace, show: Callable[[Json], None]) -> int:
    """Show the status again and again; `show` prints it. Ends with 0 on Ctrl-C.

    Raises:
        RearguardError: the controller refuses, which will not change by itself.
    """
    news = threading.Event()
    threading.Thread(target=_listen, args=(client, news), daemon=True).start()
    shown = Screen(show) if sys.stdout.isatty() and options.output == terminal.TABLE else Lines(options)
    pause = LOOK_EVERY
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                answer = client.status()
                shown.status(answer)
                pause = LOOK_EVERY
            except RemoteError as error:
                if error.status is not None and error.status < SERVER_ERROR and error.status != TOO_MANY:
                    raise
                shown.away(error.message)
                pause = min(RETRY_MOST, max(1.0, pause * 2 if pause < LOOK_EVERY else 1.0))
            sys.stdout.flush()
            news.wait(pause)
            time.sleep(APART)
            news.clear()
    return 0


def _listen(client: Client, news: threading.Event) -> None:
    """Set `news` whenever the controller tells of an event, or is there again; for as long as the process lives."""
    while True:
        with contextlib.suppress(RemoteError):
            for _ in client.events():
                news.set()
        time.sleep(LOOK_EVERY)


class Screen:
    """The whole status on a terminal, drawn anew."""

    def __init__(self, show: Callable[[Json], None]) -> None:
        self._show, self._last = show, ""

    def status(self, answer: Json) -> None:
        """Draw the status."""
        sys.stdout.write(CLEAR)
        terminal.line(f"{_now()}  (Ctrl-C ends)\n")
        self._show(answer)

    def away(self, message: str) -> None:
        """Keep what was drawn, and say below it that it is old."""
        terminal.line(f"{_now()}  {message} What stands above is old; asking again.")


class Lines:
    """A line for each target and open rollback that has changed; as JSON or YAML the whole status when it has."""

    def __init__(self, options: Namespace) -> None:
        self._options, self._said = options, dict[str, str]()
        self._is_away = False

    def status(self, answer: Json) -> None:
        """Print what differs from the last time."""
        said = _outline(answer)
        if said != self._said or self._is_away:
            if self._options.output == "json":
                terminal.as_json_line(answer)
            elif not terminal.as_asked(self._options, answer):
                self._changes(said)
        self._said, self._is_away = said, False

    def _changes(self, said: dict[str, str]) -> None:
        for name, text in said.items():
            if self._said.get(name) != text or self._is_away:
                terminal.line(f"{_now()}  {text}")
        for name in self._said.keys() - said.keys():
            terminal.line(f"{_now()}  {name}: gone")

    def away(self, message: str) -> None:
        """Say once that the controller does not answer."""
        if not self._is_away:
            terminal.note(f"{_now()}  {message} Asking again.")
        self._is_away = True


def _outline(answer: Json) -> dict[str, str]:
    said = {}
    for each in objects(answer, "targets"):
        firing = ", ".join(sorted({str(alert["name"]) for alert in objects(each, "firing")}))
        words = [f"{each['name']}: {each['state']}, {each['serving_version'] or 'an unknown version'} serves"]
        words += [] if each["armed"] else ["disarmed"]
        words += [f"firing {firing}"] if firing else []
        said[f"target {each['name']}"] = ", ".join(words)
    for each in [*objects(answer, "recent")[::-1], *objects(answer, "open")]:
        way = f"from {each['from_version']} to {each['to_version']}"
        said[f"rollback {each['id']}"] = (
            f"{each['target']}: rollback {each['id']} {way}, {each['outcome'] or each['phase']}"
        )
    return said


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
