"""The commands that read: status, history, show, decisions, audit, releases.

Here: the request that each sends, and which parts of the answer it prints.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, cast

from rearguard_controller.cli import terminal
from rearguard_controller.cli.connection import connected
from rearguard_controller.wording import moment, span

Json: TypeAlias = Mapping[str, object]  # a part of an answer
NOT_FOUND = 404
MOST_KNOWN = 12  # targets of which status tells in sentences
_SCORE_COUNTS = ("agreed", "only_we", "only_people")  # fields of a target's `score` in the API


def status(options: Namespace) -> int:
    """Print targets, what is wrong with them, and open and recent rollbacks."""
    client = connected(options)
    if options.watch:
        from rearguard_controller.cli.follow import follow  # noqa: PLC0415  # on request only

        return follow(client, options, _status)
    answer = client.status()
    if not terminal.as_asked(options, answer):
        _status(answer)
    return 0


def _status(answer: Json) -> None:
    columns = ("TARGET", "STATE", "MODE", "ARMED", "VERSION", "LAST KNOWN GOOD", "READY", "FIRING")
    rows = []
    for target in objects(answer, "targets"):
        names = sorted({str(alert["name"]) for alert in objects(target, "firing")})
        keys = ("name", "state", "mode", "armed", "serving_version", "last_known_good", "ready")
        row = {**target, "serving_version": _called(target.get("serving_version"), target.get("serving_description"))}
        rows.append([*(row.get(key) for key in keys), ", ".join(names)])
    terminal.table(columns, rows)
    for warning in cast("list[str]", answer.get("warnings", [])):
        terminal.line(warning)
    targets = objects(answer, "targets")
    for target in targets:
        _why_not(target)
        for said in cast("list[str]", target.get("logged") or []):
            terminal.paragraph(f"{target['name']}: {said}", hanging=2)
        _score(target)
    _known(targets)
    _heartbeat(cast("Json", answer["heartbeat"]))
    opened = objects(answer, "open")
    if opened:
        terminal.heading("Open rollbacks")
        rollbacks(opened)
    recent = objects(answer, "recent")
    if recent:
        terminal.heading("Recent rollbacks")
        rollbacks(recent)
    _more(answer)


def _known(targets: list[Json]) -> None:
    """Print what is known of each target; of many targets only of the first."""
    told = [(each["name"], " ".join(cast("list[str]", each["known"]))) for each in targets if each.get("known")]
    if told:
        terminal.line()
    for name, sentences in told[:MOST_KNOWN]:
        terminal.paragraph(f"{name}: {sentences}", hanging=2)
    if len(told) > MOST_KNOWN:
        terminal.line(f"... and {len(told) - MOST_KNOWN} more targets: --json has them all.")


def history(options: Namespace) -> int:
    """Print rollbacks, newest first."""
    answer = connected(options).history(
        target=options.target, outcome=options.outcome, limit=options.limit, before=options.before
    )
    if terminal.as_asked(options, answer):
        return 0
    rollbacks(objects(answer, "rollbacks"))
    _more(answer)
    return 0


def decisions(options: Namespace) -> int:
    """Print decisions, newest first."""
    answer = connected(options).decisions(
        target=options.target,
        alert=options.alert,
        verdict=options.verdict,
        limit=options.limit,
        before=options.before,
    )
    if terminal.as_asked(options, answer):
        return 0
    columns = ("DECISION", "DECIDED", "TARGET", "ALERT", "VERDICT", "FROM", "TO", "IN THE WAY")
    rows = [
        [
            decision["id"],
            terminal.when(decision["decided_at"]),
            decision["target"],
            alert_name(decision),
            verdict(decision),
            decision["from_version"],
            decision["to_version"],
            ", ".join(in_the_way(decision)),
        ]
        for decision in objects(answer, "decisions")
    ]
    terminal.table(columns, rows)
    _more(answer)
    return 0


def audit(options: Namespace) -> int:
    """Print what people did, newest first."""
    answer = connected(options).audit(subject=options.subject, limit=options.limit, before=options.before)
    if terminal.as_asked(options, answer):
        return 0
    rows = [
        [terminal.when(each["at"]), *(each[key] for key in ("operator", "action", "subject", "reason"))]
        for each in objects(answer, "actions")
    ]
    terminal.table(("AT", "OPERATOR", "ACTION", "SUBJECT", "REASON"), rows)
    _more(answer)
    return 0


def releases(options: Namespace) -> int:
    """Print what the controller remembers of a target's versions."""
    answer = connected(options).releases(options.target, limit=options.limit)
    if terminal.as_asked(options, answer):
        return 0
    columns = ("VERSION", "SERVES", "FIRST SEEN", "LAST SEEN", "KNOWN GOOD SINCE", "MARK", "BARRIER")
    rows = [
        [
            _called(each["version"], each.get("description")),
            "yes" if each["serving"] else "",
            terminal.when(each["first_seen"]),
            terminal.when(each["last_seen"]),
            terminal.when(each["known_good_at"]),
            "bad" if each["bad_at"] else "suspect" if each["suspect_at"] else "",
            "yes" if each["barrier"] else "",
        ]
        for each in objects(answer, "releases")
    ]
    terminal.table(columns, rows)
    return 0


