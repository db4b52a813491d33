"""The command `rearguard-exporter --config exporter.yaml`. Exit codes: 0 ended by a signal, 1 failed, 2 wrong use."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from rearguard_exporter.standalone import log_lines
from rearguard_exporter.standalone.config import schema

_WRONG_USE = 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the exporter until a signal ends it, and end the process at once: no thread is waited for."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it reloads: a reload that comes too early must end nothing
    asked = parser().parse_args(arguments)
    log_lines.set_up()
    code = _run(asked.config, is_check=asked.check)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _run(path: Path, *, is_check: bool) -> int:
    try:
        # Here, because they need libraries that the exporter of applications does without.
        from rearguard_exporter.standalone.errors import ConfigError  # noqa: PLC0415
        from rearguard_exporter.standalone.exporter import Exporter  # noqa: PLC0415

        try:
            exporter = Exporter(path)
            if is_check:
                print(f"{path}: good")  # noqa: T201 - the answer of a command
                return 0
            asyncio.new_event_loop().run_until_complete(exporter.run())
        except ConfigError as error:
            print(f"rearguard-exporter: {error}", file=sys.stderr)  # noqa: T201
            return _WRONG_USE
    except ModuleNotFoundError as error:
        hint = "run: pip install 'rearguard[standalone]'"
        print(f"rearguard-exporter: the library {error.name} is not installed; {hint}", file=sys.stderr)  # noqa: T201
        return _WRONG_USE
    except OSError as error:
        print(f"rearguard-exporter: cannot listen: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


class _PrintsSchema(argparse.Action):
    """Prints the JSON schema of the configuration file, and ends the command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        sys.stdout.write(schema.written())
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    made = argparse.ArgumentParser(
        prog="rearguard-exporter", description="Shows the figures of a service whose code cannot be changed."
    )
    made.add_argument("--config", type=Path, required=True, help="the configuration file (docs/standalone.md)")
    made.add_argument("--check", action="store_true", help="only say whether the file can be used")
    made.add_argument("--schema", action=_PrintsSchema, nargs=0, help="print the JSON schema of that file")
    made.add_argument("--version", action="version", version=f"rearguard-exporter {version('rearguard')}")
    return made


if __name__ == "__main__":
    main()
