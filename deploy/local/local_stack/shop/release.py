"""A release of the shop: its version and its own code for prices, read from a folder.

Here: what a release folder must hold (`release.json`, `pricing.py`) and how it is loaded.
Never here: which release serves; that is the supervisor's (`local_stack.release`).
"""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Price = Callable[[int, str | None], int]  # (cents before discount, loyalty tier) -> cents to pay


class ReleaseError(Exception):
    """The folder holds no release that could serve; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version and how it makes a price."""

    version: str
    price: Price


def load(folder: Path) -> Release:
    """Return the release in `folder`; raises `ReleaseError`."""
    version = _version(folder / "release.json")
    module_file = folder / "pricing.py"
    spec = importlib.util.spec_from_file_location("pricing", module_file)
    if spec is None or spec.loader is None:
        raise ReleaseError(f"{module_file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return Release(version, module.price)
    except Exception as error:
        raise ReleaseError(f"{module_file} cannot be loaded: {type(error).__name__}: {error}") from error


def _version(file: Path) -> str:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{file} cannot be read: {error}") from error
    version = content.get("version") if isinstance(content, dict) else None
    if not isinstance(version, str) or not version:
        raise ReleaseError(f"{file} names no version")
    return version
