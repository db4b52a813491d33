"""A report as one file of HTML, written whole or not at all. `-` is the standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from rearguard_controller.cli import terminal
from rearguard_controller.errors import RearguardError

STANDARD_OUTPUT = "-"


def write(name: str, text: str) -> None:
    """Write a report, and say where it lies.

    Raises:
        RearguardError: the file cannot be written.
    """
    if name == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    place = Path(name)
    half: str | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=place.parent, prefix=f".{place.name}.", delete=False, encoding="utf-8"
        ) as file:
            half = file.name
            file.write(text)
        Path(half).chmod(0o644)
        os.replace(half, place)  # noqa: PTH105  # the whole file at once
    except OSError as error:
        if half is not None:
            Path(half).unlink(missing_ok=True)
        raise RearguardError(
            f"{name} cannot be written: {error.strerror}.", hint="--html names a file in a folder that is there."
        ) from None
    terminal.note(f"Written: {name}")