def _called(version: object, description: object) -> object:
    """A version with what people know it by, if that is more."""
    return f"{version} ({description})" if version and description else version


def show(options: Namespace) -> int:
    """Print one rollback with its steps."""
    answer = connected(options).rollback(options.id)
    if terminal.as_asked(options, answer):
        return 0
    one_rollback(answer)
    for step in objects(answer, "steps"):
        if step.get("output") and (options.full or step["state"] in ("failed", "interrupted")):
            terminal.heading(f"Output of {step['name']}")
            terminal.line(str(step["output"]).rstrip("\n"))
    terminal.line(f"\nWhy: rearguard explain {answer['id']}")
    return 0


def one_rollback(rollback: Json) -> None:
    """Print a rollback: what, when, why, and its steps."""
    terminal.facts(
        {
            "rollback": rollback["id"],
            "target": rollback["target"],
            "versions": f"{rollback['from_version']} -> {rollback['to_version']}",
            "phase": rollback["phase"],
            "waits for": _waits_for(rollback),
            "outcome": rollback["outcome"],
            "figures settle": _after_roll_back(rollback, "settle_s"),
            "alert may fire until": _after_roll_back(rollback, "clears_s"),
            "detail": rollback["detail"],
            "trigger": rollback["trigger"],
            "reason": rollback["reason"],
            "started": terminal.when(rollback["started_at"]),
            "closed": terminal.when(rollback["closed_at"]),
            "took": terminal.lasted(rollback["started_at"], rollback["closed_at"]),
            "together": _together(rollback),
            "decision": rollback["decision_id"],
        }
    )
    terminal.line()
    steps(objects(rollback, "steps"))


def _together(rollback: Json) -> str | None:
    """The targets that go back together with this one, in their order; None: it goes back by itself."""
    tie = cast("Json | None", rollback.get("together"))
    if tie is None:
        return None
    pairs = zip(cast("list[str]", tie["targets"]), cast("list[str]", tie["rollbacks"]), strict=True)
    each = (f"{target} ({number})" for target, number in pairs)
    how = "all at once" if tie["order"] == "as_one" else "one after another"
    return f"{', '.join(each)}; {how}; {'all are changed' if tie['done'] else 'not all are changed'}"


def _after_roll_back(rollback: Json, field: str) -> str | None:
    """The moment at which the longest `field` (seconds) of the conditions has passed since the version was put back.

    None before that step is done, and once the rollback is closed.
    """
    step = next((each for each in objects(rollback, "steps") if each["kind"] == "roll_back"), None)
    most = max((cast("float", each.get(field) or 0) for each in objects(rollback, "conditions")), default=0.0)
    ended = None if step is None or step["state"] != "done" else terminal.moment_of(step["ended_at"])
    return None if ended is None or rollback["outcome"] or not most else terminal.when(moment(ended + most))


def _waits_for(rollback: Json) -> str | None:
    """What a rollback is waiting for, and until when; None when it is not waiting."""
    if rollback["phase"] != "waiting":
        return None
    if rollback["wait_until"] is None:
        return "a fresh judgement"
    what = "approval" if rollback["needs_approval"] else "a veto"
    return f"{what} until {terminal.when(rollback['wait_until'])}"


def steps(given: list[Json]) -> None:
    """Print the steps of a rollback or of a plan."""
    rows = [
        [
            step["seq"],
            step["name"],
            step["kind"],
            step["state"],
            step["attempt"],
            terminal.lasted(step["started_at"], step["ended_at"]),
            step["detail"] or _action(step["action"]),
        ]
        for step in given
    ]
    terminal.table(("#", "STEP", "KIND", "STATE", "TRIES", "TOOK", "DETAIL"), rows)


def rollbacks(given: list[Json]) -> None:
    """Print a list of rollbacks."""
    rows = [
        [
            rollback["id"],
            terminal.when(rollback["started_at"]),
            rollback["target"],
            rollback["from_version"],
            rollback["to_version"],
            rollback["trigger"],
            rollback["outcome"] or rollback["phase"],
            terminal.lasted(rollback["started_at"], rollback["closed_at"]),
        ]
        for rollback in given
    ]
    terminal.table(("ROLLBACK", "STARTED", "TARGET", "FROM", "TO", "TRIGGER", "OUTCOME", "TOOK"), rows)


def objects(value: Mapping[str, object], name: str) -> list[Json]:
    """The list of objects that an answer holds under this name; empty without one."""
    return cast("list[Json]", value.get(name) or [])


