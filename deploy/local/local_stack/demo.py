"""`make demo`: a bad release, and the way back, with real parts on this machine.

Here: the order of the story and its deadlines. Never here: what is told (`story`), how it looks (`screen`), what must
be true at the end (`proof`). Exit code: 0 when everything is proven, 1 when not, 2 when the parts could not be had.
"""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from local_stack.ask import Asker
from local_stack.binaries import DEMO, BinaryMissingError, fetch
from local_stack.ending import ended_by_signals
from local_stack.layout import Layout
from local_stack.load import RATE, LoadThread
from local_stack.process import StackError
from local_stack.proof import Claim, prove
from local_stack.screen import Screen
from local_stack.stack import Stack
from local_stack.story import Event, Story

_POLL = 0.25
_TRUST_LIMIT = 75.0  # seconds until v1 must have earned trust
_CLOSE_LIMIT = 140.0  # seconds from the deployment of v2 until the rollback must be closed
_FAULT_LIMIT = 20.0  # seconds from the deployment until a shopper meets the fault
_OVER_LIMIT = 20.0  # seconds until Prometheus' own alerts must be over, after that


class Demo:
    """One run of the story."""

    def __init__(self, stack: Stack, screen: Screen, load: LoadThread) -> None:
        """Start nothing yet."""
        self.stack = stack
        self.screen = screen
        self.load = load
        self.asker = Asker(stack.layout)
        self.story = Story(self.asker, load.counts)
        self.began = time.monotonic()

    def tell(self) -> bool:
        """Tell the whole story; returns true when everything is proven."""
        self.set_the_scene()
        self.deploy_the_fault()
        reached = self._wait(lambda: "closed" in self.story.marks, _CLOSE_LIMIT)
        over = reached and self._wait(self._alerts_over, _OVER_LIMIT)
        if over:
            self.screen.event(Event(time.time(), "alerts over", "nothing pending, nothing firing", "good"))
        self.screen.footer_off()
        claims = self.claims()
        self._sum_up(claims)
        return all(claim.holds for claim in claims)

    def set_the_scene(self) -> None:
        """Start everything, and wait until the first version is known good."""
        self.screen.title("The scene")
        self.screen.footer("starting the parts", "")
        self.stack.start()
        started = time.monotonic() - self.began
        self.screen.line("started", f"shop v1, HAProxy, Prometheus, Alertmanager, controller, in {started:.1f} s")
        self.load.start()
        self.screen.line(
            "load", f"about {RATE:.0f} requests a second through HAProxy, and listeners of the price feed"
        )
        self.wait_for_trust("v1")

    def deploy_the_fault(self) -> None:
        """Deploy the version that fails."""
        self.screen.title("The fault")
        self.stack.release("deploy", "v2")
        deployed = time.time()
        self.wait_for_fault()
        since = self.stack.supervisor.serving()
        at = since.since if since else deployed
        self.screen.event(Event(at, "v2 deployed", "it fails for customers without a loyalty tier, three in ten"))

    def wait_for_trust(self, name: str) -> None:
        """Wait until the good version is known good; `name` is for people. Raises `StackError`."""
        if not self._wait(self._trusted, _TRUST_LIMIT, doing=f"{name} earns trust by serving well"):
            raise StackError(f"{name} did not earn trust: {self.asker.target() or 'the controller does not answer'}")
        earned = time.monotonic() - self.began
        self.screen.line(
            f"{name} is known good", f"after {earned:.0f} s: it served, was measured, and no alert fired"
        )

    def wait_for_fault(self) -> None:
        """Wait until a shopper meets the fault, from which on the story's times count. Raises `StackError`."""
        if not self._wait(lambda: self.load.counts.first_fault is not None, _FAULT_LIMIT, doing="v2 serves"):
            raise StackError("release v2 served without a fault")
        self.screen.zero = self.load.counts.first_fault

    def good_version(self) -> str:
        """The version that must be known good, as the controller calls it."""
        return "v1"

    def claims(self) -> list[Claim]:
        """What must be true at the end."""
        return prove(self.stack, self.asker, len(self.story.left_alone))

    def _trusted(self) -> bool:
        target = self.asker.target()
        return target.get("last_known_good") == self.good_version() and bool(target.get("ready"))

    def _alerts_over(self) -> bool:
        return not self.asker.trigger_alerts()

    def _wait(self, done: Callable[[], bool], limit: float, *, doing: str = "") -> bool:
        """Show what happens until it is done; returns false when the limit is over."""
        deadline = time.monotonic() + limit
        while True:
            for event in self.story.look() if self.screen.zero is not None else ():
                self.screen.event(event)
            self.screen.footer(doing or self.story.doing(), str(self.load.counts))
            if done():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)

    def _sum_up(self, claims: list[Claim]) -> None:
        self.screen.title("How long it took")
        marks = self.story.marks

        def between(first: str, last: str) -> float | None:
            return marks[last] - marks[first] if first in marks and last in marks else None

        firing = _first(marks, "firing ")
        pending = _first({key: at for key, at in marks.items() if at >= marks.get("fault", 0.0)}, "pending ")
        rows = [
            ("fault began → alert pending", between("fault", pending), None),
            ("fault began → alert firing", between("fault", firing), None),
            ("fault began → decision", between("fault", "decision"), 60.0),
            ("alert received → decision", between("received", "decision"), None),
            ("alert received → first step", between("received", "before_hook save-state started"), 2.0),
            ("clients turned away (drain → restore)", self._turned_away(), None),
            ("rollback command", self._duration("roll_back"), None),
            ("health check", self._duration("verify_health"), None),
            ("fault began → v1 serves clients again", between("fault", self._key("undo_hook")), None),
            ("fault began → recovery proven", between("fault", "closed"), None),
            ("whole demo", time.monotonic() - self.began, 240.0),
        ]
        self.screen.spans([row for row in rows if row[1] is not None])
        self.screen.title("What clients saw")
        for name, seen in self.load.counts.told():
            self.screen.line(name, seen)
        self.screen.title("Proof")
        self.screen.claims(claims)

    def _key(self, kind: str) -> str:
        steps = self.story.rollback["steps"] if self.story.rollback else []
        return next((f"{kind} {step['name']}" for step in steps if step["kind"] == kind), kind)

    def _duration(self, kind: str) -> float | None:
        key, marks = self._key(kind), self.story.marks
        return marks[key] - marks[f"{key} started"] if key in marks else None

    def _turned_away(self) -> float | None:
        undo, marks = self._key("undo_hook"), self.story.marks
        begun = "before_hook drain started"
        return marks[undo] - marks[begun] if undo in marks and begun in marks else None


