"""`make example NAME=fastapi`: an example's application beside real parts, observed, until Ctrl-C.

Here: what an example is made of, and how it runs. Never here: the applications, they lie in `examples/`; other parts
than those of the stack.
"""

import argparse
import os
import shlex
import string
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import requests
import yaml

from local_stack import binaries, settings
from local_stack.demo import keep_running
from local_stack.ending import ended_by_signals
from local_stack.layout import Layout
from local_stack.process import Program, StackError
from local_stack.screen import Screen
from local_stack.stack import Stack

EXAMPLES = binaries.ROOT / "examples"
_PAUSE = 0.1  # seconds between two requests of the traffic
_LIMIT = 2.0  # seconds that one of them may take


def names() -> list[str]:
    """The examples that there are."""
    return sorted(file.parent.name for file in EXAMPLES.glob("*/Procfile"))


class Example:
    """An application, Prometheus, Alertmanager and the controller; leaving it stops everything that was started."""

    def __init__(self, name: str, folder: Path) -> None:
        """Write every setting; nothing is started yet."""
        self.stack = Stack(folder)
        layout = self.stack.layout
        self.app = _application(EXAMPLES / name, layout)
        (layout.folder / "rearguard.yaml").write_text(_configuration(EXAMPLES / name, layout), encoding="utf-8")
        self._over = threading.Event()
        self._traffic = threading.Thread(target=self._ask, name="traffic", daemon=True)

    def start(self) -> None:
        """Start every part, and a little traffic; each is ready when this returns. Raises `StackError`."""
        stack = self.stack
        for program in (self.app, stack.alertmanager, stack.prometheus, stack.controller):
            program.start()
        self._traffic.start()

    def stop(self) -> None:
        """Stop everything. May be repeated."""
        self._over.set()
        if self._traffic.is_alive():
            self._traffic.join()
        try:
            self.stack.stop()
        finally:
            self.app.stop()

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._over.wait(_PAUSE):
                with suppress(requests.RequestException):
                    session.get(self.stack.layout.shop, timeout=_LIMIT)


def _application(example: Path, layout: Layout) -> Program:
    """The program that the example's Procfile names."""
    _, _, line = (example / "Procfile").read_text(encoding="utf-8").strip().partition("web: ")
    module, *words = shlex.split(string.Template(line).substitute(PORT=layout.shop_port))
    return Program(
        "application",
        [sys.executable, "-m", module, *words],
        folder=example,
        log=layout.log("application"),
        ready_url=f"{layout.shop}/healthz",
        environment={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _configuration(example: Path, layout: Layout) -> str:
    """The example's configuration, with the addresses and files of this run."""
    read = yaml.safe_load((example / "rearguard.yaml").read_text(encoding="utf-8"))
    own = settings.rearguard(layout)
    for key in ("journal", "listen", "open", "prometheus", "alertmanager", "tokens"):
        read[key] = own[key]
    return yaml.safe_dump(read, sort_keys=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an example until a signal comes; returns its exit code: 0 ended, 1 failed, 2 there is none of this name."""
    parser = argparse.ArgumentParser(prog="example", description="An application that Rearguard observes.")
    parser.add_argument("name", nargs="?", default="")
    name = parser.parse_args(arguments).name
    if name not in names():
        wrong = f"There is no example {name!r}." if name else "Say which example."
        print(f"{wrong} There are: {', '.join(names())}. Run: make example NAME={names()[0]}", file=sys.stderr)
        return 2
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="rearguard-example-") as folder, ended_by_signals():
        example = Example(name, Path(folder))
        try:
            screen.line(name, "starting the application, Prometheus, Alertmanager and the controller")
            example.start()
            screen.line("what to see", f"examples/{name}/README.md; the page is the controller's address")
            with suppress(SystemExit):  # the signal that ends it is what was asked for
                keep_running(example.stack, screen, example.stack.layout.shop)
        except StackError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            example.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