def _score(target: Json) -> None:
    """Print how often the target would have been rolled back, and how often people did so; nothing if neither."""
    told = score_told(str(target["name"]), cast("Mapping[str, object]", target.get("score") or {}))
    if told:
        terminal.line(told)


def score_told(name: str, score: Mapping[str, object]) -> str:
    """The running score in one sentence; empty if there is nothing to compare.

    People who agree were later than Rearguard: who was earlier counts as having acted alone.
    """
    agreed, only_we, only_people = (int(cast("int", score.get(each) or 0)) for each in _SCORE_COUNTS)
    would = agreed + only_we + bool(score.get("open"))
    if not would:
        return f"{name} was rolled back {_times(only_people)} by people alone" if only_people else ""
    lead = cast("float | None", score.get("lead_s"))
    later = "" if lead is None else f", {span(lead)} later on average"
    parts = [
        f"people did the same {_times(agreed)}{later}" if agreed else "",
        f"nobody did {_times(only_we)}" if only_we else "",
        "one is open" if score.get("open") else "",
        f"people alone did so {_times(only_people)}" if only_people else "",
    ]
    return f"{name} would have been rolled back {_times(would)}: {'; '.join(filter(None, parts))}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _why_not(target: Json) -> None:
    if not target.get("armed"):
        until = f" until {terminal.when(target['disarmed_until'])}" if target.get("disarmed_until") else ""
        terminal.line(f"{target['name']} is disarmed{until}: {target.get('armed_reason') or 'no reason given'}")
    if target.get("given_up"):
        name, version = target["name"], target["serving_version"]
        terminal.line(
            f"{name} is left on {version}: stops of the controller interrupted every automatic rollback away from it,"
            f" and none is tried any more; run `rearguard rollback {name} --reason ...`, or, once the controller"
            f" keeps running, `rearguard arm {name} --reason ...`"
        )
    if target.get("serving_is_bad") and not target.get("open_rollback"):
        name, version = target["name"], target["serving_version"]
        terminal.line(
            f"{name} serves {version}, which was rolled away from: deploy another version, or run"
            f" `rearguard release {name} {version} --good` if it is good after all"
        )
    for (unknown, detail), names in _alike(objects(target, "not_ready")).items():
        ready = "is not known to be ready" if unknown else "is not ready"
        terminal.line(f"{target['name']} {ready} ({', '.join(names)}): {detail}")


def _alike(checks: Iterable[Json]) -> dict[tuple[bool, str], list[str]]:
    """The names of checks, together where they have the same sentence; first those that fail, which are the cause."""
    found: dict[tuple[bool, str], list[str]] = {}
    every = list(checks)
    causes = [str(check["detail"]) for check in every if check["holds"] is False]
    for check in sorted(every, key=lambda check: check["holds"] is None):
        detail = str(check["detail"])
        for cause in causes:  # what a line above says is not said again
            detail = detail if cause == detail else detail.replace(f" {cause}", "")
        found.setdefault((check["holds"] is None, detail), []).append(str(check["name"]))
    return found


def _heartbeat(heartbeat: Json) -> None:
    """Print what to do when the heartbeat is late or never arrived."""
    do = "route it here (deploy/alertmanager/alertmanager.yml), or see the runbook RearguardHeartbeatLost"
    if heartbeat["state"] == "never":
        terminal.line(f"No RearguardWatchdog ever arrived from Alertmanager: {do}")
    elif heartbeat["state"] == "late":
        age = round(cast("float", heartbeat["age_s"]))
        terminal.line(f"The last RearguardWatchdog arrived {age} s ago: {do}")


def verdict(decision: Json) -> str:
    """The verdict; with the verdict that mode, arming and environment held back, if it differs."""
    said, would = decision["verdict"], decision["would"]
    return str(said) if said == would else f"{said} (would {would})"


def in_the_way(decision: Json) -> list[str]:
    """The codes of the reasons that prevented a rollback."""
    return [str(reason["code"]) for reason in objects(decision, "reasons") if reason["blocks"]]


def alert_name(decision: Json) -> str | None:
    """The name of the alert that was judged; None when a person asked for the rollback."""
    alert = cast("Json | None", decision.get("alert"))
    return None if alert is None else str(alert["name"])


def _action(action: object) -> str:
    match action:
        case {"command": list(words)}:
            return " ".join(str(word) for word in words)
        case {"http": {"method": method, "url": url}}:
            return f"{method} {url}"
        case {"health": {"url": url}}:
            return f"GET {url}"
    return ""


def _more(answer: Json) -> None:
    """Print which records could not be shown, and how to get the next page."""
    unreadable = cast("list[str]", answer.get("unreadable") or [])
    if unreadable:
        terminal.line(f"\nDamaged, so not shown (the controller's log says why): {', '.join(unreadable)}")
    if answer.get("next"):
        terminal.line(f"\nMore: --before {answer['next']}")


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {
    "status": status,
    "history": history,
    "show": show,
    "decisions": decisions,
    "audit": audit,
    "releases": releases,
}