def _first(marks: Mapping[str, float], begins: str) -> str:
    """The key that begins so and came first; empty if there is none."""
    return min((key for key in marks if key.startswith(begins)), key=lambda key: marks[key], default="")


def command_lines(layout: Layout) -> list[str]:
    """Return the lines of shell that ask the kept controller how its target is."""
    return [
        f"export REARGUARD_URL={layout.controller}",
        f"export REARGUARD_TOKEN_FILE={shlex.quote(str(layout.token_file('operator')))}",
        f"{shlex.quote(str(Path(sys.executable).with_name('rearguard')))} status",
    ]


def keep_running(stack: Stack, screen: Screen, shop: str) -> None:
    """Show where everything is, the shop at this address, until a signal comes."""
    layout = stack.layout
    screen.title("Everything is still running; Ctrl-C stops it")
    for name, url in (
        ("shop", shop),
        ("controller", layout.controller),
        ("Prometheus", layout.prometheus),
        ("Alertmanager", layout.alertmanager),
        ("work folder", str(layout.folder)),
        ("command line", "paste these lines:"),
    ):
        screen.line(name, url)
    screen.as_they_are(command_lines(layout))
    signal.pause()


def _run(folder: Path, *, keep: bool) -> bool:
    screen = Screen()
    with Stack(folder) as stack:
        load = LoadThread(stack.layout.proxy)
        try:
            with screen:
                good = Demo(stack, screen, load).tell()
            if keep:
                with suppress(SystemExit):  # the signal that ends it is what was asked for
                    keep_running(stack, screen, stack.layout.proxy)
        finally:
            load.stop()
    return good


def main(run: Callable[..., bool] = _run) -> int:
    """Run a demo in a folder of its own; returns its exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="A bad release, and the way back.")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rearguard-demo-"))
    good = False
    try:
        with ended_by_signals():
            fetch(DEMO)
            good = run(folder, keep=options.keep)
    except BinaryMissingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
    finally:
        if good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"The demo's files and logs are in {folder}", file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
