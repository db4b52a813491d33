"""What a back-test tells: what would have been rolled back, beside what people did. Pure.

Here: the comparison with the changes back to an older version in history, and its shape as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rearguard_controller import json_views, wording
from rearguard_controller.backtest.nouns import Change, Record, Replayed, Return, World
from rearguard_controller.backtest.serving import changes, returns
from rearguard_controller.json_views import Json
from rearguard_controller.judgement.policy import PERMISSIONS
from rearguard_controller.model import Decision, Reason
from rearguard_controller.wording import span

LATE = 3600.0  # seconds after the start; if data begins later than that, a note says so

REMINDER = (
    "Judged as if every target were armed and its mode acted. The targets' own commands were not run: whether a\n"
    "version could be activated is not known. Nor are silences, announced deployments, barriers and past arming."
)
ASSUMED = (
    "judged as if every target were armed and its mode acted; `verdict` is what the configured mode would have said",
    "a version is its service_version, as target_info showed it; the first one seen is taken for known good",
    "the target's own commands were not asked: whether a version could be activated is not known",
    "a rollback is taken to have helped at once, unless the alert fired on when people went back",
    "what history shows of a version after a rollback away from it is already handled",
    "silences, announced deployments, barriers, vetoes and arming of the past are not known and stood in no way",
)


@dataclass(frozen=True, slots=True)
class Rollback:
    """A rollback that would have been begun.

    Attributes:
        people: the rollback away from the same version that people did, if any.
        next_change: what the target really changed to next; None when the version served to the end.
    """

    record: Record
    people: Return | None
    next_change: Change | None

    @property
    def earlier(self) -> float | None:
        """Seconds by which it would have come before that of people."""
        return None if self.people is None else self.people.at - self.record.decision.decided_at


@dataclass(frozen=True, slots=True)
class OnlyPeople:
    """A rollback that people did and the controller would not have begun; `record` is the judgement that says why."""

    people: Return
    record: Record | None
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a back-test.

    Attributes:
        left: judgements that led to nothing.
        data_from: by target, since when there is data; None where there is none.
    """

    start: float
    end: float
    rollbacks: tuple[Rollback, ...]
    left: tuple[Record, ...]
    only_people: tuple[OnlyPeople, ...]
    data_from: Mapping[str, float | None]
    notes: tuple[str, ...]
    targets: tuple[tuple[str, str, int], ...]  # name, mode, changes of version

    @property
    def agreed(self) -> tuple[Rollback, ...]:
        """The rollbacks that people did as well."""
        return tuple(each for each in self.rollbacks if each.people is not None)

    def only(self, target: str) -> Report:
        """The part that is about one target."""
        return replace(
            self,
            rollbacks=tuple(each for each in self.rollbacks if each.record.decision.target == target),
            left=tuple(each for each in self.left if each.decision.target == target),
            only_people=tuple(each for each in self.only_people if each.people.target == target),
            targets=tuple(each for each in self.targets if each[0] == target),
        )

    def joined(self, other: Report) -> Report:
        """This one and another one of the same time, about other targets."""
        return replace(
            self,
            rollbacks=(*self.rollbacks, *other.rollbacks),
            left=(*self.left, *other.left),
            only_people=(*self.only_people, *other.only_people),
            data_from={**self.data_from, **other.data_from},
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
            targets=(*self.targets, *other.targets),
        )

    def earlier(self) -> float | None:
        """The median of the seconds by which rollbacks would have come before those of people."""
        found = [each.earlier for each in self.agreed if each.earlier is not None]
        return median(found) if found else None

    def summary(self) -> str:
        """The comparison in one sentence."""
        would, agreed, earlier = len(self.rollbacks), len(self.agreed), self.earlier()
        later = "" if earlier is None else f", a median of {span(earlier)} later"
        releases = sum(count for _, _, count in self.targets)
        if not releases and not would and not self.only_people:
            return "No version changed in this time, so nothing could be rolled back."
        of = f"Of {releases} {'change' if releases == 1 else 'changes'} of version"
        told = [f"{of} {would or 'none'} would have been rolled back."]
        if agreed == would and agreed:
            told.append(f"People rolled {'it' if would == 1 else 'all of them'} back, too{later}.")
        elif agreed:
            told.append(f"People rolled back {agreed} of them, too{later}.")
        elif would:
            told.append("People did not roll it back." if would == 1 else "People rolled back none of them.")
        if self.only_people:
            others = len(self.only_people)
            more = "more " if would else ""
            told.append(f"{others} {more}{'was' if others == 1 else 'were'} rolled back by people only.")
        return " ".join(told)

    def shape(self) -> Json:
        """The report as JSON."""
        return {
            "since": wording.moment(self.start),
            "until": wording.moment(self.end),
            "assumed": list(ASSUMED),
            "notes": list(self.notes),
            "targets": [
                {
                    "name": name,
                    "mode": mode,
                    "version_changes": count,
                    "data_from": wording.moment(self.data_from[name]),
                }
                for name, mode, count in self.targets
            ],
            "score": {
                "agreed": len(self.agreed),
                "only_rearguard": len(self.rollbacks) - len(self.agreed),
                "only_people": len(self.only_people),
                "median_earlier_s": self.earlier(),
            },
            "rollbacks": [_rollback(each) for each in self.rollbacks],
            "left": [_record(each) for each in self.left],
            "only_people": [
                {
                    **_return(each.people),
                    "why": each.why,
                    "decision": None if each.record is None else each.record.decision.id,
                }
                for each in self.only_people
            ],
        }


