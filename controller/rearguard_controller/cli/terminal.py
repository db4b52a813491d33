"""Prints answers: tables and colours on a terminal, plain aligned text everywhere else, JSON or YAML on request.

All text is cleaned of control characters before it is printed: a label, or the output of a command, must not control
the terminal.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rearguard_controller.times.moments import seconds_of
from rearguard_controller.wording import one_line, printable

STYLES = {
    "recovered": "green", "completed": "green", "done": "green", "steady": "green", "yes": "green", "ready": "green",
    "roll_back": "bold yellow", "running": "bold yellow", "started": "bold yellow", "waiting": "yellow",
    "not_recovered": "red", "failed": "red", "needs_a_person": "bold red", "no": "red", "disarmed": "red",
    "interrupted": "red", "skipped": "dim", "planned": "dim", "leave": "dim", "unknown": "yellow",
}  # fmt: skip
TABLE = "table"  # the form of output that is for people
NOTHING = "-"
NARROWEST, USUAL, WIDEST = 60, 100, 118  # columns of prose


def clean(text: str) -> str:
    """Text for a terminal: whatever could control it is spelt out, as `printable` does; line ends and tabs stay."""
    return printable(text, keep="\n\t")


def cell(value: object) -> str:
    """A value as one line of text."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(one_line(str(value)))


def when(value: object) -> str:
    """A time of the API (RFC 3339) to the second, in UTC, as it stands in the controller's sentences and its log."""
    if not isinstance(value, str):
        return NOTHING
    try:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError):  # of a time at the end of the calendar not every zone has one
        return cell(value)


def moment_of(value: object) -> float | None:
    """A time of the API as seconds since the epoch; None without one, or if it is out of bounds."""
    try:
        return seconds_of(value) if isinstance(value, str) else None
    except ValueError:
        return None


def lasted(start: object, end: object) -> str:
    """The time between two times of the API, such as `4.2s` or `3m07s`."""
    began, ended = moment_of(start), moment_of(end)
    if began is None or ended is None:
        return NOTHING
    seconds = ended - began
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}m{seconds:02d}s"


def as_json(value: object) -> None:
    """Print a value as JSON. What a terminal would not show as it stands is escaped, as JSON itself does it."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write(printable(text, keep="\n", as_json=True) + "\n")


def as_json_line(value: object) -> None:
    """Print a value as JSON on one line, as programs read it that follow changes."""
    sys.stdout.write(printable(json.dumps(value, ensure_ascii=False), as_json=True) + "\n")


def as_yaml(value: object) -> None:
    """Print a value as YAML. If some character is not shown as it stands, all that is not ASCII is escaped."""
    import yaml  # noqa: PLC0415  # on request only

    sys.stdout.write(yaml.safe_dump(value, allow_unicode=_is_shown(value), sort_keys=False, width=WIDEST))


def _is_shown(value: object) -> bool:
    """Whether all characters of a value are such as people see; JSON has escaped line ends and the like."""
    return json.dumps(value, ensure_ascii=False).isprintable()


def as_asked(options: Namespace, value: object) -> bool:
    """Print a value as JSON or YAML if that was asked for; whether it was."""
    if options.output == TABLE:
        return False
    (as_json if options.output == "json" else as_yaml)(value)
    return True


def line(text: str = "") -> None:
    """Print one line; an empty one before it if the text begins with a line end."""
    before = "\n" if text.startswith("\n") else ""
    sys.stdout.write(f"{before}{clean(one_line(text.removeprefix(before)))}\n")


def note(text: str) -> None:
    """Print a remark on standard error, which keeps it out of the answer."""
    sys.stderr.write(clean(one_line(text)) + "\n")


def heading(text: str) -> None:
    """Print a heading with an empty line before it."""
    line()
    if not sys.stdout.isatty():
        line(text)
        return
    from rich.console import Console  # noqa: PLC0415  # terminals only
    from rich.text import Text  # noqa: PLC0415  # terminals only

    Console().print(Text(clean(text), style="bold"))


def facts(values: Mapping[str, object]) -> None:
    """Print names and values, one per line; empty ones are left out."""
    shown = {name: cell(value) for name, value in values.items() if cell(value) != NOTHING}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        line(f"{name:<{width}}  {value}")


def width() -> int:
    """Columns for prose: those of the terminal or of COLUMNS, but from `NARROWEST` to `WIDEST`."""
    return max(NARROWEST, min(shutil.get_terminal_size((USUAL, 24)).columns, WIDEST))


def paragraph(text: str, *, indent: int = 0, hanging: int = 0) -> None:
    """Print text broken at spaces to fit `width`. Words are never broken, so that they can be copied."""
    first, rest = " " * indent, " " * (indent + hanging)
    for part in _broken(clean(text), width() - len(rest)) or [""]:
        line(first + part)
        first = rest


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, wrapped: bool = False) -> None:
    """Print a table: drawn and coloured on a terminal, aligned text elsewhere.

    With `wrapped`, the last column is prose, and aligned text breaks it to fit `width`.
    """
    texts = [[cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(columns, texts)
        return
    lines = [list(columns), *texts]
    widths = [max(len(row[index]) for row in lines) for index in range(len(columns))]
    before = sum(widths[:-1]) + 2 * (len(columns) - 1)
    for row in lines:
        *others, last = row
        parts = _broken(last, max(NARROWEST // 2, width() - before)) if wrapped else [last]
        cells = [text.ljust(size) for text, size in zip(others, widths, strict=False)]
        for part in parts:
            line("  ".join([*cells, part]).rstrip())
            cells = [" " * len(cell) for cell in cells]


def _broken(text: str, size: int) -> list[str]:
    """Text in lines of at most `size` characters; a longer word gets a line of its own."""
    return textwrap.wrap(text, size, break_long_words=False, break_on_hyphens=False)


def _drawn(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  # terminals only
    from rich.console import Console  # noqa: PLC0415  # terminals only
    from rich.table import Table  # noqa: PLC0415  # terminals only
    from rich.text import Text  # noqa: PLC0415  # terminals only

    drawn = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=index < len(columns) - 1)  # the last one may be prose
    for row in texts:
        drawn.add_row(*(Text(text, style=STYLES.get(text, "")) for text in row))
    Console().print(drawn)
