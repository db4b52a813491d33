"""Targets whose version Prometheus names: which one serves, what is judged of them, and that nothing is put back."""

import asyncio
import subprocess

import pytest

from local_stack.binaries import environment, find
from real.controller.served import BASE, serving
from real.controller.test_bootstrap import info, labels, span_of
from real.controller.test_cli import rearguard
from real.controller.test_watching import until
from real.prometheus import running
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.adapters.prometheus.serving import serving_version
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import PrometheusRelease

BUILD = 'build_info{namespace="shop",instance="go:80",version="%s"}'
HISTORY = {
    "target_info": [
        *span_of(info("steady", "v1"), 60, 0),
        *span_of(info("rolling", "v1"), 60, 0),  # the old one is still there
        *span_of(info("rolling", "v2"), 1, 0),
        *span_of(info("put-back", "v1"), 120, 60),
        *span_of(info("put-back", "v2"), 60, 0),
        *span_of(info("put-back", "v1"), 1, 0),  # comes back, and v2 is not gone yet
        *span_of(info("long-canary", "v1"), 1600, 0),
        *span_of(info("long-canary", "v2"), 400, 0),
        *span_of(info("down", "v1"), 120, 80.25),
        *span_of(info("down", "v2"), 80, 50),
        *span_of(info("nameless", "unknown"), 10, 0),
        *span_of("target_info" + labels("empty", 'job="shop",instance="e:80"'), 10, 0),
        *span_of(info("half", "unknown"), 10, 0),
        *span_of(info("half", "v3"), 10, 0),
    ],
    "build_info": [*span_of(BUILD % "1.2.2", 120, 60), *span_of(BUILD % "1.2.3", 60, 0)],
}
OBSERVED = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 1h}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
targets:
  - name: steady
    match: {{service_name: steady, deployment_environment_name: production}}
    release: {{prometheus: {{}}}}
  - name: nameless
    match: {{service_name: nameless, deployment_environment_name: production}}
    release: {{prometheus: {{}}}}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    lines = [line for name, series in HISTORY.items() for line in (f"# TYPE {name} gauge", *series)]
    (folder / "history").write_text("\n".join([*lines, "# EOF"]) + "\n")
    made = [find("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "history", folder / "data"]
    subprocess.run(made, env=environment(), check=True, capture_output=True, timeout=60)
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1h}\n")
    with running(folder, "--query.lookback-delta=30m") as found:  # the history ages while the tests wait their turn
        yield found


@pytest.fixture
async def prometheus(address):
    edge = Prometheus(PrometheusSettings(urls=(address,)), timeout=30)
    yield edge
    await edge.close()


def of(service, **fields):
    return PrometheusRelease({"service_name": service, "deployment_environment_name": "production"}, **fields)


@pytest.mark.parametrize(
    ("service", "serves"),
    [
        ("steady", "v1"),
        ("rolling", "v2"),
        ("put-back", "v2"),
        ("long-canary", "v2"),
        ("down", "v2"),
        ("half", "v3"),
    ],
)
async def test_the_version_that_serves_is_the_newest_that_is_shown_or_was_shown_last(prometheus, service, serves):
    assert await serving_version(prometheus, of(service)) == serves


async def test_any_metric_and_label_may_name_the_version(prometheus):
    release = PrometheusRelease({"namespace": "shop"}, "build_info", "version")
    assert await serving_version(prometheus, release) == "1.2.3"


@pytest.mark.parametrize(
    ("service", "cause", "cure"),
    [
        ("nameless", "has service_version=unknown.", "REARGUARD_VERSION"),
        ("empty", "has no service_version.", "REARGUARD_VERSION"),
        ("nowhere", "had none within 1d", "spelt as Prometheus shows it?"),
    ],
)
async def test_a_version_that_nobody_tells_is_told_with_cause_and_cure(prometheus, service, cause, cure):
    with pytest.raises(SourceError) as caught:
        await serving_version(prometheus, of(service))
    assert cause in caught.value.message
    assert cure in caught.value.message


async def test_an_observed_target_needs_no_command_and_nothing_of_it_is_put_back(tmp_path, address):
    async with serving(tmp_path, prometheus=address, configuration=OBSERVED) as service:

        async def shown():
            _, status = await service.get(f"{BASE}/rollback/status")
            found = {each["name"]: each for each in status["targets"]}
            return found if found["steady"]["serving_version"] else None

        await until(shown)
        found = await shown()
        assert found["steady"]["serving_version"] == "v1"
        lacks = {each["name"]: each for each in found["nameless"]["not_ready"]}
        assert lacks["current"]["holds"] is False
        assert "No instance tells its version" in lacks["current"]["detail"]
        parts = service.controller.parts
        check = await parts.readiness.rollback_command(parts.configuration.targets[0])
        assert (check.holds, "only observed" in check.detail) == (True, True)
        wish = {"target": "steady", "reason": "try", "to_version": "v0", "force": True}
        status, refused = await service.post(f"{BASE}/rollback/trigger", wish)
        assert status == 409
        assert "only observed: its file names no way to put a version back" in refused["error"]["message"]
        assert "command with `rollback`" in refused["error"]["hint"]
        status, dry = await service.post(f"{BASE}/rollback/trigger", {**wish, "dry_run": True})
        assert status == 200
        assert [each["action"] for each in dry["plan"]] == [{"observed": True}]


async def test_before_any_decision_explain_says_what_is_known_and_what_would_be_in_the_way(tmp_path, address):
    async with serving(tmp_path, prometheus=address, configuration=OBSERVED) as service:

        async def explained(name):
            return await asyncio.to_thread(rearguard, "explain", name, url=service.url, token=tmp_path / "viewer")

        async def known():
            return "v1 serves since" in (await explained("steady")).stdout

        await until(known)
        done = await explained("steady")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("No alert of steady was judged so far. What is known of it now:\n")
        assert "nothing is put back (mode observe)" in " ".join(done.stdout.split())
        assert "If its first trigger alert fired now" in done.stdout
        assert "It is made up: nothing is recorded, counted or done." in " ".join(done.stdout.split())
        for reason in ("mode_allows", "alert_confirmed", "recent_release", "known_good_exists", "no_storm"):
            assert reason in done.stdout
        _, decided = await service.get(f"{BASE}/decisions")
        assert decided["decisions"] == []
        done = await explained("nameless")
        assert "No instance tells its version" in " ".join(done.stdout.split())
        done = await explained("nobody")
        assert done.returncode == 1
        assert "No rollback, decision, decided target or alert is called nobody." in done.stderr
