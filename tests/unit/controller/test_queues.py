"""What waits to be judged: what a delivery said outlives what Prometheus' own list says of the same alert."""

import asyncio
from dataclasses import replace

from deadline import in_time
from rearguard_controller.intake.queues import MOST_WAITING, Queues, Waiting
from unit.controller.factories import NOW, TARGET, alert


async def test_a_poll_that_finds_a_delivered_alert_leaves_when_it_came_and_since_when_it_fires():
    judged = asyncio.Event()
    seen = []

    async def judge(_target, batch):
        seen.extend(batch)
        judged.set()

    queues = Queues(judge, failed=lambda: None, drained=lambda: None)
    pending_since = replace(alert(), starts_at=NOW - 100)
    queues.put(TARGET, Waiting(alert(), received_at=NOW, ids=(1,), fired_at=NOW - 3))
    queues.put(TARGET, Waiting(pending_since))
    await in_time(judged.wait(), 30)
    await queues.close()
    assert seen == [Waiting(pending_since, received_at=NOW, ids=(1,), fired_at=NOW - 3)]


async def test_a_full_queue_leaves_new_alerts_in_the_inbox_and_takes_repetitions_of_those_that_wait():
    batches, drained = [], asyncio.Event()

    async def judge(_target, batch):
        batches.append(batch)

    queues = Queues(judge, failed=lambda: None, drained=drained.set)
    for number in range(MOST_WAITING):
        queues.put(TARGET, Waiting(alert(f"A{number}"), received_at=NOW, ids=(number,)))
    queues.put(TARGET, Waiting(alert("A7"), received_at=NOW + 1, ids=(5000,)))
    queues.put(TARGET, Waiting(alert("New"), received_at=NOW + 1, ids=(5001,)))
    assert {5000, 5001} <= queues.in_hand  # not to be read again for now
    await in_time(drained.wait(), 30)
    (batch,) = batches
    assert len(batch) == MOST_WAITING
    assert (batch[7].ids, batch[7].received_at) == ((7, 5000), NOW + 1)
    assert queues.in_hand == frozenset()  # what did not fit is read again
    await queues.close()


async def test_a_queue_holds_alerts_up_to_a_bound_in_bytes_and_the_others_stay_in_the_inbox():
    batches, drained = [], asyncio.Event()

    async def judge(_target, batch):
        batches.append(batch)

    def wordy(number, size):
        return replace(alert(f"A{number}"), annotations={"text": "x" * size})

    queues = Queues(judge, failed=lambda: None, drained=drained.set)
    for number in range(100):
        queues.put(TARGET, Waiting(wordy(number, 100_000), received_at=NOW, ids=(number,)))
    queues.put(TARGET, Waiting(wordy(3, 180_000), received_at=NOW + 1, ids=(300,)))
    await in_time(drained.wait(), 30)
    (batch,) = batches
    assert 35 < len(batch) < 42
    assert sum(len(each.alert.annotations["text"]) for each in batch) <= 4 * 1024 * 1024
    assert batch[3].ids == (3, 300)
    assert queues.in_hand == frozenset()  # what did not fit is read again
    drained.clear()
    queues.put(TARGET, Waiting(wordy(0, 5_000_000), received_at=NOW, ids=(0,)))
    await in_time(drained.wait(), 30)
    assert [len(each) for each in batches[1:]] == [1]  # one alert always fits
    await queues.close()


async def test_what_was_delivered_is_judged_before_what_a_poll_found_which_waits_for_few_batches_only():
    """A poll finds all alerts of a storm again: judging them once more held up those that came meanwhile."""
    batches, judging, go_on, done = [], asyncio.Event(), asyncio.Semaphore(0), asyncio.Event()

    async def judge(_target, batch):
        batches.append({each.alert.name for each in batch})
        judging.set()
        await go_on.acquire()
        if "Found" in batches[-1]:
            done.set()

    queues = Queues(judge, failed=lambda: None, drained=lambda: None)
    queues.put(TARGET, Waiting(alert("First"), received_at=NOW, ids=(1,)))
    await in_time(judging.wait(), 30)
    queues.put(TARGET, Waiting(alert("Found")))
    for number in range(2, 8):
        judging.clear()
        queues.put(TARGET, Waiting(alert(f"Delivered{number}"), received_at=NOW, ids=(number,)))
        go_on.release()
        await in_time(judging.wait(), 30)
    go_on.release()
    await in_time(done.wait(), 30)
    await queues.close()
    assert batches[1] == {"Delivered2"}
    assert "Found" in set().union(*batches[2:5])


async def test_closed_queues_begin_nothing_and_keep_nothing_from_being_read_again():
    """A poll may still find an alert when its leader is being stopped."""
    batches = []

    async def judge(_target, batch):
        batches.append(batch)

    queues = Queues(judge, failed=lambda: None, drained=lambda: None)
    await queues.close()
    before = asyncio.all_tasks()
    queues.put(TARGET, Waiting(alert(), received_at=NOW, ids=(1,)))
    assert (asyncio.all_tasks(), queues.in_hand) == (before, frozenset())
    queues.open()
    queues.put(TARGET, Waiting(alert(), received_at=NOW, ids=(1,)))
    deadline = asyncio.get_running_loop().time() + 5
    while not batches:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    await queues.close()
