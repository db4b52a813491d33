"""What a scrape of 100,000 lines costs, and what a child weighs.

Here: microseconds a line (cold, warm with a tenth changed), lateness added to a heartbeat on the loop, bytes a child,
and the official encoder beside it. Never here: requests (overhead).
"""

import asyncio
import statistics
import tracemalloc
from time import perf_counter

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from rearguard_exporter import Monitor
from rearguard_exporter.exposition.accept import asked
from rearguard_exporter.exposition.foreign import Patience
from rearguard_exporter.exposition.render import Sources, prepare, steps
from rearguard_exporter.families import HTTP_DURATION
from rearguard_exporter.values.slots import Slots

CHILDREN = 5900
LINES = CHILDREN * HTTP_DURATION.lines
ROUNDS = 5
BRIEF = {"ROUNDS": 1}
KEYS = [("GET", f"/route/{number}", "200", "") for number in range(CHILDREN)]
VALUES = (0.001, 0.02, 0.3, 20.0)


def run(report):
    report.title(f"a scrape of {LINES} lines")
    cold, warm, official = zip(*[_render() for _ in range(ROUNDS)], strict=True)
    report.goal("render, cold, us a line", statistics.median(cold), 1.0)
    report.goal("render, warm (a tenth changed), us a line", statistics.median(warm), 0.4)
    report.note(f"prometheus_client, us a line: {statistics.median(official):.2f}")
    for encoding in ("", "gzip"):
        late = asyncio.run(_lateness(encoding))
        report.goal(f"worst added lateness of the loop, ms, {encoding or 'identity'}", late, 5)
    report.title("memory")
    report.goal("bytes a histogram child, one thread writing", _weight(), 700)


def _fill(slots, keys=KEYS):
    for key in keys:
        for value in VALUES:
            slots.observe(key, value)


def _render():
    slots, form = Slots(HTTP_DURATION, CHILDREN), asked("", "")
    _fill(slots)
    took = []
    for _ in range(2):
        began = perf_counter()
        for _ in steps(prepare(Sources([slots]), form, Patience(1), {}), form, {}):
            pass
        took.append((perf_counter() - began) / LINES * 1e6)
        _fill(slots, KEYS[::10])
    theirs = CollectorRegistry()
    histogram = Histogram("h", "x", HTTP_DURATION.labels, registry=theirs, buckets=HTTP_DURATION.bounds)
    for key in KEYS:
        histogram.labels(*key).observe(0.1)
    began = perf_counter()
    generate_latest(theirs)
    return (*took, (perf_counter() - began) / LINES * 1e6)


async def _lateness(encoding):
    """Milliseconds: the median over scrapes of the worst lateness, less what the idle loop has."""
    monitor = Monitor("bench", "1", "test", series_limit=CHILDREN, registry=CollectorRegistry())
    endpoint, slots = monitor._endpoints.metrics, monitor._instruments.http_duration
    form = asked("", encoding)

    async def scrape():
        await endpoint.shared(form)

    idle, worst = [], []
    for _ in range(ROUNDS):
        _fill(slots)
        idle.append(await _beat(asyncio.sleep(0.3)))
        worst.append(await _beat(scrape()))
    monitor.close()
    return max(0.0, statistics.median(worst) - statistics.median(idle))


async def _beat(work):
    task = asyncio.ensure_future(work)
    late = 0.0
    while not task.done():
        due = perf_counter() + 0.001
        await asyncio.sleep(0.001)
        late = max(late, perf_counter() - due)
    await task
    return late * 1000


def _weight():
    slots = Slots(HTTP_DURATION, CHILDREN)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    _fill(slots)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / CHILDREN
