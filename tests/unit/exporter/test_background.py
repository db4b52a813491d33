"""Threads and loop jobs: started once, stopped wholly, moved when their loop ends."""

import asyncio
import threading

import pytest
from prometheus_client import Histogram

from rearguard_exporter.background import LoopJobs, Ticker
from rearguard_exporter.server import parse_address


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
    assert enough.wait(5)
    ticker.stop()
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
            assert served.entered.wait(5)
        first.end.set()
        first.join(5)
        with changed:
            assert changed.wait_for(lambda: len(ran_on) == 2, 5)
        assert ran_on == [first.loop, second.loop]
        assert first.last is False
    finally:
        for served in (first, second):
            served.end.set()
            served.join(5)
    assert second.last is True


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
