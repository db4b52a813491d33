"""The command explain: shows why a rollback was begun, or why nothing was done.

Here: finding the decision that a name means, and printing it: verdict, reasons, what would have to change, evidence.
The sentences come from the controller.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import cast

from rearguard_controller.cli import terminal
from rearguard_controller.cli.connection import connected
from rearguard_controller.cli.show import NOT_FOUND, Json, alert_name, objects, verdict
from rearguard_controller.client import Client, RemoteError, segment
from rearguard_controller.errors import InvalidInputError, NotFoundError
from rearguard_controller.wording import some

LOOKED_THROUGH = 50  # newest decisions about an alert that are searched for other targets
WRONG_USE = 2  # exit code
_MARKS = {True: "yes", False: "no", None: "unknown"}


def explain(options: Namespace) -> int:
    """Print one decision in full: by its id, by its rollback's id, or the newest about a target or an alert.

    Returns:
        0, or 2 when nothing was named.

    Raises:
        NotFoundError: no decision fits.
        InvalidInputError: the name is a target's and an alert's.
    """
    if options.id is None and options.alert is None and options.target is None:
        sys.stderr.write("rearguard: name what is to be explained: rearguard explain NAME\n")
        return WRONG_USE
    client = connected(options)
    try:
        found, others = _found(client, options)
    except NotFoundError:
        target = None if options.alert else _target(client, options.target or options.id)
        if target is None or (options.target and options.id):
            raise
        judged = client.judgement(str(target["name"]))
        if not terminal.as_asked(options, {**target, "as_if": judged}):
            _undecided(target, judged)
        return 0
    if options.open:
        return _open(client, found)
    if terminal.as_asked(options, found):
        return 0
    one_decision(found)
    if others:
        terminal.line()
        terminal.paragraph(f"There are decisions about this alert for {some(others)}, too: see --target.")
    return 0


def _target(client: Client, name: str) -> Json | None:
    """How the target of this name stands; None if there is none."""
    return next((each for each in objects(client.status(), "targets") if each["name"] == name), None)


def _undecided(target: Json, judged: Json) -> None:
    """Print what is known of a target before any alert of it was judged, and what would be decided if one fired."""
    terminal.line(f"No alert of {target['name']} was judged so far. What is known of it now:")
    for each in cast("list[str]", target.get("known") or []):
        terminal.paragraph(each, indent=2, hanging=2)
    lacking = objects(target, "not_ready")
    if lacking:
        terminal.heading("Not ready")
        rows = [[each["name"], _MARKS[cast("bool | None", each["holds"])], each["detail"]] for each in lacking]
        terminal.table(("CHECK", "HOLDS", "BECAUSE"), rows, wrapped=True)
    terminal.heading("If its first trigger alert fired now")
    terminal.paragraph(str(judged["told"]))
    decision = cast("Json", judged["decision"])
    terminal.paragraph(f"Verdict: {verdict(decision)}. {decision['summary']}")
    terminal.line()
    _reasons(decision)
    _remedies(decision)


def _open(client: Client, decision: Json) -> int:
    """Open the page of a decision in a browser; where there is none, its address is printed."""
    import webbrowser  # noqa: PLC0415  # costs more than the rest of the command

    url = client.address(f"/decisions/{segment(str(decision['id']))}")
    try:
        opened = webbrowser.open(url)
    except webbrowser.Error:
        opened = False
    terminal.line(f"Opened {url}" if opened else url)
    return 0


def one_decision(decision: Json) -> None:
    """Print a decision: the verdict, every reason, what would have to change, and the evidence."""
    terminal.facts(
        {
            "decision": decision["id"],
            "target": decision["target"],
            "alert": alert_name(decision),
            "decided": terminal.when(decision["decided_at"]),
            "verdict": verdict(decision),
            "versions": f"{decision['from_version'] or 'unknown'} -> {decision['to_version'] or 'none'}",
            "asked by a person": decision["note"],
            "rollback": decision["rollback_id"],
        }
    )
    terminal.line()
    terminal.paragraph(str(decision["summary"]))
    terminal.line()
    _reasons(decision)
    _remedies(decision)
    _evidence(decision)


def _reasons(decision: Json) -> None:
    by_hand = decision["trigger"] == "manual"
    reasons = objects(decision, "reasons")
    if by_hand:  # most reasons do not apply to a request by a person
        reasons = [each for each in reasons if each["holds"] is not None or each["blocks"]]
    rows = [[each["code"], _MARKS[cast("bool | None", each["holds"])], each["detail"]] for each in reasons]
    terminal.table(("REASON", "HOLDS", "BECAUSE"), rows, wrapped=True)


def _remedies(decision: Json) -> None:
    rows = [[each["code"], each["remedy"]] for each in objects(decision, "reasons") if each.get("remedy")]
    if rows:
        terminal.heading("What would have to change")
        terminal.table(("REASON", "CHANGE"), rows, wrapped=True)


def _evidence(decision: Json) -> None:
    """Print each query with its answer. A PromQL query gives the same answer again at the time shown."""
    found = objects(decision, "evidence")
    if found:
        terminal.heading("Evidence")
    for each in found:
        when = f"at {each['at']}"
        if each["start"] is not None:
            when = f"from {each['start']} to {each['at']} every {cast('float', each['step_s']):g}s"
        serves = ", ".join(str(code) for code in cast("list[str]", each["serves"]))
        terminal.paragraph(f"{each['source']} {when}, for {serves}", hanging=2)
        terminal.paragraph(str(each["question"]), indent=2)
        values = [_value(value) for value in objects(each, "values")]
        told = [str(each["answer"]), *(value for value in values if value != each["answer"])]
        terminal.paragraph(f"= {'; '.join(told)}", indent=2, hanging=2)


def _value(value: Json) -> str:
    labels = cast("Mapping[str, str]", value["labels"])
    shown = "{" + ", ".join(f'{name}="{text}"' for name, text in labels.items()) + "} " if labels else ""
    return f"{shown}{value['value']}"


def _found(client: Client, options: Namespace) -> tuple[Json, list[str]]:
    """The decision that the options mean, and the other targets that have decisions about the same alert."""
    name = options.alert or options.id
    if options.alert is None and options.target is None:
        by_id = _by_id(client, name)
        if by_id is not None:
            return by_id, []
        of_target = _newest(client, 1, target=name)
        if of_target and _newest(client, 1, alert=name):
            raise InvalidInputError(
                f"{name} is the name of a target and of an alert.",
                hint=f"Say which: --target {name} for the target's newest decision, or --alert {name}.",
            )
        if of_target:
            return of_target[0], []
    if name is None:
        found = _newest(client, 1, target=options.target)
    else:
        found = _newest(client, LOOKED_THROUGH, alert=name, target=options.target)
    if not found:
        raise NotFoundError(_nothing(name, options.target), hint="List them with: rearguard decisions")
    return found[0], sorted({str(each["target"]) for each in found[1:]} - {str(found[0]["target"]), ""})


def _by_id(client: Client, name: str) -> Json | None:
    try:
        return client.decision(name)
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
    try:
        rollback = client.rollback(name)
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
        return None
    if rollback["decision"] is None:
        raise NotFoundError(
            f"The decision {rollback['decision_id']} of {name} cannot be shown: its record is damaged or gone.",
            hint=f"What was done is still there: rearguard show {name}",
        )
    return rollback["decision"]


def _newest(client: Client, limit: int, *, target: str | None = None, alert: str | None = None) -> list[Json]:
    """The newest decisions that can be read; those that are damaged are named on standard error."""
    answer = client.decisions(target=target, alert=alert, limit=limit)
    damaged = answer.get("unreadable")
    if damaged:
        sys.stderr.write(f"rearguard: damaged, so not shown: {', '.join(damaged)}\n")
        if limit < LOOKED_THROUGH:
            answer = client.decisions(target=target, alert=alert, limit=LOOKED_THROUGH)
    return objects(answer, "decisions")


def _nothing(name: str | None, target: str | None) -> str:
    if name is None:
        return f"No decision of a target {target} is known."
    if target is not None:
        return f"No decision of target {target} about an alert {name} is known."
    return f"No rollback, decision, decided target or alert is called {name}."
