"""A rollback that closes while an alert is judged: what its close leaves behind stands in the way of another."""

import time
from types import SimpleNamespace

from real.controller.journal_kit import closed, started
from rearguard_controller.adapters.actions import Actions
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.facts.alerts_now import AlertsNow
from rearguard_controller.facts.gather import FactGatherer
from rearguard_controller.facts.silences import Silences
from rearguard_controller.facts.sources import Sources, SourcesOfAll
from rearguard_controller.facts.storm import Trouble
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import CommandAction, CommandRelease
from rearguard_controller.model.observations import is_armed
from rearguard_controller.releases.tracking import Releases
from unit.controller.factories import target
from unit.controller.runtime_kit import runtime


class ClosesMeanwhile:
    """A journal in which the rollback closes right after the target's state was read for the first time."""

    def __init__(self, journal):
        self._journal, self._open = journal, True

    def __getattr__(self, name):
        return getattr(self._journal, name)

    async def target_state(self, name):
        state = await self._journal.target_state(name)
        if self._open:
            self._open = False
            await closed(self._journal, "r1", "failed")
        return state


async def test_a_target_that_is_disarmed_while_its_facts_are_gathered_does_not_count_as_armed(tmp_path):
    inner = SqliteJournal.open(tmp_path / "journal.db")
    await started(inner)
    journal, actions, prometheus = ClosesMeanwhile(inner), Actions(), SimpleNamespace()
    read = CommandAction(("echo", "v2"), 10.0, str(tmp_path))
    it = target(release=CommandRelease(read, read))
    silences = Silences(None, clock=time.time, monotonic=time.monotonic)
    sources = Sources(prometheus, None, silences, AlertsNow(prometheus, Trouble(time.monotonic), time.time))
    releases = Releases(runtime(journal), ReleaseKinds(actions), lambda _: prometheus)
    facts = await FactGatherer(runtime(journal), SourcesOfAll([sources]), releases).of_target(it, record=False)
    assert facts.target.open_rollback is not None or not is_armed(facts.target.state, facts.now)
    await inner.close()
