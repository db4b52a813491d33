"""What every journal promises, on both stores: durable on return, invariants in the database, leading, reading."""

import asyncio
import sqlite3
from dataclasses import replace

import asyncpg
import pytest

from real.controller.journal_kit import closed, noted, of_version, opened, remember, started
from rearguard_controller.errors import ConflictError, InvalidInputError, JournalError, LeaseLostError, NotFoundError
from rearguard_controller.journal.gathering import FRESH
from rearguard_controller.journal.store import Fence
from rearguard_controller.model import OperatorAction, Outcome, Phase, StepState, Trigger, Verdict
from rearguard_controller.rollback import EventKind, apply
from unit.controller.factories import NOW, TARGET, alert, decision, good, rollback, serving, target

# --- durable on return, many requests to one commit ---------------------------------------------------------


async def test_an_accepted_alert_is_there_for_another_process_the_moment_accept_returns(journal, store):
    for number in range(20):
        await journal.accept([alert(number=str(number))], NOW + number)
        assert await store.count("inbox") == number + 1


async def test_alerts_wait_in_their_order_until_they_are_judged(journal):
    for number in range(5):
        await journal.accept([alert(number=str(number))], NOW + number)
    waiting = await journal.unjudged(3)
    assert [entry.alert for entry in waiting] == [alert(number=str(number)) for number in range(3)]
    assert [entry.received_at for entry in waiting] == [NOW, NOW + 1, NOW + 2]
    await journal.mark_judged([entry.id for entry in waiting], NOW + 9)
    assert [entry.alert.labels["number"] for entry in await journal.unjudged(9)] == ["3", "4"]


async def test_an_alert_is_read_as_it_was_accepted_at_once_and_when_its_record_is_decoded(journal):
    """At once it is remembered, so that a storm need not be decoded."""
    given = [
        alert(odd="\x7f \u2028 é"),
        replace(alert(), starts_at=1.0, fingerprint="ab", annotations={"x": "y" * 9}),
    ]
    await journal.accept(given, NOW)
    for _ in range(2):
        assert [entry.alert for entry in await journal.unjudged(9)] == given


async def test_threads_of_notices_are_there_for_another_process_and_the_last_text_counts(journal, store):
    assert await journal.noted_threads() is None
    for text in ("[]", '[["chat", "r1", {"ts": "1.2 é"}]]'):
        await journal.note_threads(text)
    assert await journal.noted_threads() == text
    assert await store.rows("select value from meta where key = 'notice_threads'") == [(text,)]


async def test_several_decisions_are_stored_in_their_order_all_or_none(journal, store):
    several = [decision(f"d{number}", decided_at=NOW) for number in range(40)]
    await journal.record_several(several)
    assert (await journal.decisions(limit=50)).items == tuple(reversed(several))
    with pytest.raises(ConflictError):
        await journal.record_several([decision("d40"), decision("d7"), decision("d41")])
    assert await store.count("decisions") == 40


async def test_a_refused_unit_takes_no_other_with_it(journal, store):
    async def refused(_release):
        await journal.change_release(TARGET, "v7", lambda _known: (_ for _ in ()).throw(NotFoundError("gone")))

    work = [journal.accept([alert(number=str(number))], NOW) for number in range(20)]
    work[7:7] = [opened(journal, "r1"), opened(journal, "r2"), refused(None)]
    results = await asyncio.gather(*work, return_exceptions=True)
    assert [type(each) for each in results if isinstance(each, Exception)] == [ConflictError, NotFoundError]
    assert (await store.count("inbox"), await store.count("rollbacks"), await store.count("decisions")) == (20, 1, 1)


async def test_a_fault_in_one_change_stores_nothing_of_it_and_stops_nobody(journal):
    def faulty(state):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await journal.change_target(TARGET, faulty, action=OperatorAction(NOW, "ann", "arm", TARGET, "why"))
    assert await journal.operator_actions() == ()
    await journal.accept([alert()], NOW)


async def test_changes_of_the_same_record_do_not_overwrite_one_another(journal):
    await remember(journal, serving())

    def one_more(release):
        return replace(release, last_seen=release.last_seen + 1)

    await asyncio.gather(*(journal.change_release(TARGET, "v2", one_more) for _ in range(50)))
    assert (await of_version(journal, "v2")).last_seen == NOW + 50


