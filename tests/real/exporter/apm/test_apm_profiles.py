"""The profiling switches, with the vendors' real profilers: on where asked for, with our tags; else off."""

import contextlib
import time

import pytest

from real.exporter.apm.running import Shop, options

OFF_SECONDS = 4.0  # a profiler that is on sends two profiles in this time


@contextlib.contextmanager
def profiled(folder, agent, service, **environment):
    """A shop that sends a profile every second, if it profiles."""
    with Shop(
        folder, "plain_asgi", DD_TRACE_AGENT_URL=agent.url, SERVICE=service, DD_PROFILING_UPLOAD_INTERVAL="1",
        **environment,
    ) as shop:  # fmt: skip
        yield shop


@pytest.mark.parametrize(
    "switch",
    [{"OPTIONS": options(profiling=True)}, pytest.param({"REARGUARD_PROFILING": "on"}, marks=pytest.mark.soak)],
    ids=["argument", "variable"],
)
def test_datadog_gets_profiles_with_the_tags_of_the_metrics(switch, agent, tmp_path):
    service = f"profiled-{'-'.join(switch).lower()}"
    with profiled(tmp_path, agent, service, **switch) as shop:
        deadline = time.monotonic() + 60
        while not (profiles := agent.profiles(service)):
            assert shop.get("/items/3")[0] == 200
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert {"env:staging", "version:1.4.2"} <= profiles[0]
    assert shop.complaints() == []


@pytest.mark.soak
@pytest.mark.parametrize(
    "switch",
    [{}, {"OPTIONS": options(profiling=True), "DD_PROFILING_ENABLED": "false"}],
    ids=["nobody asked", "DD_PROFILING_ENABLED=false"],
)
def test_datadog_gets_no_profiles_otherwise(switch, agent, tmp_path):
    service = f"unprofiled-{len(switch)}"
    with profiled(tmp_path, agent, service, **switch) as shop:
        until = time.monotonic() + OFF_SECONDS
        while time.monotonic() < until:
            assert shop.get("/items/3")[0] == 200
            time.sleep(0.1)
        agent.wait(service, 1)
    assert agent.profiles(service) == []


@pytest.mark.soak
def test_a_profiler_that_the_application_started_stays_the_only_one(agent, tmp_path):
    own = {"OWN_DATADOG": "1", "DD_PROFILING_ENABLED": "true", "DD_UNLOAD_MODULES_FROM_SITECUSTOMIZE": "false"}
    with Shop(
        tmp_path, "plain_asgi", "before", DD_TRACE_AGENT_URL=agent.url, SERVICE="own-profiler",
        DD_PROFILING_UPLOAD_INTERVAL="1", OPTIONS=options(profiling=True), **own,
    ) as shop:  # fmt: skip
        deadline = time.monotonic() + 60
        while not agent.profiles("own-profiler"):
            assert shop.get("/items/3")[0] == 200
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert "already running" not in shop.said()


@pytest.mark.soak
def test_sentry_gets_no_profiles_unless_asked_for(sentry, tmp_path):
    with Shop(tmp_path, "plain_asgi", SENTRY_DSN=sentry.dsn) as shop:
        for _ in range(50):
            assert shop.get("/items/3")[0] == 200
        sentry.wait("transaction", 50)
    assert sentry.of("profile_chunk") + sentry.of("profile") == []