def compare(world: World, replayed: Replayed) -> Report:
    """Put judgements of the past beside what really happened."""
    changed = {name: changes(presence, world.look_every) for name, presence in world.presence.items()}
    people = [each for name, found in changed.items() for each in returns(name, found)]
    begun = [each for each in replayed.records if each.rolls_back]
    rollbacks = [_beside(each, changed[each.decision.target], people) for each in begun]
    matched = [each.people for each in rollbacks if each.people is not None]
    left = tuple(each for each in replayed.records if not each.rolls_back)
    only = sorted((each for each in people if each not in matched), key=lambda each: each.at)
    data_from = {name: presence[0].start if presence else None for name, presence in world.presence.items()}
    return Report(
        start=world.start,
        end=world.end,
        rollbacks=tuple(rollbacks),
        left=left,
        only_people=tuple(_why_not(each, left, changed[each.target]) for each in only),
        data_from=data_from,
        notes=(*_late(world, data_from), *world.notes, *_unmatched(replayed.unmatched)),
        targets=tuple(
            (target.name, target.policy.mode.value, max(0, len(changed[target.name]) - 1)) for target in world.targets
        ),
    )


def obstacle(decision: Decision) -> Reason | None:
    """The first reason that stood in the way: one that is known not to hold comes before an unknown one."""
    blocking = [each for each in decision.reasons if each.blocks and each.code not in PERMISSIONS]
    known = [each for each in blocking if each.holds is False]
    return next(iter((*known, *blocking)), None)


def _beside(record: Record, changed: Sequence[Change], people: Sequence[Return]) -> Rollback:
    decision = record.decision
    following = next((each for each in changed if each.at > decision.decided_at), None)
    did = next(
        (
            each
            for each in people
            if following is not None
            and each.target == decision.target
            and each.at == following.at
            and each.from_version == decision.from_version
        ),
        None,
    )
    return Rollback(record, did, following)


def _why_not(people: Return, left: Sequence[Record], changed: Sequence[Change]) -> OnlyPeople:
    """Why a rollback that people did would not have been begun, by the last judgement while its version served."""
    since = max((each.at for each in changed if each.at < people.at), default=0.0)
    judged = [
        each
        for each in left
        if each.decision.target == people.target
        and each.decision.from_version == people.from_version
        and since <= each.decision.decided_at <= people.at
    ]
    if not judged:
        return OnlyPeople(people, None, f"No trigger alert of the target fired while {people.from_version} served.")
    last = max(judged, key=lambda each: each.last_at)
    reason = obstacle(last.decision)
    return OnlyPeople(people, last, "" if reason is None else reason.detail)


def _late(world: World, data_from: Mapping[str, float | None]) -> list[str]:
    known = [each for each in data_from.values() if each is not None]
    late = min(known, default=world.start) - world.start
    if late <= LATE:
        return []
    begins = wording.moment(min(known))
    return [f"Data begins only at {begins}, {span(late)} after the time asked for: is that Prometheus' retention?"]


def _unmatched(unmatched: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: {count} alert{'' if count == 1 else 's'} that may trigger matched no target; compare `match` with"
        " the alert's labels."
        for name, count in sorted(unmatched.items())
    ]


def _rollback(value: Rollback) -> Json:
    following = value.next_change
    return {
        **_record(value.record),
        "people": None if value.people is None else _return(value.people),
        "earlier_s": value.earlier,
        "helped": value.record.helped,
        "next_change": None
        if following is None
        else {"at": wording.moment(following.at), "version": following.version},
    }


def _record(value: Record) -> Json:
    reason = obstacle(value.decision)
    return {
        **json_views.decision(value.decision),
        "in_the_way": None if reason is None else reason.code.value,
        "last_at": wording.moment(value.last_at),
        "times": value.times,
    }


def _return(value: Return) -> Json:
    return {
        "target": value.target,
        "at": wording.moment(value.at),
        "from_version": value.from_version,
        "to_version": value.to_version,
    }
