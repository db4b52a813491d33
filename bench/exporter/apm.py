"""What Sentry and Datadog add to a request, beside the exporter alone and the SDKs alone, as a ratio to the floor.

Each variant has a process of its own, because an SDK changes every application of its process. Processor time, that
of the SDKs' threads included. Nothing is sent to Sentry: its transport drops it. Datadog's agent is not there.
Here: variants. Never here: applications (apps), the floor (overhead).
"""

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
from time import process_time

import apps
from overhead import cached

CHUNKS = 20
ROUNDS = 3
BRIEF = {"ROUNDS": 1, "CHUNKS": 2}
DSN = "http://key@127.0.0.1:9/1"


def _monitor(**options):
    from rearguard_exporter import Monitor

    return Monitor("bench", "1", "test", **options)


def _sentry(rate):
    from sentry_sdk.transport import Transport

    class Dropping(Transport):
        def capture_envelope(self, envelope):
            pass

    return {"dsn": DSN, "transport": Dropping, "traces_sample_rate": rate}


def _bare():
    return apps.fastapi(20)


def _ours():
    return _monitor().instrument_asgi(apps.fastapi(20))


def _ours_sentry(rate=1.0):
    return _monitor(sentry=_sentry(rate)).instrument_asgi(apps.fastapi(20))


def _sentry_alone(rate=1.0):
    import sentry_sdk

    sentry_sdk.init(**_sentry(rate))
    return apps.fastapi(20)


def _drop_traces():
    os.environ.update(DD_TRACE_AGENT_URL="http://127.0.0.1:9", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
    logging.disable(logging.CRITICAL)


def _ours_datadog():
    _drop_traces()
    return _monitor(datadog=True).instrument_asgi(apps.fastapi(20))


def _datadog_alone():
    _drop_traces()
    import ddtrace

    ddtrace.patch(fastapi=True, starlette=True)
    return apps.fastapi(20)


VARIANTS = {
    "bare": _bare,
    "exporter": _ours,
    "exporter, Sentry, errors alone": lambda: _ours_sentry(0.0),
    "Sentry's SDK alone, errors alone": lambda: _sentry_alone(0.0),
    "exporter, Sentry, every request traced": _ours_sentry,
    "Sentry's SDK alone, every request traced": _sentry_alone,
    "exporter, Datadog": _ours_datadog,
    "Datadog's tracer alone": _datadog_alone,
}


def run(report):
    report.title("FastAPI with Sentry and Datadog, a request: x floor above the bare application")
    figures = {name: _median(name) for name in VARIANTS}
    for name, figure in figures.items():
        if name != "bare":
            report.note(f"{name:<58} {figure - figures['bare']:9.1f}")


def _median(name):
    return statistics.median(_in_process(name) for _ in range(ROUNDS))


def _in_process(name):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SENTRY_", "DD_"))}
    command = [sys.executable, __file__, name, str(CHUNKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _floor():
    counter, histogram = cached()

    def run():
        began = process_time()
        for _ in range(apps.N):
            counter.inc()
            histogram.observe(0.004)
        return (process_time() - began) / apps.N

    return run


async def _measure(name, chunks):
    floor, measured = _floor(), apps.asgi_runner(VARIANTS[name](), "/r10/42")
    for _ in range(3):
        floor(), await measured()
    rows = []
    for _ in range(chunks):
        base = floor()
        began = process_time()
        await measured()
        rows.append((process_time() - began) / apps.N / base)
    print(json.dumps(statistics.median(rows)), flush=True)


if __name__ == "__main__":
    asyncio.run(_measure(sys.argv[1], int(sys.argv[2])))
    os._exit(0)  # no wait for receivers that are not there
