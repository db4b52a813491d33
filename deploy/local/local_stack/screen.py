"""How the demo looks: one line for each event with the seconds since the fault began, tables at the end.

Here: rich tables and colours; plain lines when the output is not a terminal. Never here: what happened.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local_stack.proof import Claim
from local_stack.story import Event

_PLAIN_WIDTH = 118
_STYLES = {"plain": "", "bad": "red", "good": "green", "note": "yellow"}
_MARKS = {"yes": "green", "no": "red", "unknown": "yellow"}
_TIME_WIDTH = 8
_WHAT_WIDTH = 20


class Screen:
    """The terminal, or a file that is read later."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw nothing yet."""
        own = Console(highlight=False)
        if not own.is_terminal:
            own = Console(highlight=False, width=_PLAIN_WIDTH)
        self.console = console or own
        self.zero: float | None = None  # when the fault began; before that, nothing has a time
        self._began = time.monotonic()
        self._live = Live("", console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        """Show the footer, on a terminal."""
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the footer away."""
        self.footer_off()

    def footer_off(self) -> None:
        """Take the footer away: nothing is being waited for any more. May be repeated."""
        self._live.stop()

    def title(self, text: str) -> None:
        """Begin a part of the output."""
        self.console.print()
        self.console.print(Text(text, "bold"))

    def line(self, what: str, detail: str) -> None:
        """Print a line that has no time."""
        self._row(Text(), Text(what), Text(detail))

    def as_they_are(self, lines: Sequence[str]) -> None:
        """Print lines that are to be copied: never broken, whatever the width."""
        for line in lines:
            self.console.out(line, highlight=False)

    def event(self, event: Event) -> None:
        """Print an event, with its reasons."""
        moment = f"{event.at - self.zero:.1f}" if self.zero is not None else ""
        self._row(Text(moment, "cyan"), Text(event.what, _STYLES[event.mood]), Text(event.detail))
        if event.lines:
            grid = Table.grid(padding=(0, 2))
            grid.add_column(width=_TIME_WIDTH)
            grid.add_column(width=7)
            grid.add_column(no_wrap=True)
            grid.add_column()
            for mark, name, sentence in event.lines:
                grid.add_row("", Text(mark, _MARKS[mark]), Text(name, "dim"), Text(sentence, "dim"))
            self._print(grid)

    def footer(self, doing: str, seen: str) -> None:
        """Say what is being waited for; only a terminal shows it."""
        if self.console.is_terminal:
            elapsed = time.monotonic() - self._began
            text = Text(f" {elapsed:4.0f} s  {doing}\n         {seen}", "dim")
            table = Table.grid()
            table.add_row(Spinner("dots"), text)
            self._live.update(Group(Text(), table))

    def spans(self, rows: Sequence[tuple[str, float | None, float | None]]) -> None:
        """Print a table of (what, seconds, limit)."""
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("span", min_width=44)
        table.add_column("seconds", justify="right")
        table.add_column("limit", justify="right")
        for what, value, limit in rows:
            late = value is None or (limit is not None and value > limit)
            shown = "-" if value is None else f"{value:.1f}"
            table.add_row(what, Text(shown, "red" if late else ""), "" if limit is None else f"{limit:g}")
        self._print(table)

    def claims(self, claims: Sequence[Claim]) -> None:
        """Print what must be true at the end, and its evidence."""
        grid = Table.grid(padding=(0, 2))
        for claim in claims:
            mark = Text("yes", "green") if claim.holds else Text("NO", "bold red")
            grid.add_row(mark, claim.claim, Text(claim.evidence, "dim"))
        self._print(grid)

    def _print(self, shown: Table) -> None:
        """Print; a file gets no spaces at the end of a line."""
        if self.console.is_terminal:
            self.console.print(shown)
            return
        with self.console.capture() as text:
            self.console.print(shown)
        for line in text.get().splitlines():
            self.console.out(line.rstrip())

    def _row(self, moment: Text, what: Text, detail: Text) -> None:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=_TIME_WIDTH, justify="right")
        grid.add_column(width=_WHAT_WIDTH)
        grid.add_column()
        grid.add_row(moment, what, detail)
        self._print(grid)
