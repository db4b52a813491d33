"""Policies: what they say, and which one a target has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rearguard_controller.config.keys.policies import APPROVAL, BUDGET, POLICY
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.reading import SECOND, Block, Place, meant
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import DRILL_LABEL, Budget, Caution, Labels, Mode, Policy, Trust
from rearguard_controller.model.labels import LABEL_NAME

MOST_ALONE = 1  # targets that need no tie


def policies(top: Block, *, act_outside: bool) -> dict[str, Policy]:
    """The policies by name; without any in the file, one with the default values."""
    place = top.get("policies")
    if place is None:
        return {"default": _policy("default", Block(top.place, {}), act_outside=act_outside)}
    found, mistakes = {}, Mistakes()
    for name, entry in place.entries("a mapping of policies").items():
        read = partial(_read, name, entry, act_outside=act_outside)
        found[name] = mistakes.of(read, _policy(name, Block(entry, {}), act_outside=act_outside))
    if not found:
        raise place.error("this is empty", "name a policy, or leave the key out")
    mistakes.tell()
    return found


def stand_ins(top: Block) -> dict[str, Policy]:
    """Policies of the names that the file has, or may have, with default values: for reading what names them."""
    place = top.get("policies")
    nothing = Block(top.place, {})
    try:
        names = [] if place is None else list(place.entries("a mapping of policies"))
    except ConfigError:
        names = []
    return {name: _policy(name, nothing, act_outside=False) for name in names or ["default"]}


def _read(name: str, entry: Place, *, act_outside: bool) -> Policy:
    return _policy(name, entry.block(POLICY), act_outside=act_outside)


def _policy(name: str, given: Block, *, act_outside: bool) -> Policy:
    return Policy(
        name=name,
        mode=_mode(given.get("mode")),
        alerts=labels(given.entries["alerts"]) if "alerts" in given.entries else {"action": "rollback"},
        watch_window=given.duration("watch_window", 7200.0, least=SECOND),
        known_good_after=given.duration("known_good_after", 900.0),
        trust=_trust(given.get("trust")),
        caution=_caution(given.get("caution")),
        cooldown=given.duration("cooldown", 300.0),
        budget=_budget(given.get("budget")),
        act_outside_production=given.boolean("act_outside_production", default=act_outside),
        approval_within=_approval(given.get("approval")),
        veto=given.duration("veto", 0.0),
        together=_together(given),
        as_one=_as_one(given),
    )


def _mode(place: Place | None) -> Mode:
    return Mode.OBSERVE if place is None else Mode(place.word(("observe", "ask", "act")))


def _trust(place: Place | None) -> Trust:
    return Trust.FIGURES if place is None else Trust(place.word(tuple(each.value for each in Trust)))


def _caution(place: Place | None) -> Caution:
    return Caution.STANDARD if place is None else Caution(place.word(tuple(each.value for each in Caution)))


def _together(given: Block) -> tuple[str, ...]:
    place = given.get("together")
    if place is None:
        return ()
    names = place.texts("a list of targets' names")
    if len(names) < MOST_ALONE + 1:
        raise place.error("this ties nothing", "name at least two targets, or leave the key out")
    return names


def _as_one(given: Block) -> bool:
    place = given.get("together_order")
    if place is None:
        return True
    if "together" not in given.entries:
        raise place.error("there is nothing to be ordered", "name the targets by `together: [...]`")
    return place.word(("as_one", "stated")) == "as_one"


def _approval(place: Place | None) -> float:
    """Seconds within which a person may approve."""
    return 1800.0 if place is None else place.block(APPROVAL).duration("within", 1800.0, least=SECOND)


def _budget(place: Place | None) -> Budget:
    if place is None:
        return Budget(3, 86_400.0)
    block = place.block(BUDGET)
    rollbacks = block.get("rollbacks")
    return Budget(
        rollbacks=3 if rollbacks is None else rollbacks.count(),
        per=block.duration("per", 86_400.0, least=SECOND),
    )


def labels(place: Place) -> Labels:
    """At least one label, so that a selector never selects everything."""
    pairs = place.pairs("a mapping of labels")
    if not pairs:
        raise place.error("this is empty", "name at least one label")
    for name in pairs:
        if not LABEL_NAME.fullmatch(name):
            raise place.error(f"{name[:60]!r} is no label name", "use letters, digits and '_', first no digit")
        if name == DRILL_LABEL:
            raise place.error(f"{name!r} marks drills, whose alerts are never judged", "use other labels")
    return pairs


def policy_of(block: Block, known: Mapping[str, Policy]) -> Policy:
    """The policy that a target names; if it names none, the only one there is."""
    place = block.get("policy")
    if place is None:
        if len(known) > 1:
            raise block.place.error("the key 'policy' is missing", f"name one of: {', '.join(known)}")
        return next(iter(known.values()))
    name = place.line("a policy's name")
    if name not in known:
        raise place.error(f"there is no policy {name!r}", meant(name, tuple(known)))
    return known[name]