async def test_a_version_and_its_target_are_changed_together_or_not_at_all(journal):
    release, state = await journal.change_both(
        TARGET, "v2", lambda _known: serving(), lambda known, release: replace(known, serving_version=release.version)
    )
    assert (release, state.serving_version) == (serving(), "v2")
    assert (await of_version(journal, "v2"), await journal.target_state(TARGET)) == (release, state)

    def faulty(_known, _release):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await journal.change_both(TARGET, "v2", lambda known: replace(known, barrier=True), faulty)
    assert (await of_version(journal, "v2")).barrier is False


# --- invariants -----------------------------------------------------------------------------------------------


async def test_a_decision_and_its_rollback_are_stored_together_or_not_at_all(journal, store):
    await opened(journal, "r1")
    with pytest.raises(ConflictError):
        await opened(journal, "r2")
    assert (await journal.rollbacks()).items == (await journal.open_rollbacks())
    assert (await store.count("decisions"), await store.count("rollback_events")) == (1, 1)


async def test_only_one_rollback_of_a_target_is_open_whoever_asks(journal):
    await opened(journal, "r1")
    with pytest.raises(ConflictError):
        await opened(journal, "r2", trigger=Trigger.MANUAL)
    await opened(journal, "r3", of=target(name="payments"))
    await closed(journal, "r1", "aborted")
    await opened(journal, "r4")
    assert [each.id for each in await journal.open_rollbacks()] == ["r3", "r4"]
    assert await journal.targets_under_way() == {TARGET: "r4", "payments": "r3"}


async def test_a_second_automatic_rollback_away_from_a_version_is_refused_at_its_intent(journal):
    await started(journal, "r1")
    await closed(journal, "r1", "recovered")
    second = await opened(journal, "r2")
    with pytest.raises(ConflictError):
        await journal.append("r2", noted("step_started", 0))
    assert await journal.rollback("r2") == second
    assert [event.kind for event in await journal.events("r2")] == [EventKind.OPENED]
    assert await journal.handled(TARGET, "v2") == "r1"


async def test_an_automatic_rollback_that_never_acted_does_not_use_up_the_only_one(journal):
    await opened(journal, "r1")
    await closed(journal, "r1", "superseded")
    assert await journal.handled(TARGET, "v2") is None
    await started(journal, "r2")
    assert await journal.handled(TARGET, "v2") == "r2"


async def test_another_version_and_another_target_have_their_own_only_one(journal):
    for number, fields in enumerate(
        [{}, {"from_version": "v3"}, {"of": target(name="payments", before=(), after=(), health=None)}]
    ):
        await started(journal, f"r{number}", **fields)
        await closed(journal, f"r{number}", "recovered")
    assert len((await journal.rollbacks()).items) == 3


async def test_by_hand_is_not_limited_and_uses_nothing_up(journal):
    for rollback_id in ("r1", "r2"):
        await started(journal, rollback_id, trigger=Trigger.MANUAL)
        await closed(journal, rollback_id, "completed")
    assert await journal.handled(TARGET, "v2") is None
    await started(journal, "r3")
    await closed(journal, "r3", "recovered")
    await started(journal, "r4", trigger=Trigger.MANUAL)


async def test_a_repeated_attempt_of_the_same_rollback_is_no_second_one(journal):
    await started(journal, "r1")
    await journal.append("r1", noted("step_interrupted", 0, at=NOW + 5))
    again = await journal.append("r1", noted("step_started", 0, at=NOW + 6))
    assert again.steps[0].attempt == 2
    assert await journal.actions_since(TARGET, NOW - 1) == (NOW,)


async def test_the_database_itself_refuses_what_the_code_must_not_do(journal, store):
    await started(journal, "r1")
    await closed(journal, "r1", "recovered")
    row = (
        'insert into rollbacks (id, target, "trigger", from_version, phase, roll_back_started_at, decision_id, body)'
        " values ('{}', '{}', 'alert', 'v2', '{}', {}, 'd1', '')"
    )
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await store.rows(row.format("x1", TARGET, "closed", NOW))
    await store.rows(row.format("x2", "payments", "running", "null"))
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await store.rows(row.format("x3", "payments", "waiting", "null"))
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await store.rows(f"insert into handled (target, version, rollback_id) values ('{TARGET}', 'v2', 'x4')")  # noqa: S608  # words of this test


