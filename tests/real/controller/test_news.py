"""What is new in the journal since a mark, on both stores."""

from dataclasses import replace

from real.controller.journal_kit import closed, opened
from rearguard_controller.journal.news import mark_in
from rearguard_controller.model import OperatorAction
from unit.controller.factories import NOW, TARGET


def told(news):
    return [(item.kind.value, item.what) for item in news.items]


async def test_all_that_was_stored_after_a_mark_is_told_with_the_target_that_it_is_about(journal):
    mark = await journal.newest(NOW - 100)
    said = OperatorAction(NOW, "ann", "disarm", TARGET, "freeze")
    await journal.change_target(TARGET, lambda state: replace(state, armed=False, armed_changed_at=NOW), action=said)
    await opened(journal)
    await closed(journal, "r1", "vetoed")
    news = await journal.news(mark, NOW + 1)
    assert {item.target for item in news.items} == {TARGET}
    found = told(news)
    assert ("action", "disarm") in found
    assert ("arming", "disarmed") in found
    assert [what for kind, what in found if kind == "rollback"][-1] == "closed"
    assert not news.more
    assert news.mark == mark_in(str(news.mark))
    again = told(await journal.news(replace(news.mark, at=NOW + 100), NOW + 101))
    assert sorted(again) == sorted(each for each in found if each[0] in ("action", "decision")), "by their numbers"


async def test_a_target_whose_record_is_damaged_hides_no_other(journal, store):
    for name in ("a", "b"):
        await journal.change_target(name, lambda state: replace(state, serving_version="v1", serving_since=NOW))
    await store.rows("update target_state set body = '{' where target = 'a'")
    states = await journal.target_states()
    assert (states["b"].serving_version, states["b"].armed) == ("v1", True)
    assert (states["a"].serving_version, states["a"].armed) == (None, False), "and it is shown as what is not judged"
    assert "damaged" in states["a"].armed_reason
