"""Each kind of notice, to Slack and as JSON over a real socket: what a person must learn from it, in both."""

import html
from dataclasses import replace

import pytest

from real.controller.notice_kit import URL, closed, of_kind, waiting
from real.controller.receivers import receiving
from real.controller.test_notify import telling
from rearguard_controller.config import ReceiverKind
from rearguard_controller.model import Outcome, Phase, Reason, ReasonCode, StepKind, Verdict
from unit.controller.factories import NOW, TARGET, alert, decision, release, rollback

NUMBERS = "0.31, past the threshold > 0.05"
ALERT = replace(
    alert(service_version="v2"), annotations={"summary": "Too many errors.", "figure": "0.31", "threshold": "0.05"}
)
CONFIRMED = Reason(ReasonCode.ALERT_CONFIRMED, True, f"ReleaseErrorRate fires: {NUMBERS}.")
OBSERVES = Reason(ReasonCode.MODE_ALLOWS, False, "The policy only observes.")
LED = decision(alert=ALERT, verdict=Verdict.ROLL_BACK, to_version="v1", reasons=(CONFIRMED,), rollback_id="r1")
FROM_ALERT = {"Alert: ReleaseErrorRate", NUMBERS, "Figure: 0.31", "Threshold: 0.05", "rearguard explain d1"}
OF_R1 = {*FROM_ALERT, "Rollback: r1", f"{URL}/rollbacks/r1"}
LEFT = {*OF_R1, "Serves now: v1", "Rolled away from: v2", "0.01 now."}
ARM = 'allow them again: rearguard arm checkout --reason "..."'
FAILING = replace(
    next(step for step in rollback().steps if step.kind is StepKind.UNDO_HOOK), attempt=3, detail="exit 1"
)

KINDS = {
    "decided, which needs approval": (
        lambda to: to.decided(LED, waiting()),
        {*OF_R1, "Serves now: v2", "a person should approve the rollback from v2 to v1 until 1970-01-12T14:16:40Z",
         "ReleaseErrorRate fires.", 'rearguard approve r1 --reason "..."', 'rearguard veto r1 --reason "..."'},
    ),
    "decided, which waits for a veto": (
        lambda to: to.decided(LED, replace(waiting(), needs_approval=False)),
        {*OF_R1, "Serves now: v2", "waits for a veto until 1970-01-12T14:16:40Z", 'rearguard veto r1 --reason "..."'},
    ),
    "decided and begun": (
        lambda to: to.decided(LED, rollback()),
        {*OF_R1, "Serves now: v2", "checkout: is rolled back from v2 to v1", "ReleaseErrorRate fires."},
    ),
    "started": (
        lambda to: to.started(rollback(), LED),
        {*OF_R1, "Serves now: v2", "checkout: the rollback from v2 to v1 has started", "ReleaseErrorRate fires."},
    ),
    "vetoed": (
        lambda to: to.finished(
            replace(waiting(), phase=Phase.CLOSED, outcome=Outcome.VETOED, detail="ann: it is the cache"), LED
        ),
        {*OF_R1, "Serves now: v2", "the rollback from v2 to v1 was vetoed", "ann: it is the cache",
         f"none away from v2; {ARM}"},
    ),
    "recovered": (
        lambda to: to.finished(closed(), LED),
        {*LEFT, "checkout: recovered, and v1 serves instead of v2"},
    ),
    "not recovered": (
        lambda to: to.finished(closed(Outcome.NOT_RECOVERED), LED),
        {*LEFT, "checkout: not recovered, although v1 serves instead of v2", f"disarmed; {ARM}"},
    ),
    "needs a person": (
        lambda to: to.finished(closed(Outcome.NEEDS_A_PERSON), LED),
        {*LEFT, "checkout: a person is needed, because the rollback from v2 to v1 has stopped", f"disarmed; {ARM}"},
    ),
    "an undo that fails": (
        lambda to: to.undo_failing(rollback(), FAILING, LED),
        {*OF_R1, "a person is needed", FAILING.name, "exit 1", "rearguard close r1 --reason"},
    ),
    "the bad version came back": (
        lambda to: to.bad_version(release("v2", bad_at=NOW - 60), closed(), NOW),
        {"checkout: the bad version v2 serves again", "Serves now: v2", "rearguard release checkout v2 --good",
         "rearguard rollback checkout --reason", f"{URL}/rollbacks/r1", "went away from it to v1"},
    ),
    "observed only": (
        lambda to: to.decided(
            replace(LED, rollback_id=None, verdict=Verdict.LEAVE, would=Verdict.ROLL_BACK,
                    reasons=(CONFIRMED, OBSERVES)), None,
        ),
        {*FROM_ALERT, "Serves now: v2", "would be rolled back from v2 to v1, but is left as it is",
         "The policy only observes.", f"{URL}/decisions/d1"},
    ),
    "the heartbeat is lost": (
        lambda to: to.heartbeat(NOW, came_back=False),
        {"Alertmanager's deliveries do not reach Rearguard", "RearguardHeartbeatLost", f"{URL}/"},
    ),
    "an alert, where asked": (
        lambda to: to.alerts([(ALERT, NOW)], lambda _: TARGET),
        {"checkout: ReleaseErrorRate is firing", "Too many errors.", "Figure: 0.31", "Threshold: 0.05", f"{URL}/",
         "Version of the alert: v2"},
    ),
}  # fmt: skip


def shown_in_slack(body):
    """Everything that Slack shows of a message, as plain text."""
    said = [body["text"]]
    for block in body["blocks"]:
        if block["type"] == "header":
            said.append(block["text"]["text"])
        elif block["type"] == "actions":
            said += [button["url"] for button in block["elements"] if "url" in button]
        else:
            said += [each["text"] for each in (*block.get("fields", ()), *filter(None, [block.get("text")]))]
    text = "\n".join(each.replace("*\n", ": ").removeprefix("*") for each in said)
    return html.unescape(text).replace("\u200b", "")


def shown_in_json(body):
    facts = [f"{name}: {value}" for name, value in body["facts"].items()]
    reason = body.get("rollback", {}).get("reason", "")
    return "\n".join([body["title"], body["text"], reason, *facts, body["link"]])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_notice_names_what_a_person_must_know(kind):
    happens, words = KINDS[kind]
    async with receiving((200, "ok", {})) as chat, receiving() as programs:
        entries = of_kind(ReceiverKind.SLACK, chat), of_kind(ReceiverKind.WEBHOOK, programs)
        async with telling(*entries) as told:
            told.use(external_url=URL)
            happens(told.notify)
            await told.until(sent=2)
    (message,), (notice,) = chat.posted, programs.posted
    in_json = shown_in_json(notice)
    assert {each for each in words if each not in in_json} == set(), in_json
    in_slack = shown_in_slack(message)
    assert {each for each in words if each not in in_slack} == set(), in_slack