async def test_a_refused_event_changes_nothing(journal):
    before = await opened(journal, "r1")
    for event in (noted("step_done", 0), noted("approved"), noted("step_started", 99)):
        with pytest.raises(ConflictError):
            await journal.append("r1", event, action=OperatorAction(NOW, "ann", "abort", "r1", "why"))
    assert await journal.rollback("r1") == before
    assert await journal.operator_actions() == ()


async def test_of_two_words_about_a_wait_the_second_is_refused_and_not_audited(journal):
    await opened(journal, "r1", phase=Phase.WAITING, wait_until=NOW + 60, needs_approval=True)
    approved = OperatorAction(NOW, "ann", "approve", "r1", "why")
    after = await journal.append("r1", noted("approved"), action=approved)
    assert (after.phase, after.approved, after.needs_approval) == (Phase.WAITING, True, False)
    with pytest.raises(ConflictError):
        await journal.append("r1", noted("approved"), action=OperatorAction(NOW, "bob", "approve", "r1", "me too"))
    assert await journal.operator_actions() == (approved,)
    assert await journal.open_rollbacks() == (after,)


async def test_a_vetoed_wait_uses_up_nothing_and_disarms_nothing(journal):
    await opened(journal, "r1", phase=Phase.WAITING, wait_until=NOW + 60)
    await journal.append("r1", noted("vetoed"))
    await closed(journal, "r1", "vetoed")
    assert (await journal.handled(TARGET, "v2"), await journal.last_action_at(TARGET)) == (None, None)
    assert await journal.actions_since(TARGET, 0) == ()
    assert (await journal.target_state(TARGET)).armed is True
    await opened(journal, "r2", phase=Phase.WAITING, wait_until=NOW + 60)


async def test_a_rollback_is_the_fold_of_its_events(journal):
    await started(journal, "r1")
    await journal.append("r1", noted("step_done", 0, at=NOW + 2))
    await journal.append("r1", noted("abort_asked", at=NOW + 3))
    after = await closed(journal, "r1", "aborted")
    value = None
    for event in await journal.events("r1"):
        value = apply(value, event)
    assert value == after == await journal.rollback("r1")
    assert (value.phase, value.steps[0].state) == (Phase.CLOSED, StepState.DONE)


# --- what a rollback leaves behind ---------------------------------------------------------------------------

LEFT = {
    # outcome: suspect, bad, armed
    "recovered": (True, True, True),
    "completed": (True, False, False),  # it has a verify_recovery step: over, but not by this rollback's help
    "not_recovered": (False, False, False),
    "failed": (True, False, False),
    "superseded": (True, False, False),
    "aborted": (True, False, False),
    "needs_a_person": (True, False, False),
}


@pytest.mark.parametrize("outcome", LEFT)
async def test_a_close_settles_the_marks_and_the_arming(journal, outcome):
    await remember(journal, serving())
    await opened(journal, "r1")
    assert not (await of_version(journal, "v2")).distrusted
    await journal.append("r1", noted("step_started", 0))
    assert (await of_version(journal, "v2")).suspect_at == NOW
    await closed(journal, "r1", outcome)
    left, state = await of_version(journal, "v2"), await journal.target_state(TARGET)
    assert (left.suspect_at is not None, left.bad_at is not None, state.armed) == LEFT[outcome]


@pytest.mark.parametrize("outcome", ["superseded", "vetoed", "expired", "not_needed", "failed"])
async def test_a_rollback_that_began_nothing_leaves_nothing_behind(journal, outcome):
    await remember(journal, serving())
    await opened(journal, "r1")
    await closed(journal, "r1", outcome)
    assert (await of_version(journal, "v2"), (await journal.target_state(TARGET)).armed) == (serving(), True)


