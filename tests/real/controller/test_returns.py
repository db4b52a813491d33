"""The return of a version that was rolled away from: told once, and shown while it serves."""

from dataclasses import replace

import pytest

from real.controller.journal_kit import of_version, remember, started
from real.controller.receivers import receiving
from real.controller.served import BASE, OPERATOR, serving
from real.controller.test_watching import until
from rearguard_controller.releases.returned import Returns
from unit.controller.factories import NOW, TARGET, good, release, state
from unit.controller.runtime_kit import runtime

LATER = NOW + 600.0
BACK = state(serving_version="v2", serving_since=LATER)


class Told:
    """Takes notices as `Notify` does."""

    def __init__(self):
        self.of = []

    def bad_version(self, release, led_away, at):
        self.of.append((release.version, None if led_away is None else led_away.id, at))


async def look(journal, told, found, release):
    await journal.change_target(TARGET, lambda known: replace(found, told_bad_since=known.told_bad_since))
    await Returns(runtime(journal, notices=told)).look(await journal.target_state(TARGET), release)


async def test_a_return_is_told_once_with_the_rollback_that_led_away_also_after_a_restart(store):
    journal, told = await store.open(), Told()
    await remember(journal, release("v2"))
    await started(journal)
    marked = await of_version(journal, "v2")
    await look(journal, told, BACK, marked)
    await look(journal, told, BACK, marked)
    await journal.close()
    journal = await store.open()
    await look(journal, told, BACK, await of_version(journal, "v2"))
    assert told.of == [("v2", "r1", LATER)]
    await look(journal, told, replace(BACK, serving_since=LATER + 60), marked)
    assert told.of[1:] == [("v2", "r1", LATER + 60)]  # it went, and came back
    await journal.close()


@pytest.mark.parametrize(
    ("found", "of"),
    [
        (BACK, good("v2")),  # trusted
        (BACK, release("v2")),  # cleared
        (state(), release("v2", suspect_at=NOW)),  # it has not left: the rollback is under way, or failed
        (replace(BACK, serving_version="v1"), release("v2", suspect_at=NOW)),
    ],
)
async def test_nothing_else_is_a_return(journal, found, of):
    told = Told()
    await look(journal, told, found, of)
    assert told.of == []


async def test_a_rollback_that_is_no_longer_kept_is_not_named(journal):
    told = Told()
    await look(journal, told, BACK, release("v2", bad_at=NOW))
    assert told.of == [("v2", None, LATER)]


async def test_a_return_reaches_people_once_and_status_says_it_for_as_long_as_it_serves(tmp_path):
    async with receiving() as receiver, serving(tmp_path, more=f"notify: [{{url: '{receiver.url}'}}]\n") as service:
        parts, journal = service.controller.parts, service.controller.journal
        bad = release("v2", bad_at=NOW)

        async def shown():
            await parts.watcher.poll(parts.intake)
            _, body = await service.get(f"{BASE}/rollback/status")
            return {each["name"]: each["serving_is_bad"] for each in body["targets"]}

        async def serves():
            await parts.watcher.poll(parts.intake)
            return (await journal.target_state("checkout")).serving_version == "v2"

        async def is_told():
            await parts.watcher.poll(parts.intake)
            return receiver.events

        await until(serves)
        await remember(journal, bad)
        await until(is_told)  # the poll that was under way may not have seen the mark
        [body] = await receiver.got(1)
        for _ in range(3):
            assert await shown() == {"checkout": True, "search": False}
        assert (body["event"], body["target"], body["release"]["version"]) == ("bad_version", "checkout", "v2")
        assert body["text"].startswith("checkout serves v2 again, since 20")
        assert "it is marked bad since 1970-01-12T13:46:40Z" in body["text"]
        assert "`rearguard release checkout v2 --good`" in body["text"]
        said = {"version": "v2", "good": True}
        assert (await service.post(f"{BASE}/targets/checkout/releases", said, OPERATOR))[0] in (200, 202)
        assert await shown() == {"checkout": False, "search": False}
        assert receiver.events == ["bad_version"]
