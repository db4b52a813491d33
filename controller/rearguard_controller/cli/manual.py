"""The manual page rearguard(1), made from the parser: `python -m rearguard_controller.cli.manual` prints it.

Here: how commands and options become roff. What is said of them stands in `arguments`.
"""

from __future__ import annotations

import argparse
import sys

from rearguard_controller.cli.arguments import command_names, parser, subparsers


def page() -> str:
    """The manual page."""
    words = parser()
    lines = [
        '.TH REARGUARD 1 "" "Rearguard" "User Commands"',
        ".SH NAME",
        "rearguard \\- puts the last version that earned trust back when a release is to blame",
        ".SH SYNOPSIS",
        ".B rearguard",
        "COMMAND ...",
        ".SH DESCRIPTION",
        _text(words.description),
        ".SH COMMANDS",
    ]
    for name in command_names(words):
        lines += _command(name, subparsers(words)[name])
    lines += [".SH ENVIRONMENT AND EXIT CODES", ".nf", _text(words.epilog).rstrip("\n"), ".fi"]
    return "\n".join(lines) + "\n"


def _command(name: str, command: argparse.ArgumentParser) -> list[str]:
    actions = [each for each in command._actions if each.dest != "help"]  # noqa: SLF001  # argparse has no public way
    places = [str(each.metavar) for each in actions if not each.option_strings]
    lines = [f'.SS "{_text(" ".join(["rearguard", name, *places]))}"', _text(command.description)]
    for each in actions:
        value = "" if each.nargs == 0 else str(each.metavar or "|".join(map(str, each.choices or ())))
        called = f"{', '.join(each.option_strings)} {value}".strip() if each.option_strings else value
        if each.help:
            lines += [".TP", f".B {_text(called)}", _text(each.help)]
    return lines


def _text(text: str | None) -> str:
    """Text in roff: what would be an escape or a request is not."""
    safe = (text or "").replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in safe.split("\n"))


if __name__ == "__main__":
    sys.stdout.write(page())
