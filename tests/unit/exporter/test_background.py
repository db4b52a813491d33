"""Threads and loop jobs: started once, stopped wholly, moved when their loop ends."""

import asyncio
import contextlib
import threading

import pytest
from prometheus_client import Histogram

from rearguard_exporter.background.loops import LoopJobs
from rearguard_exporter.background.threads import Ticker, wait_for
from rearguard_exporter.settings import parse_address


def test_a_ticker_ticks_survives_a_fault_and_stops():
    ticks, enough = [], threading.Event()

    def tick():
        ticks.append(threading.current_thread())
        if len(ticks) == 3:
            enough.set()
        raise OSError

    ticker = Ticker("test-ticker", tick, 0.01)
    ticker.start()
    ticker.start()
    assert enough.wait(30)
    wait_for([ticker.stop()])
    assert not ticker.alive
    assert len(set(ticks)) == 1
    assert not any(thread.name == "test-ticker" for thread in threading.enumerate())


def test_a_job_moves_to_another_loop_when_its_own_ends():
    jobs = LoopJobs(Histogram("lag", "Lag.", registry=None))
    ran_on, changed = [], threading.Condition()

    async def job():
        with changed:
            ran_on.append(asyncio.get_running_loop())
            changed.notify_all()
        await asyncio.Event().wait()

    jobs.add(job)

    class Served(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.entered, self.end = threading.Event(), threading.Event()

        def run(self):
            asyncio.run(self.serve())

        async def serve(self):
            self.loop = asyncio.get_running_loop()
            jobs.enter()
            self.entered.set()
            await asyncio.to_thread(self.end.wait)
            self.last = await jobs.leave()

    first, second = Served(), Served()
    try:
        for served in (first, second):
            served.start()
            assert served.entered.wait(30)
        first.end.set()
        first.join(30)
        with changed:
            assert changed.wait_for(lambda: len(ran_on) == 2, 5)
        assert ran_on == [first.loop, second.loop]
        assert first.last is False
    finally:
        for served in (first, second):
            served.end.set()
            served.join(30)
    assert second.last is True


def test_of_two_that_end_together_one_is_the_last():
    jobs = LoopJobs(Histogram("lag", "Lag.", registry=None))
    runs, is_ending, other_left, last = threading.Event(), threading.Event(), threading.Event(), {}

    async def job():
        runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await asyncio.to_thread(other_left.wait, 5)

    async def serve(name, may_leave):
        jobs.enter()
        assert await asyncio.to_thread(runs.wait, 5)
        entered.wait(30)
        assert await asyncio.to_thread(may_leave.wait, 5)
        last[name] = await jobs.leave()
        if name == "second":
            other_left.set()

    jobs.add(job)
    entered, now = threading.Barrier(2), threading.Event()
    now.set()
    threads = [threading.Thread(target=asyncio.run, args=(serve("first", now),), daemon=True)]
    threads[0].start()
    assert runs.wait(30)
    threads.append(threading.Thread(target=asyncio.run, args=(serve("second", is_ending),), daemon=True))
    threads[1].start()
    for thread in threads:
        thread.join(10)
    assert last == {"first": False, "second": True}


def test_a_job_runs_on_one_loop_also_when_two_start_at_once_after_one_that_ended_untidily():
    jobs = LoopJobs(Histogram("lag", "Lag.", registry=None))
    ran_on, asked = [], threading.Barrier(2)

    class Untidy(asyncio.SelectorEventLoop):
        armed = False

        def is_closed(self):
            if self.armed:  # both that start meet here, unless only one at a time may ask
                with contextlib.suppress(threading.BrokenBarrierError):
                    asked.wait(0.2)
            return super().is_closed()

    async def job():
        ran_on.append(asyncio.get_running_loop())
        await asyncio.Event().wait()

    async def enter():
        jobs.enter()

    jobs.add(job)
    gone = Untidy()
    gone.run_until_complete(enter())
    for task in asyncio.all_tasks(gone):
        task.cancel()
    gone.run_until_complete(asyncio.sleep(0))
    gone.close()
    ran_on.clear()
    gone.armed = True

    async def serve():
        jobs.enter()
        for _ in range(2):  # after the second, both loops have run what they had to run when both had entered
            await asyncio.to_thread(both.wait, 5)
        seen.append((len(ran_on), len(jobs._loops)))  # the loop that has gone is forgotten
        await asyncio.to_thread(both.wait, 5)
        ended.append(await jobs.leave())

    both, seen, ended = threading.Barrier(2), [], []
    threads = [threading.Thread(target=asyncio.run, args=(serve(),), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [(1, 2), (1, 2)]
    assert sorted(ended) == [False, True]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:80", ("::1", 80)),
        (":0", ("0.0.0.0", 0)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses_are_host_and_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "9464", "localhost", "host:port", "host:99999", "http://host:1"])
def test_anything_else_says_what_would_be_right(text):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9464"):
        parse_address(text)
