"""Whether Alertmanager would send an alert of each target to the controller.

Here: by `amtool config routes test` if that program is there, else by the configuration that Alertmanager shows of
itself. Labels that Prometheus adds on the way (external labels) count as absent.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rearguard_controller.adapters.alertmanager import Alertmanager, Matcher, Routing, routing
from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.prometheus import Rules
from rearguard_controller.adapters.prometheus.alert_rules import can_raise
from rearguard_controller.errors import SourceError, sentences
from rearguard_controller.facts.silences import agrees
from rearguard_controller.model import Labels, Target
from rearguard_controller.watching.live.finding import MOST_NAMED, Finding, Weight

ALERTMANAGER = "Alertmanager"
PATH = "/webhook/alertmanager"  # of the controller
NAME = "rearguard"  # in the name of a receiver whose address Alertmanager hides
AMTOOL_MOST = 60  # questions to amtool; the rest is answered by the configuration
AMTOOL_LIMIT = 10.0  # seconds for one
_POLLS = "Until then the controller finds alerts by polling Prometheus only."
_MERGE = "merge deploy/alertmanager/alertmanager.yml (or, with the operator, see docs/kubernetes.md)"


class LiveRoutes:
    """Asks one Alertmanager."""

    def __init__(self, alertmanager: Alertmanager) -> None:
        """Nothing is asked yet."""
        self._alertmanager = alertmanager
        self._left = AMTOOL_MOST

    async def look(self, targets: Sequence[Target], rules: Mapping[str, Rules]) -> list[Finding]:
        """Everything that is found; `rules` are those that each Prometheus has loaded."""
        try:
            text = await self._alertmanager.configuration()
            tree = routing(text)
        except SourceError as error:
            return [Finding(ALERTMANAGER, sentences(error), Weight.LOOK)]
        except ShapeError as error:
            said = f"Not known whether alerts reach the controller: {error}."
            return [Finding(ALERTMANAGER, said, Weight.UNKNOWN)]
        ours = _ours(tree)
        if not ours:
            return [_nobody(tree)]
        amtool = shutil.which("amtool")
        with tempfile.TemporaryDirectory(prefix="rearguard-check-") as folder:
            file = Path(folder) / "alertmanager.yml"
            file.write_text(text, encoding="utf-8")
            return [
                await self._of(target, rules[target.prometheus], tree, ours, (amtool or "", file))
                for target in targets
            ]

    async def _of(
        self, target: Target, rules: Rules, tree: Routing, ours: frozenset[str], amtool: tuple[str, Path]
    ) -> Finding:
        lost: dict[str, str] = {}  # alert -> who gets it instead
        for labels in _alerts(target, rules):
            try:
                reached = await self._by_amtool(amtool, labels) or tree.reached(labels, _agrees)
            except ShapeError as error:
                said = f"Not known whether its alerts reach the controller: {error}."
                return Finding(target.name, said, Weight.UNKNOWN)
            if ours.isdisjoint(reached):
                lost[labels.get("alertname", "an alert")] = ", ".join(reached)
        if not lost:
            said = f"Alerts reach the receiver {', '.join(sorted(ours))}."
            return Finding(target.name, said, Weight.GOOD)
        names = ", ".join(list(lost)[:MOST_NAMED]) + (
            f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        )
        said = (
            f"Alertmanager sends {names} to {', '.join(dict.fromkeys(lost.values()))}, and not to"
            f" {', '.join(sorted(ours))}: {_MERGE}. {_POLLS}"
        )
        return Finding(target.name, said, Weight.LOOK)

    async def _by_amtool(self, amtool: tuple[str, Path], labels: Labels) -> tuple[str, ...]:
        """The receivers by amtool's own word; empty where it is not there, or gave none."""
        program, file = amtool
        if not program or self._left <= 0:
            return ()
        self._left -= 1
        words = [f"{name}={value}" for name, value in labels.items()]
        try:
            child = await asyncio.create_subprocess_exec(
                program,
                "config",
                "routes",
                "test",
                f"--config.file={file}",
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError:
            return ()
        try:
            async with asyncio.timeout(AMTOOL_LIMIT):
                said, _ = await child.communicate()
        except TimeoutError:
            return ()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        names = (each.strip() for each in said.decode(errors="replace").replace("\n", ",").split(","))
        return tuple(filter(None, names)) if child.returncode == 0 else ()


def _agrees(matcher: Matcher, value: str) -> bool:
    """Whether a value fits; raises `ShapeError` where that cannot be told here."""
    if agrees(matcher, value, unsure=True) is not agrees(matcher, value, unsure=False):
        raise ShapeError(f"the expression {matcher.value[:100]!r} cannot be compared here; amtool on PATH can")
    return agrees(matcher, value, unsure=True)


def _ours(tree: Routing) -> frozenset[str]:
    """The receivers that post to the controller: by the address, or by the name where Alertmanager hides that."""
    hidden = {name for name, urls in tree.webhooks.items() if NAME in name and any(_is_hidden(each) for each in urls)}
    return frozenset(hidden | {name for name, urls in tree.webhooks.items() if any(PATH in each for each in urls)})


def _is_hidden(url: str) -> bool:
    return not url.startswith(("http://", "https://"))


def _nobody(tree: Routing) -> Finding:
    hidden = [name for name, urls in tree.webhooks.items() if any(_is_hidden(each) for each in urls)]
    if hidden:
        said = (
            f"Not known whether alerts reach the controller: Alertmanager hides the addresses of"
            f" {', '.join(hidden[:MOST_NAMED])}. A receiver whose name holds `{NAME}` is taken for the controller."
        )
        return Finding(ALERTMANAGER, said, Weight.UNKNOWN)
    said = f"No receiver posts to {PATH}: {_MERGE}. {_POLLS}"
    return Finding(ALERTMANAGER, said, Weight.LOOK)


def _alerts(target: Target, rules: Rules) -> Iterable[Labels]:
    """The labels of an alert of each trigger rule about a target; of any alert, where no rule is known."""
    about = {**target.policy.alerts, **target.match[0]}
    triggers = [rule for rule in rules.alerting if can_raise(rule, target.policy.alerts)]
    for rule in triggers:
        plain = {name: value for name, value in rule.labels.items() if "{{" not in value}
        yield {**about, **plain, "alertname": rule.name}
    if not triggers:
        yield about
