"""The commands that change something: rollback, approve, veto, abort, close, arm, disarm, release, reload.

Here: the request that each sends, and the lines that show the result. The controller decides what is allowed.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from rearguard_controller.cli import terminal
from rearguard_controller.cli.connection import connected
from rearguard_controller.cli.explain import one_decision
from rearguard_controller.cli.show import Json, objects, one_rollback, steps
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.times import durations
from rearguard_controller.times.moments import seconds_of
from rearguard_controller.wording import moment


def rollback(options: Namespace) -> int:
    """Put a trusted version back now.

    Returns:
        0 when the rollback has started; 1 when a dry run says that it would not, or that a step could not be made.
    """
    client = connected(options)
    ask = client.dry_run if options.dry_run else client.trigger
    answer: Json = ask(options.target, options.reason, to_version=options.to, force=options.force)
    if terminal.as_asked(options, answer):
        pass
    elif options.dry_run:
        one_decision(cast("Json", answer["decision"]))
        terminal.heading("Plan (nothing was changed)")
        steps(objects(answer, "plan"))
    else:
        made = cast("Json", answer["rollback"])
        terminal.line(f"Rolling {made['target']} back from {made['from_version']} to {made['to_version']}.")
        terminal.line(f"Follow it: rearguard show {answer['rollback_id']}")
    if options.dry_run:
        possible = not any(step.get("detail") for step in objects(answer, "plan"))
        return 0 if possible and cast("Json", answer["decision"])["verdict"] == "roll_back" else 1
    return 0


def approve(options: Namespace) -> int:
    """Let a waiting rollback begin."""
    return _shown(options, connected(options).approve(options.id, options.reason))


def veto(options: Namespace) -> int:
    """Close a waiting rollback; nothing is begun."""
    return _shown(options, connected(options).veto(options.id, options.reason))


def abort(options: Namespace) -> int:
    """End an open rollback early."""
    return _shown(options, connected(options).abort(options.id, options.reason))


def close(options: Namespace) -> int:
    """Close a rollback that cannot finish, as it stands."""
    return _shown(options, connected(options).close(options.id, options.reason))


def arm(options: Namespace) -> int:
    """Allow automatic rollbacks of a target."""
    answer = connected(options).arm(options.target, options.reason)
    return _armings(options, answer, [answer])


def disarm(options: Namespace) -> int:
    """Forbid automatic rollbacks of a target, or of all."""
    until = _moment(options.until)
    client = connected(options)
    if options.all:
        all_of_them = client.disarm_all(options.reason, until=until)
        return _armings(options, all_of_them, objects(all_of_them, "targets"))
    answer = client.disarm(options.target, options.reason, until=until)
    return _armings(options, answer, [answer])


def release(options: Namespace) -> int:
    """Tell the controller about a release."""
    answer = connected(options).announce(
        options.target, options.version, phase=options.phase, barrier=options.barrier, good=options.good
    )
    if terminal.as_asked(options, answer):
        return 0
    terminal.facts(
        {
            "target": answer["target"],
            "version": answer["version"],
            "known good since": terminal.when(answer["known_good_at"]),
            "bad since": terminal.when(answer["bad_at"]),
            "suspect since": terminal.when(answer["suspect_at"]),
            "barrier": answer["barrier"],
        }
    )
    return 0


def reload(options: Namespace) -> int:
    """Let the controller read its configuration again."""
    answer = connected(options).reload()
    if not terminal.as_asked(options, answer):
        terminal.line("The configuration was read again, and holds from now on.")
    return 0


def _shown(options: Namespace, answer: Json) -> int:
    if not terminal.as_asked(options, answer):
        one_rollback(answer)
    return 0


def _armings(options: Namespace, answer: Json, targets: list[Json]) -> int:
    if terminal.as_asked(options, answer):
        return 0
    for target in targets:
        until = f" until {terminal.when(target['disarmed_until'])}" if target["disarmed_until"] else ""
        terminal.line(f"{target['name']} is {'armed' if target['armed'] else 'disarmed'}{until}.")
    return 0


def _moment(text: str | None) -> str | None:
    """Read a duration from now, or a time; the result is RFC 3339, or None for None."""
    if text is None:
        return None
    try:
        return (datetime.now(UTC) + timedelta(seconds=durations.parse(text))).isoformat()
    except InvalidInputError:
        pass
    try:
        at = datetime.fromisoformat(text)
        return moment(seconds_of((at if at.tzinfo else at.astimezone()).isoformat()))
    except (ValueError, OverflowError):  # also beyond what every zone can show
        raise InvalidInputError(
            f"{text!r} is neither a duration nor a time.", hint="Write 2h, or 2026-01-31T18:00:00Z.", field="until"
        ) from None


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {
    "rollback": rollback,
    "approve": approve,
    "veto": veto,
    "abort": abort,
    "close": close,
    "arm": arm,
    "disarm": disarm,
    "release": release,
    "reload": reload,
}
