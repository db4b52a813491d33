"""What people read in a notice, and what a notice never carries."""

from dataclasses import replace
from pathlib import Path

import pytest

from rearguard_controller.adapters.notices import notice as notices
from rearguard_controller.adapters.notices.notice import MOST_SAID, Notice
from rearguard_controller.config import ReceiverKind
from rearguard_controller.model import (
    NoticeEvent,
    Outcome,
    Phase,
    Reason,
    ReasonCode,
    StepKind,
    StepState,
    Trigger,
    Verdict,
)
from unit.controller.factories import NOW, TARGET, alert, decision, release, rollback

YES = Reason(ReasonCode.TARGET_KNOWN, True, "The alert belongs to target checkout.")
OBSERVES = Reason(ReasonCode.MODE_ALLOWS, False, "The policy only observes.")
NO_RELEASE = Reason(ReasonCode.RECENT_RELEASE, False, "v2 serves since 3 days.")
UNMATCHED = Reason(ReasonCode.TARGET_KNOWN, False, "The alert matches no target.")
TO_V1 = {"to_version": "v1", "would": Verdict.ROLL_BACK}


def decided(**fields):
    made = decision(**fields)
    return Notice(NoticeEvent.DECIDED, NOW, made.target or None, made.alert, made)


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        (
            Notice(NoticeEvent.ALERT, NOW, None, alert=replace(alert(), annotations={"summary": "Too\n many"})),
            "ReleaseErrorRate is firing: Too many",
        ),
        (
            Notice(NoticeEvent.ALERT, NOW, TARGET, alert=replace(alert(), firing=False)),
            "ReleaseErrorRate for checkout is over.",
        ),
        (
            decided(verdict=Verdict.ROLL_BACK, **TO_V1),
            "checkout is rolled back from v2 to v1 because of ReleaseErrorRate.",
        ),
        (
            decided(verdict=Verdict.ROLL_BACK, trigger=Trigger.MANUAL, alert=None, note="slow", **TO_V1),
            "checkout is rolled back from v2 to v1 by hand: slow",
        ),
        (
            decided(reasons=(YES, OBSERVES), **TO_V1),
            "checkout would be rolled back from v2 to v1, but is left as it is: The policy only observes.",
        ),
        (
            decided(verdict=Verdict.ASK, **TO_V1),
            "A person should decide whether checkout is rolled back from v2 to v1.",
        ),
        (decided(reasons=(YES, NO_RELEASE)), "checkout is left as it is: v2 serves since 3 days."),
        (
            decided(target="", reasons=(UNMATCHED,)),
            "Nothing is rolled back because of ReleaseErrorRate: The alert matches no target.",
        ),
        (
            Notice(NoticeEvent.STARTED, NOW, TARGET, rollback=rollback()),
            "The rollback of checkout from v2 to v1 has started.",
        ),
        (
            Notice(
                NoticeEvent.FINISHED, NOW, TARGET,
                rollback=rollback(phase=Phase.CLOSED, outcome=Outcome.RECOVERED, detail="0.01 is below 0.1."),
            ),
            "The rollback of checkout from v2 to v1 ended as recovered: 0.01 is below 0.1.",
        ),
    ],
)  # fmt: skip
def test_each_notice_is_one_sentence_that_says_what_and_why(notice, text):
    assert notices.text(notice) == text


def test_a_sentence_repeats_only_so_much_of_what_others_wrote():
    long = Notice(NoticeEvent.ALERT, NOW, None, alert=replace(alert(), annotations={"summary": "x" * 9_000}))
    assert len(notices.text(long)) < MOST_SAID + 60


def test_a_body_holds_only_what_belongs_to_its_event():
    of_alert = notices.body(Notice(NoticeEvent.ALERT, NOW, None, alert=alert()))
    assert set(of_alert) == {"event", "at", "target", "alert", "text"}
    assert (of_alert["event"], of_alert["at"], of_alert["target"]) == ("alert", "1970-01-12T13:46:40.000Z", None)


def test_what_a_command_printed_is_in_no_notice():
    base = rollback()
    steps = tuple(replace(step, state=StepState.DONE, output="Printed-by-it") for step in base.steps)
    body = notices.body(Notice(NoticeEvent.FINISHED, NOW, TARGET, rollback=replace(base, steps=steps)))
    assert "Printed-by-it" not in str(body)


def test_an_undo_that_fails_again_and_again_is_told_with_its_step_and_what_to_do():
    undo = next(step for step in rollback().steps if step.kind is StepKind.UNDO_HOOK)
    failed = replace(undo, state=StepState.FAILED, attempt=3, detail="exit status 1", output="Printed-by-it")
    notice = Notice(NoticeEvent.UNDO_FAILING, NOW, TARGET, rollback=rollback(), step=failed)
    told = notices.text(notice)
    assert told.startswith(f"What was begun for the rollback of checkout is not undone: {undo.name} has failed three")
    assert "rearguard close r1" in told
    assert told.endswith("exit status 1")
    body = notices.body(notice)
    assert (body["event"], body["step"]["name"], body["step"]["attempt"]) == ("undo_failing", undo.name, 3)
    assert "Printed-by-it" not in str(body)


def test_the_return_of_a_bad_version_says_since_when_it_is_bad_by_which_rollback_and_what_to_do():
    bad = Notice(NoticeEvent.BAD_VERSION, NOW, TARGET, rollback=rollback(), release=release("v2", bad_at=NOW - 60))
    assert notices.text(bad) == (
        "checkout serves v2 again, since 1970-01-12T13:46:40Z: it is marked bad since 1970-01-12T13:45:40Z, when"
        " rollback r1 went away from it to v1. Deploy another version, or run `rearguard rollback checkout"
        " --reason ...`; if it is good after all: `rearguard release checkout v2 --good`."
    )
    suspect = replace(bad, rollback=None, release=release("v2", suspect_at=NOW))
    assert "marked suspect since 1970-01-12T13:46:40Z, when a rollback that is no longer kept" in notices.text(
        suspect
    )
    assert notices.body(bad)["release"]["version"] == "v2"


def test_each_kind_of_receiver_and_each_event_stands_in_the_guides():
    docs = Path(__file__).parents[3] / "docs"
    guide, reference = (docs / "notices.md").read_text(), (docs / "api.md").read_text()
    assert [kind for kind in ReceiverKind if f"\n| `{kind}`" not in guide] == []
    assert [event for event in NoticeEvent if f"`{event}`" not in reference] == []
