"""Shards: which target is in which, which replica is to lead which, and what each of them wants and gives up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.errors import JournalError
from rearguard_controller.journal import records
from rearguard_controller.journal.shards import Shard
from rearguard_controller.journal.store import Fence
from rearguard_controller.model.observations import TargetState
from rearguard_controller.model.shards import NOBODYS, shard_of, spread
from rearguard_controller.model.watched import Watched
from rearguard_controller.service.sharding import SETTLED, Share
from unit.controller.factories import rollback
from unit.controller.runtime_kit import runtime

REPLICAS = st.sets(st.text(min_size=1, max_size=20), min_size=1, max_size=12)


def test_a_target_is_in_the_same_shard_at_every_start():
    """The figures are what `b2sum -l 64` says of the names, modulo 4."""
    assert [shard_of(name, 4) for name in ("checkout", "payments", "search")] == [0, 1, 2]


@given(st.text(), st.integers(1, 64))
def test_every_target_is_in_one_shard_of_those_there_are(name, count):
    assert 0 <= shard_of(name, count) < count


def test_what_is_nobodys_is_the_first_ones_and_a_single_shard_has_everything():
    assert {shard_of(NOBODYS, count) for count in range(1, 65)} == {0}
    assert {shard_of(f"target-{n}", 1) for n in range(100)} == {0}


@given(st.integers(1, 64), REPLICAS)
def test_shards_are_spread_evenly_and_alike_whoever_asks(count, names):
    led = spread(count, names)
    assert led == spread(count, sorted(names, reverse=True))
    assert len(led) == count
    assert set(led) <= names
    assert max(led.count(name) for name in names) <= -(-count // len(names))


def test_a_replica_that_goes_takes_few_other_shards_with_it():
    names = [f"replica-{n}" for n in range(5)]
    before, after = spread(40, names), spread(40, names[1:])
    moved = sum(old != new for old, new in zip(before, after, strict=True))
    assert before.count(names[0]) <= moved <= 16  # 8 of its own; by chance alone, 32 of 40 would move


class Replicas:
    """A journal that says who lives, and for how long; and which rollbacks are open."""

    def __init__(self):
        self.lived, self.open, self.away = {"us": 100.0}, (), False

    async def note_replica(self, _name, _seconds):
        if self.away:
            raise JournalError("away")
        return self.lived

    async def open_rollbacks(self):
        return self.open


@pytest.fixture
def replicas():
    return Replicas()


async def shared(replicas, count=4):
    """Our part, and the shards."""
    ours = Share(runtime(replicas), "us", count)
    await ours._say()
    return ours, [Shard(number, count, Fence(shard=number), replicas, replicas) for number in range(count)]


async def test_a_replica_alone_wants_all_and_gives_up_none(replicas):
    ours, shards = await shared(replicas)
    assert [ours.wants(each) for each in shards] == [True] * 4
    assert [await ours.gives_up(each) for each in shards] == [False] * 4


async def test_before_it_knows_who_lives_it_wants_none_and_later_what_it_knew_last_counts(replicas):
    replicas.away = True
    ours, shards = await shared(replicas)
    assert not any(ours.wants(each) for each in shards)
    replicas.away = False
    await ours._say()
    replicas.away = True
    await ours._say()
    assert all(ours.wants(each) for each in shards)


async def test_half_is_given_up_to_another_once_it_has_settled(replicas):
    replicas.lived["other"] = SETTLED - 1
    ours, shards = await shared(replicas)
    assert sum(ours.wants(each) for each in shards) == 2
    assert not any([await ours.gives_up(each) for each in shards])
    replicas.lived["other"] = SETTLED
    await ours._say()
    assert [await ours.gives_up(each) for each in shards] == [not ours.wants(each) for each in shards]


async def test_nothing_is_given_up_in_the_middle_of_a_rollback(replicas):
    replicas.lived["other"] = SETTLED
    ours, shards = await shared(replicas)
    replicas.open = (rollback("r1"),)
    assert not any([await ours.gives_up(each) for each in shards])


def test_each_shards_note_moves_on_the_moments_of_its_own_targets_alone():
    name, number = "checkout", shard_of("checkout", 4)
    other = (number + 1) % 4
    body = records.codec.dump(TargetState(name, looked_at=100.0))
    notes = records.with_watched(None, (other, 4), Watched(50.0, 300.0))
    assert records.state_in(name, body, notes).looked_at == 100.0
    notes = records.with_watched(notes, (number, 4), Watched(50.0, 200.0))
    assert records.state_in(name, body, notes).looked_at == 200.0
    notes = records.with_watched(notes, (number, 4), Watched(50.0, 250.0, (name,)))
    assert records.state_in(name, body, notes).looked_at == 100.0


def test_the_note_of_a_time_without_shards_is_still_true_with_them_and_goes_with_the_next_one_without():
    plain = records.with_watched(None, (0, 1), Watched(50.0, 200.0))
    body = records.codec.dump(TargetState("checkout", looked_at=100.0))
    both = records.with_watched(plain, ((shard_of("checkout", 4) + 1) % 4, 4), Watched(50.0, 300.0))
    assert records.state_in("checkout", body, both).looked_at == 200.0
    assert records.with_watched(both, (0, 1), Watched(50.0, 400.0)) == records.codec.dump(Watched(50.0, 400.0))


@pytest.mark.parametrize("note", ['{"shards":', '{"shards":[[1]]}', '{"shards":[["a",4,"{}"]]}', "[]", ""])
def test_a_damaged_note_says_nothing(note):
    body = records.codec.dump(TargetState("checkout", looked_at=100.0))
    assert records.state_in("checkout", body, note).looked_at == 100.0