async def test_a_mark_that_a_person_cleared_while_it_ran_stays_cleared(journal):
    await remember(journal, serving())
    await started(journal, "r1")
    await journal.change_release(TARGET, "v2", lambda known: replace(known, suspect_at=None))
    await journal.append("r1", noted("step_failed", 0))
    assert (await closed(journal, "r1", "failed")).outcome is Outcome.FAILED
    assert not (await of_version(journal, "v2")).distrusted


async def test_a_rollback_that_did_not_change_is_read_without_decoding_it_again(journal):
    await opened(journal, "r1")
    before = await journal.rollback("r1")
    assert await journal.rollback("r1") is before
    assert (await journal.open_rollbacks())[0] is before
    await journal.append("r1", noted("step_started", 0))
    after = await journal.rollback("r1")
    assert [each.attempt for each in (before.steps[0], after.steps[0])] == [0, 1]


async def test_readings_that_are_asked_for_together_are_answered_each_with_its_own(journal):
    await remember(journal, serving())
    await opened(journal, "r1")
    found = await asyncio.gather(
        journal.rollback("r1"), journal.rollback("r2"), journal.releases(TARGET), return_exceptions=True
    )
    assert (found[0].id, type(found[1]), found[2]) == ("r1", NotFoundError, (serving(),))


async def test_actions_are_counted_by_when_their_roll_back_began(journal):
    assert await journal.last_action_at(TARGET) is None
    for number, trigger in enumerate([Trigger.ALERT, Trigger.ALERT, Trigger.MANUAL]):
        rollback_id = f"r{number}"
        await opened(journal, rollback_id, trigger=trigger, from_version=f"v{number}")
        await journal.append(rollback_id, noted("step_started", 0, at=NOW + 100 * number))
        await closed(journal, rollback_id, "recovered")
    assert await journal.actions_since(TARGET, NOW) == (NOW + 100, NOW)
    assert await journal.actions_since(TARGET, NOW + 1) == (NOW + 100,)
    assert await journal.last_action_at(TARGET) == NOW + 200
    assert await journal.last_action_at("payments") is None


# --- reading --------------------------------------------------------------------------------------------------


async def test_pages_hold_everything_once_newest_first(journal):
    for number in range(7):
        await journal.record(decision(f"d{number}", verdict=Verdict.LEAVE if number % 2 else Verdict.ROLL_BACK))
        await opened(journal, f"r{number}", of=target(name=f"t{number % 2}", before=(), after=(), health=None))
        await closed(journal, f"r{number}", "failed" if number < 3 else "recovered")
    seen, before = [], None
    while True:
        page = await journal.rollbacks(limit=3, before=before)
        seen += [each.id for each in page.items]
        before = page.next
        if before is None:
            break
    assert seen == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
    assert [each.id for each in (await journal.rollbacks(target="t1", limit=2)).items] == ["r5", "r3"]
    assert [each.id for each in (await journal.rollbacks(outcome=Outcome.FAILED)).items] == ["r2", "r1", "r0"]
    assert (await journal.rollbacks(limit=7)).next is None
    first = await journal.decisions(target=TARGET, verdict=Verdict.ROLL_BACK, limit=2)
    assert [each.id for each in first.items] == ["d6", "d4"]
    rest = await journal.decisions(target=TARGET, verdict=Verdict.ROLL_BACK, limit=2, before=first.next)
    assert ([each.id for each in rest.items], rest.next) == (["d2", "d0"], None)


async def test_decisions_are_found_by_the_name_of_their_alert_however_long_it_is(journal):
    endless = "A" * 5000
    given = {"d1": "Slow", "d2": "Down", "d3": "Slow", "d4": endless}
    for number, name in given.items():
        await journal.record(decision(number, target="t1" if number == "d3" else TARGET, alert=alert(name)))
    await journal.record(decision("d5", alert=None))

    async def found(**filters):
        return [each.id for each in (await journal.decisions(**filters)).items]

    assert await found(alert="Slow") == ["d3", "d1"]
    assert await found(alert="Slow", target=TARGET) == ["d1"]
    assert await found(alert="Slow", verdict=Verdict.ROLL_BACK) == []
    assert (await found(alert=endless), await found(alert="Sl"), await found(alert="None")) == (["d4"], [], [])
    first = await journal.decisions(alert="Slow", limit=1)
    assert [each.id for each in (await journal.decisions(alert="Slow", limit=1, before=first.next)).items] == ["d1"]


