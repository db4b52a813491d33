"""What `rearguard check --live` prints: the findings of a look at the real things.

Here: which rules were shipped, and how findings are shown. The look itself is the room `service`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from rearguard_controller.cli import files, terminal
from rearguard_controller.config import Configuration
from rearguard_controller.service import live
from rearguard_controller.service.live import Finding, ShippedRules, Weight


def look(file: str, configuration: Configuration) -> tuple[Finding, ...]:
    """Everything that is found, the worst first.

    Raises:
        RearguardError: this installation has no rules to compare with, or there is no room for a temporary file.
    """
    return live.look(Path(file), configuration, _shipped())


def code(found: Sequence[Finding]) -> int:
    """The exit code: 1 if something is in the way of a rollback."""
    return 1 if any(each.weight is Weight.BLOCKS for each in found) else 0


def told(found: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings as JSON has them."""
    return [{"weight": each.weight.name.lower(), "about": each.about, "said": each.said} for each in found]


def show(found: Sequence[Finding]) -> None:
    """Print the findings below a heading for each weight."""
    for weight in Weight:
        some = [each for each in found if each.weight is weight]
        if some:
            terminal.heading(f"Live: {weight.value[0].lower()}{weight.value[1:]}")
        for each in some:
            terminal.line(f"{each.about}: {each.said}")


def _shipped() -> Iterator[ShippedRules]:
    for file in files.shipped("rules"):
        if file.path.endswith(".yml") and not file.path.startswith(files.OPTIONAL):
            groups = yaml.safe_load(file.at.read_text(encoding="utf-8"))["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            yield ShippedRules(file.path, tuple(dict.fromkeys(rule.get("alert") or rule["record"] for rule in rules)))
