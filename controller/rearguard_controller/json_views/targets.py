"""Targets, their arming, readiness, score and drills, as users see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, NotRequired, TypedDict

from rearguard_controller import model
from rearguard_controller.json_views import decisions
from rearguard_controller.json_views.known import Figure, known_of
from rearguard_controller.json_views.terms import Checks, Count, Cursor, LeftOut, Time, Unreadable
from rearguard_controller.model import Mode, Phase, Standing, TargetState
from rearguard_controller.model.checks import DRILL_CHECKS
from rearguard_controller.model.observations import is_armed, is_given_up, last_known_good
from rearguard_controller.wording import moment


class Armed(TypedDict):
    """Whether a target may be rolled back automatically, and why not."""

    name: Annotated[str, "The target."]
    armed: Annotated[bool, "Whether automatic rollbacks are allowed now."]
    armed_reason: Annotated[str, "Why it was disarmed, or armed again."]
    armed_changed_at: Annotated[Time | None, "When it was last armed or disarmed; null when it never was."]
    disarmed_until: Annotated[Time | None, "When a disarming ends by itself; null when it does not."]


class Arming(Armed):
    """Whether a target may be rolled back automatically, why not, and who said so."""

    armed_by: Annotated[str | None, "Who armed or disarmed it last; null when nobody did, or the controller itself."]


class ArmingOfAll(TypedDict):
    """The arming of every target."""

    targets: Annotated[list[Arming], "In the order of the configuration."]


class Check(TypedDict):
    """Whether one thing that a rollback needs is as it must be."""

    name: Annotated[str, ("enum", DRILL_CHECKS), "Which check."]
    holds: Annotated[bool | None, "Whether it holds; null when it is unknown."]
    detail: Annotated[str, "What was found, in words; when it does not hold, what to do."]


class DrillInShort(TypedDict):
    """When a drill was, and whether all was good."""

    id: Annotated[str, "Its name."]
    at: Annotated[Time, "When it began."]
    ok: Annotated[bool | None, "True when every check holds, false when one does not, null when one is unknown."]


class Drill(DrillInShort):
    """A walk of the whole way back that changed nothing, and what it found."""

    target: Annotated[str, "The target."]
    operator: Annotated[str, "Who asked for it: the name of the token."]
    reason: Annotated[str, "Why, in their words."]
    ended_at: Annotated[Time | None, "Null while it goes on, and when the controller stopped before its end."]
    checks: Annotated[list[Check], "In the order of the way back."]


class DrillPage(TypedDict):
    """Drills, newest first."""

    drills: Annotated[list[Drill], "At most `limit` of them, and about 1 MiB."]
    unreadable: NotRequired[Unreadable]
    next: Cursor


class Score(TypedDict):
    """What the controller would have done against what people did by hand, each release counted once."""

    agreed: Annotated[Count, "It would have rolled back, and people did."]
    only_we: Annotated[Count, "It would have, and nobody did."]
    only_people: Annotated[Count, "People did, and it had not said so."]
    open: Annotated[bool, "It would roll back now, and people have not decided yet."]
    lead_s: Annotated[
        float | None, "Mean of the seconds from when it said so until people went back; null before they agreed."
    ]


class _MoreFiring(TypedDict, total=False):
    firing_left_out: LeftOut


class Target(Arming):
    """How a target stands."""

    mode: Annotated[Mode, "What its policy allows."]
    environment: Annotated[str, "Its environment."]
    policy: Annotated[str, "The name of its policy."]
    state: Annotated[Standing, "How it stands, in a word."]
    serving_version: Annotated[str | None, "The version that serves; null when it is unknown."]
    serving_description: Annotated[str, "How people know that version: revision and images of a workload."]
    serving_since: Annotated[Time | None, "When it was first seen serving."]
    serving_is_bad: Annotated[bool, "Whether a rollback led away from the version that serves."]
    given_up: Annotated[
        bool,
        "Whether no automatic rollback away from the version that serves is tried any more, because stops of the"
        " controller interrupted too many. Arming the target allows one more.",
    ]
    last_known_good: Annotated[str | None, "The version that an automatic rollback would put back."]
    ready: Annotated[bool, "Whether every check is known and holds."]
    checks: Annotated[Checks, "The readiness checks by name: whether each holds; null when it is unknown."]
    open_rollback: Annotated[str | None, "The rollback that is open, if any."]
    firing: Annotated[list[decisions.Alert], "Its alerts that fire, by Prometheus; and what Kubernetes tells."]
    firing_left_out: NotRequired[LeftOut]
    score: Annotated[Score, "What it would have done against what people did."]
    last_drill: Annotated[DrillInShort | None, "Its last drill that can be read; null when there is none."]
    not_ready: Annotated[list[Check], "The checks that do not hold or are unknown, with what to do."]
    logged: Annotated[list[str], "What the log warned of lately, in its words, the newest first."]
    known: Annotated[list[str], "What is known of it now, in sentences: version, figures, trust, what happens next."]


def armed(value: TargetState, now: float) -> Armed:
    """Whether a target may be rolled back automatically, and why not."""
    return {
        "name": value.target,
        "armed": is_armed(value, now),
        "armed_reason": value.armed_reason,
        "armed_changed_at": moment(value.armed_changed_at),
        "disarmed_until": moment(value.disarmed_until),
    }


def arming(value: TargetState, now: float, *, armed_by: str | None) -> Arming:
    """Whether a target may be rolled back automatically, why not, and who said so."""
    return {**armed(value, now), "armed_by": armed_by}


def target(
    value: model.Target,
    state: TargetState,
    *,
    now: float,
    releases: Sequence[model.Release],
    open_rollback: model.Rollback | None,
    lost_rollback: str | None = None,
    firing: Sequence[model.Alert],
    firing_left_out: int = 0,
    checks: Mapping[str, bool | None],
    not_ready: Sequence[model.Check],
    armed_by: str | None,
    last_drill: model.Drill | None,
    figures: Iterable[Figure],
    traffic: Iterable[model.Traffic],
    logged: Sequence[str],
) -> Target:
    """A target as `status` shows it. `ready` is true only when every check is known and holds.

    `lost_rollback` is an open rollback whose record is damaged.
    """
    good = last_known_good(releases)
    serving = next((each for each in releases if each.version == state.serving_version), None)
    more: _MoreFiring = {"firing_left_out": firing_left_out} if firing_left_out else {}
    return {
        **armed(state, now),
        "mode": value.policy.mode,
        "environment": value.environment,
        "policy": value.policy.name,
        "state": standing(state, open_rollback, now),
        "serving_version": state.serving_version,
        "serving_description": "" if serving is None else serving.known_as,
        "serving_since": moment(state.serving_since),
        "serving_is_bad": serving is not None and serving.distrusted,
        "given_up": is_given_up(state, serving),
        "last_known_good": None if good is None else good.version,
        "ready": bool(checks) and all(holds is True for holds in checks.values()),
        "checks": dict(checks),
        "open_rollback": lost_rollback if open_rollback is None else open_rollback.id,
        "firing": [decisions.alert(each) for each in firing],
        **more,
        "score": score(state.score),
        "armed_by": armed_by,
        "last_drill": None if last_drill is None else drill_in_short(last_drill),
        "not_ready": [check(each) for each in not_ready],
        "logged": list(logged),
        "known": known_of(value, state, releases, figures, traffic, open_rollback, now),
    }


def score(value: model.Score) -> Score:
    """What the controller would have done against what people did."""
    return {
        "agreed": value.agreed,
        "only_we": value.only_we,
        "only_people": value.only_people,
        "open": value.version is not None,
        "lead_s": value.mean_lead,
    }


def check(value: model.Check) -> Check:
    """Whether one thing that a rollback needs is as it must be."""
    return {"name": value.name, "holds": value.holds, "detail": value.detail}


def drill(value: model.Drill) -> Drill:
    """A drill and all that it found."""
    return {
        **drill_in_short(value),
        "target": value.target,
        "operator": value.operator,
        "reason": value.reason,
        "ended_at": moment(value.ended_at),
        "checks": [check(each) for each in value.checks],
    }


def drill_in_short(value: model.Drill) -> DrillInShort:
    """When a drill was, and whether all was good."""
    return {"id": value.id, "at": moment(value.at), "ok": value.ok}


def standing(state: TargetState, open_rollback: model.Rollback | None, now: float) -> Standing:
    """How a target stands, in a word; an open rollback says more than the arming."""
    if open_rollback is not None:
        return Standing.WAITING if open_rollback.phase is Phase.WAITING else Standing.RUNNING
    return Standing.STEADY if is_armed(state, now) else Standing.DISARMED


def worst(states: Sequence[Standing]) -> Standing:
    """The worst of the targets' states; `steady` when there are none."""
    return max(states, key=list(Standing).index, default=Standing.STEADY)