async def test_what_is_not_there_is_said_to_be_not_there(journal):
    with pytest.raises(NotFoundError):
        await journal.rollback("r9")
    with pytest.raises(NotFoundError):
        await journal.append("r9", noted("abort_asked"))
    with pytest.raises(NotFoundError):
        await journal.decision("d9")
    with pytest.raises(InvalidInputError) as caught:
        await journal.rollbacks(before="r9")
    assert caught.value.field == "before"
    assert (await journal.releases(TARGET), await journal.rollback_by_key("k")) == ((), None)
    assert (await journal.target_state(TARGET)).armed


async def test_an_idempotency_key_leads_to_one_rollback(journal):
    await journal.record(decision("d1"), rollback("r1"), idempotency_key="k")
    assert (await journal.rollback_by_key("k")).id == "r1"
    await closed(journal, "r1", "aborted")
    with pytest.raises(ConflictError, match="key"):
        await journal.record(decision("d2"), rollback("r2"), idempotency_key="k")
    assert (await journal.rollbacks()).items[0].id == "r1"


async def test_releases_come_newest_first_and_the_audit_too(journal):
    for version, first_seen in (("v1", NOW), ("v3", NOW + 2), ("v2", NOW + 1)):
        await remember(journal, good(version, first_seen=first_seen))
    assert [each.version for each in await journal.releases(TARGET)] == ["v3", "v2", "v1"]
    for number, subject in enumerate(["a", "b", "a"]):
        act = OperatorAction(NOW + number, "ann", "arm", subject, "why")
        await journal.change_target(subject, lambda state: replace(state, armed_reason="why"), action=act)
    assert [act.at for act in await journal.operator_actions()] == [NOW + 2, NOW + 1, NOW]
    assert [act.at for act in await journal.operator_actions(subject="a", limit=1)] == [NOW + 2]


async def test_the_releases_of_all_targets_are_those_of_each_and_always_of_now(journal):
    for of, version, first_seen in (("a", "v1", NOW), ("b", "v1", NOW + 1), ("a", "v2", NOW + 2)):
        release = replace(good(version, first_seen=first_seen), target=of)
        await journal.change_release(of, version, lambda _known, release=release: release)
    for seen in (NOW + 9, NOW + 10):  # what was read before is remembered by its record, and changes with it
        await journal.change_release("a", "v1", lambda known, seen=seen: replace(known, last_seen=seen))
        known = await journal.all_releases()
        assert known == {of: await journal.releases(of) for of in ("a", "b")}
        assert [each.version for each in known["a"]] == ["v2", "v1"]
        assert known["a"][1].last_seen == seen


async def test_a_damaged_record_is_set_aside_and_the_others_go_on(journal, store):
    await journal.accept([alert(number="1"), alert(number="2")], NOW)
    for number in (1, 2):
        await opened(journal, f"r{number}", of=target(name=f"t{number}"))
        await journal.change_release(TARGET, f"v{number}", lambda _known, version=f"v{number}": good(version))
    await store.rows(
        "update inbox set body = '{' where id = 1",
        "update rollbacks set body = '[]' where id = 'r1'",
        "update releases set body = '7' where version = 'v1'",
        "update decisions set body = 'null' where id = 'd-r1'",
    )
    assert await journal.unjudged_count() == 2
    assert [(entry.id, entry.alert.labels["number"]) for entry in await journal.unjudged(9)] == [(2, "2")]
    [(damage,)] = await store.rows("select damage from inbox where id = 1")
    assert "damaged" in damage
    await asyncio.sleep(FRESH)  # a count may be that old
    assert await journal.unjudged_count() == 1
    assert [each.id for each in await journal.open_rollbacks()] == ["r2"]
    assert "r1" in (await journal.targets_under_way()).values()  # so that no other one begins beside it
    assert [each.id for each in (await journal.rollbacks()).items] == ["r2"]
    assert [each.id for each in (await journal.decisions()).items] == ["d-r2"]
    assert [each.version for each in await journal.releases(TARGET)] == ["v2"]
    for ask in (journal.rollback("r1"), journal.decision("d-r1"), journal.append("r1", noted("abort_asked"))):
        with pytest.raises(JournalError, match="damaged"):
            await ask


