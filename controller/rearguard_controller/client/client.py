"""Every question that the controller answers, and every command that it takes, as a method with types.

Here: paths, parameters and the type of each answer. Never here: how a request is sent (`connection`), and deciding
anything: the controller decides what is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from rearguard_controller.client.connection import PATIENCE, ClientTls, Connection, segment

if TYPE_CHECKING:  # for types only; the command line does without the model, which costs more than an answer
    from rearguard_controller import json_views

BASE = "/api/monitoring"
DRILL_WITHIN = 180.0  # seconds; the alert of a drill alone may take a minute


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: its id (for `after`), its kind, and what is known of it."""

    id: str
    kind: str
    data: dict[str, object]


class Client:
    """One controller. Every method raises `RemoteError` when it cannot be asked, or refuses."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        tls: ClientTls | None = None,
        *,
        context: str = "",
        patience: float = PATIENCE,
    ) -> None:
        """Ask the controller at `url` with this token; `patience` is how long an answer may take (seconds).

        `context` is the name by which the command line knows it, for what errors say.

        Raises:
            RearguardError: `url` is not an HTTP address.
        """
        self._connection = Connection(url, token, tls, context=context, patience=patience)

    def address(self, path: str) -> str:
        """The address of a page of this controller, without a password in it."""
        return self._connection.address(path)

    def status(self) -> json_views.Status:
        """How things stand, and what happened last."""
        return cast("json_views.Status", self._connection.get(f"{BASE}/rollback/status"))

    def dashboard(self) -> json_views.Dashboard:
        """Every target: health, version, firing alerts, current figures."""
        return cast("json_views.Dashboard", self._connection.get(f"{BASE}/dashboard"))

    def history(
        self,
        *,
        target: str | None = None,
        outcome: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> json_views.RollbackPage:
        """Rollbacks, newest first; `before` is the `next` of the page before."""
        asked = {"target": target, "outcome": outcome, "limit": limit, "before": before}
        return cast("json_views.RollbackPage", self._connection.get(f"{BASE}/rollback/history", asked))

    def rollback(self, id: str) -> json_views.RollbackInFull:  # noqa: A002  # the API's name
        """One rollback: every step with its output, its decision, and what people did."""
        return cast("json_views.RollbackInFull", self._connection.get(f"{BASE}/rollback/{segment(id)}"))

    def decisions(
        self,
        *,
        target: str | None = None,
        alert: str | None = None,
        verdict: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> json_views.DecisionPage:
        """Decisions, newest first: why, and why not; `before` is the `next` of the page before."""
        asked = {"target": target, "alert": alert, "verdict": verdict, "limit": limit, "before": before}
        return cast("json_views.DecisionPage", self._connection.get(f"{BASE}/decisions", asked))

    def decision(self, id: str) -> json_views.Decision:  # noqa: A002  # the API's name
        """One decision with all its reasons."""
        return cast("json_views.Decision", self._connection.get(f"{BASE}/decisions/{segment(id)}"))

    def audit(
        self, *, subject: str | None = None, limit: int | None = None, before: str | None = None
    ) -> json_views.ActionPage:
        """What people did, newest first; `subject` is the name of a target or the id of a rollback."""
        asked = {"subject": subject, "limit": limit, "before": before}
        return cast("json_views.ActionPage", self._connection.get(f"{BASE}/audit", asked))

    def releases(self, target: str, *, version: str | None = None, limit: int | None = None) -> json_views.Releases:
        """What is remembered of a target's versions, newest first, and how well the serving one does."""
        path = f"{BASE}/targets/{segment(target)}/releases"
        return cast("json_views.Releases", self._connection.get(path, {"version": version, "limit": limit}))

    def drills(self, target: str, *, limit: int | None = None, before: str | None = None) -> json_views.DrillPage:
        """Drills of a target, newest first."""
        path = f"{BASE}/targets/{segment(target)}/drills"
        return cast("json_views.DrillPage", self._connection.get(path, {"limit": limit, "before": before}))

    def judgement(self, target: str) -> json_views.AsIf:
        """What would be decided now if the target's first trigger alert fired; nothing is recorded or done."""
        return cast("json_views.AsIf", self._connection.get(f"{BASE}/targets/{segment(target)}/judgement"))

    def events(self, *, after: str | None = None) -> Iterator[Event]:
        """What happens from now on, or after the event with this id, as it comes.

        Ends when the controller ends the connection: ask again with the id of the last event.
        """
        name, kind, data = after or "", "", ""
        for line in self._connection.stream(f"{BASE}/events", {"Last-Event-ID": after} if after else {}):
            field, _, value = line.decode().partition(": ")
            if field == "id":
                name = value
            elif field == "event":
                kind = value
            elif field == "data":
                data = value
            elif not line and kind:
                yield Event(name, kind, json.loads(data or "{}"))
                kind, data = "", ""

    def dry_run(
        self, target: str, reason: str, *, to_version: str | None = None, force: bool = False
    ) -> json_views.DryRun:
        """What a rollback would do, and whether it would be begun; nothing is changed."""
        return cast("json_views.DryRun", self._trigger(target, reason, to_version, force=force, dry_run=True))

    def trigger(
        self, target: str, reason: str, *, to_version: str | None = None, force: bool = False
    ) -> json_views.Triggered:
        """Put a trusted version back now: `to_version`, or the last known good one.

        A lost answer is asked for again, under the same idempotency key: the controller acts once. `force` allows a
        version that is bad, behind a barrier or unproven.

        Raises:
            UnknownResultError: no answer came; the rollback may or may not have begun.
        """
        return cast("json_views.Triggered", self._trigger(target, reason, to_version, force=force, dry_run=False))

    def approve(self, id: str, reason: str) -> json_views.Rollback:  # noqa: A002  # the API's name
        """Let a rollback that waits be begun, if a fresh judgement finds it right."""
        return self._say(id, "approve", reason)

    def veto(self, id: str, reason: str) -> json_views.Rollback:  # noqa: A002  # the API's name
        """Close a rollback that waits; nothing is begun."""
        return self._say(id, "veto", reason)

    def abort(self, id: str, reason: str) -> json_views.Rollback:  # noqa: A002  # the API's name
        """End a rollback early; what was begun is undone."""
        return self._say(id, "abort", reason)

    def close(self, id: str, reason: str) -> json_views.Rollback:  # noqa: A002  # the API's name
        """Close a rollback that cannot finish, as it stands."""
        return self._say(id, "close", reason)

    def arm(self, target: str, reason: str) -> json_views.Arming:
        """Allow automatic rollbacks of a target."""
        path = f"{BASE}/targets/{segment(target)}/arm"
        return cast("json_views.Arming", self._connection.post(path, {"reason": reason}))

    def disarm(self, target: str, reason: str, *, until: str | None = None) -> json_views.Arming:
        """Forbid automatic rollbacks of a target, for good or until a time (RFC 3339)."""
        path = f"{BASE}/targets/{segment(target)}/disarm"
        return cast("json_views.Arming", self._connection.post(path, {"reason": reason, "until": until}))

    def disarm_all(self, reason: str, *, until: str | None = None) -> json_views.ArmingOfAll:
        """Forbid automatic rollbacks of every target, for good or until a time (RFC 3339)."""
        return cast(
            "json_views.ArmingOfAll", self._connection.post(f"{BASE}/disarm", {"reason": reason, "until": until})
        )

    def announce(
        self,
        target: str,
        version: str,
        *,
        phase: str | None = None,
        barrier: bool | None = None,
        good: bool | None = None,
    ) -> json_views.Release:
        """Tell what CI or a person knows of a version.

        Args:
            target: whose version it is.
            version: as the target's `current` command prints it.
            phase: `started` or `finished`: a deployment of it.
            barrier: whether no automatic rollback goes back past it.
            good: whether it is trusted from now on.
        """
        body = {"version": version, "phase": phase, "barrier": barrier, "good": good}
        path = f"{BASE}/targets/{segment(target)}/releases"
        return cast("json_views.Release", self._connection.post(path, body))

    def drill(self, target: str, reason: str | None = None) -> json_views.Drill:
        """Walk the whole way back without touching what serves; takes up to a minute and a half."""
        path = f"{BASE}/targets/{segment(target)}/drill"
        return cast("json_views.Drill", self._connection.post(path, {"reason": reason}, patience=DRILL_WITHIN))

    def reload(self) -> json_views.Reloaded:
        """Let the controller read its configuration again; a bad one changes nothing."""
        return cast("json_views.Reloaded", self._connection.post("/-/reload", {}))

    def _trigger(
        self, target: str, reason: str, to_version: str | None, *, force: bool, dry_run: bool
    ) -> dict[str, object]:
        asked = {
            "target": target,
            "reason": reason,
            "to_version": to_version,
            "force": force,
            "dry_run": dry_run,
        }
        return self._connection.post(f"{BASE}/rollback/trigger", asked, once=True)

    def _say(self, rollback: str, verb: str, reason: str) -> json_views.Rollback:
        path = f"{BASE}/rollback/{segment(rollback)}/{verb}"
        return cast("json_views.Rollback", self._connection.post(path, {"reason": reason}))
