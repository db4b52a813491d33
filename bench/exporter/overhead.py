"""What measuring a request costs, as a ratio to the floor; peers beside it where they are installed.

Each variant has a process of its own, where floor, bare application and measured application are timed in turn. The
floor is one Counter.inc and one Histogram.observe on cached children of prometheus_client.
Here: variants and goals. Never here: applications (apps).
"""

import asyncio
import gc
import inspect
import json
import statistics
import subprocess
import sys
from time import perf_counter

import apps

CHUNKS = 600
AT_ONCE = 20  # requests of a chunk: so short that most chunks are not interrupted, also on a busy machine
FLOOR_CALLS = 300
ROUNDS = 3
BRIEF = {"ROUNDS": 1, "CHUNKS": 2}


def _monitor():
    from rearguard_exporter import Monitor

    return Monitor("bench", "1", "test")


def _ours_aiohttp(routes):
    app = apps.aiohttp(routes)
    _monitor().instrument_aiohttp(app)
    return app


def _instrumentator(make):
    def made(routes):
        from prometheus_fastapi_instrumentator import Instrumentator

        app = make(routes)
        Instrumentator().instrument(app)
        return app

    return made


def _aiohttp_peer(routes):
    from aiohttp_prometheus_exporter.middleware import prometheus_middleware_factory

    return apps.aiohttp(routes, [prometheus_middleware_factory()])


def _flask_peer(routes):
    from prometheus_flask_exporter import PrometheusMetrics

    app = apps.flask(routes)
    PrometheusMetrics(app, group_by="url_rule")
    return app


# name -> bare application, measured application, runner, goal (None: a peer)
VARIANTS = {
    "Starlette": (apps.starlette, lambda n: _monitor().instrument_asgi(apps.starlette(n)), apps.asgi_runner, 2.5),
    "FastAPI": (apps.fastapi, lambda n: _monitor().instrument_asgi(apps.fastapi(n)), apps.asgi_runner, 4),
    "aiohttp": (apps.aiohttp, _ours_aiohttp, apps.aiohttp_runner, 4),
    "aiohttp, with its server": (apps.aiohttp, _ours_aiohttp, apps.aiohttp_served_runner, 4),
    "plain WSGI": (apps.wsgi, lambda n: _monitor().instrument_wsgi(apps.wsgi(n)), apps.wsgi_runner, 2.5),
    "Flask": (apps.flask, lambda n: _monitor().instrument_wsgi(apps.flask(n)), apps.wsgi_runner, 6),
    "Django": (apps.django, lambda n: _monitor().instrument_wsgi(apps.django(n)), apps.wsgi_runner, 9),
    "Starlette, instrumentator": (apps.starlette, _instrumentator(apps.starlette), apps.asgi_runner, None),
    "FastAPI, instrumentator": (apps.fastapi, _instrumentator(apps.fastapi), apps.asgi_runner, None),
    "aiohttp, aiohttp-prometheus-exporter": (apps.aiohttp, _aiohttp_peer, apps.aiohttp_runner, None),
    "Flask, prometheus-flask-exporter": (apps.flask, _flask_peer, apps.wsgi_runner, None),
}


def run(report):
    report.title("overhead a request: x floor (Counter.inc + Histogram.observe), 20 routes")
    for name, (*_, goal) in VARIANTS.items():
        figures = [figure for _ in range(ROUNDS) if (figure := _in_process(name, 20)) is not None]
        if not figures:
            report.note(f"{name}: not installed (bench/exporter/requirements.txt)")
            continue
        ratio = statistics.median(figure["ratio"] for figure in figures)
        if goal is None:
            report.note(f"{name:<58} {ratio:9.2f}")
        else:
            report.goal(name, ratio, goal)
    report.title("200 routes against 20: ratio of the overheads")
    for name in ("Starlette", "FastAPI", "aiohttp", "Flask"):
        pairs = [(_in_process(name, 200), _in_process(name, 20)) for _ in range(ROUNDS)]
        report.goal(name, statistics.median(many["ratio"] / few["ratio"] for many, few in pairs), 1.2)


def _in_process(name, routes):
    command = [sys.executable, __file__, name, str(routes), str(CHUNKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if "ModuleNotFoundError" in done.stderr:
        return None
    raise RuntimeError(done.stderr)


def cached():
    """The counter and the histogram whose use is the floor."""
    from prometheus_client import CollectorRegistry, Counter, Histogram

    registry = CollectorRegistry()
    labels = ("method", "route", "status")
    counter = Counter("floor_requests", "x", labels, registry=registry).labels("GET", "/a", "200")
    return counter, Histogram("floor_seconds", "x", labels, registry=registry).labels("GET", "/a", "200")


def _floor():
    counter, histogram = cached()

    def run():
        began = perf_counter()
        for _ in range(FLOOR_CALLS):
            counter.inc()
            histogram.observe(0.004)
        return (perf_counter() - began) / FLOOR_CALLS

    return run


async def _made(runner):
    return await runner if inspect.isawaitable(runner) else runner


async def _measure(name, routes, chunks):
    apps.N = AT_ONCE
    make, instrumented, runner, _ = VARIANTS[name]
    path = f"/r{routes // 2}/42"
    floor, bare, measured = (
        _floor(),
        await _made(runner(make(routes), path)),
        await _made(runner(instrumented(routes), path)),
    )
    for _ in range(100):
        floor(), await bare(), await measured()
    gc.collect()
    gc.freeze()
    bases, overs = [], ([], [])
    for number in range(chunks):
        bases.append(floor())
        first = await (bare, measured)[number % 2]()  # in turns: whichever comes first runs colder
        second = await (measured, bare)[number % 2]()
        overs[number % 2].append(second - first if number % 2 == 0 else first - second)
    base, over = statistics.median(bases), statistics.mean(map(statistics.median, overs))
    print(json.dumps({"floor_us": base * 1e6, "over_us": over * 1e6, "ratio": over / base}))


if __name__ == "__main__":
    asyncio.run(_measure(sys.argv[1], *map(int, sys.argv[2:])))
