"""Many processes: what a scrape of 16 workers costs, what it costs after 1,000 were replaced, and an observation.

Here: the workers' folder beside prometheus_client's multiprocess mode, in the same run. Each worker is a process, so
that its file is left as a real one leaves it. Never here: servers (tests/real/exporter).
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

WORKERS = 16
CHILDREN = 589  # 17 lines each: 10,013 lines
RECYCLED = 1000
SCRAPES = 40  # fewer, and chance decides
PEERS_SCRAPES = 5  # each takes a second
ROUNDS = 5
BRIEF = {"WORKERS": 2, "RECYCLED": 20, "SCRAPES": 1, "PEERS_SCRAPES": 1, "ROUNDS": 1}
VALUES = (0.001, 0.02, 0.3, 20.0)


def run(report):
    report.title(f"{WORKERS} workers of {CHILDREN * 17} lines each: a scrape with its text, ms")
    with tempfile.TemporaryDirectory() as folder:
        first, warm, alone, after = _in_process("ours", folder)
        report.note(f"the first scrape of a process: {first:.0f}")
        report.goal("a further scrape, a tenth changed, ms", warm, 150)
        report.note(f"prometheus_client's multiprocess mode: {_in_process('theirs', folder)[0]:.0f}")
        report.goal(f"after {RECYCLED} workers were replaced, against none (processor time)", after / alone, 1.1)
    report.title("an observation with workers_dir, against one without")
    ratios = [_in_process("observe", ".") for _ in range(ROUNDS)]
    report.goal("Slots.observe", statistics.median(each[0] for each in ratios), 1.3)
    report.goal("a request of plain WSGI", statistics.median(each[1] for each in ratios), 1.3)
    report.note(f"prometheus_client, Histogram.observe: {statistics.median(each[2] for each in ratios):.2f}")


def _in_process(what, folder, **environment):
    scrapes = PEERS_SCRAPES if what == "theirs" else SCRAPES
    command = [sys.executable, __file__, what, str(folder), json.dumps([WORKERS, RECYCLED, scrapes])]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env={**os.environ, **environment}
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _monitor(folder):
    from rearguard_exporter import Monitor

    return Monitor("bench", "1", "test", workers_dir=folder)


def _key(number):
    return "GET", f"/route/{number}", "200", ""


def _count(monitor, children=CHILDREN, first=0):
    for number in range(first, first + children):
        for value in VALUES:
            monitor._instruments.http_duration.observe(_key(number % CHILDREN), value)


def _forked(work):
    """A process that did its work, and waits to be killed."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        work()
        os.write(told, b"x")
        signal.pause()
    os.close(told)
    assert os.read(ready, 1) == b"x"
    os.close(ready)
    return child


def _end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _scrape(monitor, clock=perf_counter):
    began = clock()
    monitor._endpoints.metrics.render("", "")
    return (clock() - began) * 1000


def _ours(folder, workers, recycled, scrapes):
    """The first scrape, further ones; then in turns a folder where no worker was replaced, and one of many."""
    alone, replaced = monitors = [_monitor(Path(folder) / name) for name in ("alone", "replaced")]
    running = []
    for monitor in monitors:
        running += [_forked(partial(_count, monitor)) for _ in range(workers - 1)]
        _count(monitor)
    first = _scrape(alone)
    for number in range(recycled):
        _end(_forked(partial(_count, replaced, 20, 20 * number)))  # one after the other: all that there are
    for monitor in monitors:
        _scrape(monitor)
    warm, of_processor = [], ([], [])
    for _ in range(scrapes):
        _count(alone, CHILDREN // 10)
        warm.append(_scrape(alone))
    for _ in range(scrapes):
        for monitor, took in zip(monitors, of_processor, strict=True):
            _count(monitor, CHILDREN // 10)
            took.append(_scrape(monitor, process_time))  # whatever else the machine does
    for each in running:
        _end(each)
    return first, statistics.median(warm), *map(statistics.median, of_processor)


def _theirs(folder, workers, _, scrapes):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(folder) / "theirs")
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir()
    from prometheus_client import CollectorRegistry, Histogram, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    from rearguard_exporter.families import HTTP_DURATION

    histogram = Histogram("h", "x", HTTP_DURATION.labels, buckets=HTTP_DURATION.bounds)

    def count():
        for number in range(CHILDREN):
            for value in VALUES:
                histogram.labels(*_key(number)).observe(value)

    running = [_forked(count) for _ in range(workers)]
    took = []
    for _ in range(scrapes):
        began = perf_counter()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        generate_latest(registry)
        took.append((perf_counter() - began) * 1000)
    for each in running:
        _end(each)
    return (statistics.median(took),)


def _observe(*_):
    import asyncio

    import apps

    from rearguard_exporter import Monitor

    def timed(monitor):
        slots = monitor._instruments.http_duration

        def go():
            began = perf_counter()
            for _ in range(3000):
                slots.observe(("GET", "/a", "200", ""), 0.02)
            return perf_counter() - began

        return go

    async def measure(folder):
        one, shared = Monitor("bench", "1", "test"), _monitor(folder)
        plain = [timed(one), timed(shared)]
        runners = [apps.wsgi_runner(each.instrument_wsgi(apps.wsgi(1)), "/r0/42") for each in (one, shared)]
        bare = apps.wsgi_runner(apps.wsgi(1), "/r0/42")
        observed, asked = [], []
        for _ in range(40):
            alone, together = plain[0](), plain[1]()
            observed.append(together / alone)
            floor = await bare()
            asked.append((await runners[1]() - floor) / (await runners[0]() - floor))
        return statistics.median(observed), statistics.median(asked)

    with tempfile.TemporaryDirectory() as folder:
        observed, asked = asyncio.run(measure(folder))
    return observed, asked, _theirs_observe()


def _theirs_observe():
    """How much longer an observation takes in prometheus_client's multiprocess mode."""
    program = (
        "from time import perf_counter\n"
        "from prometheus_client import Histogram\n"
        "h = Histogram('h', 'x', ['a']).labels('b')\n"
        "def go():\n b = perf_counter()\n for _ in range(3000): h.observe(0.02)\n return perf_counter() - b\n"
        "print(sorted(go() for _ in range(21))[10])"
    )
    took = []
    with tempfile.TemporaryDirectory() as folder:
        for environment in ({}, {"PROMETHEUS_MULTIPROC_DIR": folder}):
            done = subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, **environment},
            )
            took.append(float(done.stdout))
    return took[1] / took[0]


if __name__ == "__main__":
    print(
        json.dumps(
            {"ours": _ours, "theirs": _theirs, "observe": _observe}[sys.argv[1]](
                sys.argv[2], *json.loads(sys.argv[3])
            )
        )
    )
