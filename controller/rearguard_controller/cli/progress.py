"""Progress on standard error while a command waits, drawn by rich on a terminal.

Here: one live line, and bars for work whose amount is known. What is drawn goes away at the end, so that the answer
stands alone. Never here: plain lines for pipes, which each command words itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rearguard_controller.cli import terminal

if TYPE_CHECKING:
    from rich.progress import TaskID


class LiveLine:
    """One line that is drawn anew, beside something that turns."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        from rich.console import Console  # noqa: PLC0415  # terminals only
        from rich.status import Status  # noqa: PLC0415  # terminals only

        self._status = Status("", console=Console(stderr=True))

    def show(self, text: str) -> None:
        """Draw this text, whatever it looks like to a terminal or to rich."""
        from rich.text import Text  # noqa: PLC0415  # terminals only

        self._status.update(Text(terminal.cell(text), overflow="ellipsis", no_wrap=True))
        self._status.start()

    def end(self) -> None:
        """Clear the line."""
        self._status.stop()


class Bars:
    """A bar for each kind of work, with how much of it is done."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        from rich.console import Console  # noqa: PLC0415  # terminals only
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  # terminals only

        words = TextColumn("reading {task.description}", markup=False)
        self._progress = Progress(
            words, BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
        )
        self._kinds: dict[str, TaskID] = {}

    def say(self, what: str, done: int, of: int) -> None:
        """Draw that `done` of the `of` parts of `what` are done."""
        self._progress.start()
        if what not in self._kinds:
            self._kinds[what] = self._progress.add_task(terminal.clean(what))
        self._progress.update(self._kinds[what], completed=done, total=of)

    def end(self) -> None:
        """Clear the bars."""
        self._progress.stop()
