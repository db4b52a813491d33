"""The overview: every target in a line, those in trouble first; what waits for a person; search and filter.

Here: what is known of all targets without reading each one's records, their order, and the part that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique

from rearguard_controller import json_views
from rearguard_controller.api.reads import logged_of
from rearguard_controller.api.services import Figure, Present, Services
from rearguard_controller.model import Alert, Phase, Rollback, Target, TargetState, is_subset
from rearguard_controller.model.checks import READY_CHECKS
from rearguard_controller.model.observations import is_armed, is_unreadable, last_known_good
from rearguard_controller.wording import moment, number

SHOWN = 40  # targets on one page
STATES = ("waiting", "running", "firing", "disarmed", "not_ready", "steady")


@unique
class Trouble(IntEnum):
    """How much a target needs somebody to look, the most first."""

    WAITING = 0
    RUNNING = 1
    FIRING = 2
    LEFT_OFF = 3  # disarmed by a rollback that did not help
    OTHER_ALERT = 4
    DISARMED = 5
    NOT_READY = 6
    NONE = 7


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a target at a glance."""

    target: Target
    state: TargetState
    rollback: Rollback | None
    firing: Sequence[Alert]
    triggers: Sequence[Alert]
    armed: bool
    ready: bool
    trouble: Trouble

    @property
    def words(self) -> tuple[str, ...]:
        """The states by which it is found."""
        found = [
            ("waiting", self.trouble is Trouble.WAITING),
            ("running", self.trouble is Trouble.RUNNING),
            ("firing", bool(self.firing)),
            ("disarmed", not self.armed),
            ("not_ready", not self.ready),
        ]
        return tuple(word for word, holds in found if holds) or ("steady",)


async def rows(services: Services, now: Present) -> list[Row]:
    """All targets, those in trouble first."""
    states = await services.journal.target_states()
    opened = {each.target: each for each in await services.journal.open_rollbacks()}
    clock = services.clock()
    found = [_row(now, target, states, opened.get(target.name), clock) for target in now.configuration.targets]
    found.sort(key=lambda row: row.trouble)
    return found


def _row(
    now: Present, target: Target, states: Mapping[str, TargetState], rollback: Rollback | None, clock: float
) -> Row:
    state = states.get(target.name) or TargetState(target.name)
    firing = now.watcher.firing(target.name)
    triggers = [each for each in firing if is_subset(target.policy.alerts, each.labels)]
    checks = now.watcher.ready(target.name)
    armed, ready = is_armed(state, clock), all(checks.get(name) for name in READY_CHECKS)
    trouble = Trouble.NONE
    for holds, kind in (
        (rollback is not None and rollback.phase is Phase.WAITING, Trouble.WAITING),
        (rollback is not None, Trouble.RUNNING),
        (bool(triggers), Trouble.FIRING),
        (not armed and state.disarmed_by is not None, Trouble.LEFT_OFF),
        (bool(firing), Trouble.OTHER_ALERT),
        (not armed, Trouble.DISARMED),
        (not ready, Trouble.NOT_READY),
    ):
        if holds:
            trouble = kind
            break
    return Row(target, state, rollback, firing, triggers, armed, ready, trouble)


def chosen(found: Sequence[Row], text: str, state: str) -> list[Row]:
    """Those whose name or version holds the text, and that are in the state; empty texts choose all."""
    wanted = text.casefold()
    return [
        row
        for row in found
        if (wanted in row.target.name.casefold() or wanted in (row.state.serving_version or "").casefold())
        and (not state or state in row.words)
    ]


async def shown(services: Services, now: Present, row: Row) -> dict[str, object]:
    """A target's line."""
    releases = await services.journal.releases(row.target.name)
    good = last_known_good(releases)
    serving = next((each for each in releases if each.version == row.state.serving_version), None)
    checks = now.watcher.not_ready(row.target.name)
    return {
        "name": row.target.name,
        "environment": row.target.environment,
        "mode": row.target.policy.mode,
        "state": json_views.standing(row.state, row.rollback, services.clock()),
        "armed": row.armed,
        "armed_reason": row.state.armed_reason,
        "damaged": is_unreadable(row.state),
        "left_off": row.trouble is Trouble.LEFT_OFF,
        "serving": row.state.serving_version,
        "description": "" if serving is None else serving.description,
        "serving_since": moment(row.state.serving_since),
        "is_bad": serving is not None and serving.distrusted and row.rollback is None,
        "good": None if good is None else good.version,
        "not_ready": [{"name": each.name, "holds": each.holds, "detail": each.detail} for each in checks],
        "firing": firing(now, row.target),
        "logged": logged_of(services, row.target),
        "rollback": None if row.rollback is None else row.rollback.id,
    }


def firing(now: Present, target: Target) -> list[dict[str, object]]:
    """The alerts of a target that fire, each once, with the numbers of their figures."""
    figures = now.watcher.figures(target.name)
    found: dict[str, dict[str, object]] = {}
    for alert in now.watcher.firing(target.name):
        found.setdefault(
            alert.name,
            {
                "name": alert.name,
                "is_trigger": is_subset(target.policy.alerts, alert.labels),
                "summary": alert.annotations.get("summary", ""),
                "runbook": alert.annotations.get("runbook_url", ""),
                "since": moment(alert.starts_at),
                "figures": [figure_told(each) for each in figures if each.alert == alert.name],
            },
        )
    return list(found.values())


def figure_told(figure: Figure) -> dict[str, object]:
    """A figure in words."""
    threshold = "" if figure.threshold is None else f"{figure.operator} {number(figure.threshold)}"
    return {
        "alert": figure.alert,
        "version": figure.version,
        "value": number(figure.value),
        "threshold": threshold,
        "past": figure.past,
    }