async def test_a_damaged_head_of_the_queue_never_hides_what_waits_behind_it(journal, store):
    for number in range(5):
        await journal.accept([alert(number=str(number))], NOW)
    await store.rows("update inbox set body = 'x' where id <= 3")
    assert [entry.alert.labels["number"] for entry in await journal.unjudged(2)] == ["3", "4"]


async def test_a_closed_journal_says_so(store):
    journal = await store.open()
    await journal.close()
    for work in (
        journal.accept([alert()], NOW),
        journal.record(decision("d1")),
        journal.open_rollbacks(),
        journal.releases(TARGET),
        journal.unjudged(9),
    ):
        with pytest.raises(JournalError):
            await work


async def test_odd_characters_from_outside_are_stored_and_found_or_not_there_but_never_an_outage(journal):
    odd = "nul \0, lone \ud800, \N{SNOWMAN}, ' \" %s ?1 $1 {"
    with pytest.raises(NotFoundError):
        await journal.rollback("r\0")
    assert await journal.handled("t\0", "v") is None
    await journal.accept([alert(odd=odd.replace("\ud800", ""))], NOW)
    assert (await journal.unjudged(1))[0].alert.labels["odd"] == odd.replace("\ud800", "")
    await journal.change_target(
        TARGET,
        lambda state: replace(state, armed_reason="why"),
        action=OperatorAction(NOW, "ann", "arm", TARGET, "why\0"),
    )
    assert len(await journal.operator_actions()) == 1


# --- leading --------------------------------------------------------------------------------------------------


async def test_every_taking_of_the_lease_is_a_new_epoch_and_events_carry_it(journal, store):
    for epoch in (1, 2, 3):
        assert await journal.take_lease(f"h{epoch}", 15) == epoch
        assert await journal.renew_lease(epoch, 15)
        assert not await journal.renew_lease(epoch + 1, 15)
        await opened(journal, f"r{epoch}")
        await closed(journal, f"r{epoch}", "aborted")
        assert await store.rows("select holder, epoch from lease") == [(f"h{epoch}", epoch)]
        events = await store.rows(f"select distinct epoch from rollback_events where rollback_id = 'r{epoch}'")  # noqa: S608  # words of this test
        assert events == [(epoch,)]
        await journal.release_lease(epoch)
        assert not await journal.renew_lease(epoch, 15)


async def test_a_lease_of_another_epoch_is_not_let_go(journal, store):
    await journal.take_lease("first", 15)
    await journal.release_lease(7)
    assert (await store.rows("select until is null from lease"))[0][0] in (0, False)


async def test_every_fenced_write_of_a_leader_that_lost_the_lease_changes_nothing(journal, store):
    fence = Fence()
    lead = journal.fenced(fence)
    with pytest.raises(LeaseLostError):
        await lead.accept([alert()], NOW)
    fence.epoch = await journal.take_lease("first", 0)
    await opened(lead, "r1")
    assert await journal.take_lease("second", 15) == 2
    tables = ("inbox", "decisions", "rollbacks", "rollback_events", "releases", "target_state", "operator_actions")
    before = [await store.count(table) for table in tables]
    act = OperatorAction(NOW, "ann", "arm", TARGET, "why")
    for write in (
        lead.accept([alert()], NOW),
        lead.mark_judged([1], NOW),
        lead.prune(NOW + 1, 0),
        lead.record(decision("d9"), action=act),
        lead.record_several([decision("d8"), decision("d9")]),
        lead.append("r1", noted("step_started", 0), action=act),
        lead.change_release(TARGET, "v2", lambda _known: serving(), action=act),
        lead.change_target(TARGET, lambda state: replace(state, armed=False), action=act),
        lead.change_both(TARGET, "v2", lambda _known: serving(), lambda state, _: replace(state, armed=False)),
    ):
        with pytest.raises(LeaseLostError):
            await write
    assert [await store.count(table) for table in tables] == before
    await journal.accept([alert()], NOW)  # what is not the leader's alone goes on
    assert len(await lead.unjudged(10)) == 1
