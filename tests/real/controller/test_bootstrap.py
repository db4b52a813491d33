"""Day one against a real Prometheus whose history was made beforehand: what it proves is in the journal, once."""

import subprocess
import time
from dataclasses import replace

import pytest

from local_stack.binaries import environment, find
from real.prometheus import running
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.model import AlertState, Check, Release, SeenAlert, TargetState, Trust
from rearguard_controller.releases.bootstrap import Bootstrap
from rearguard_controller.releases.past import alerts_before_change
from unit.controller.factories import MINUTE, policy, target
from unit.controller.runtime_kit import runtime

END = time.time() // 15 * 15 - 120.0  # when the history ends, and the controller of these tests begins
SCRAPED = 15.0
FAILING = 'alertname="HighErrorRate",action="rollback"'


def labels(of: str, more: str) -> str:
    return f'{{service_name="{of}",deployment_environment_name="production",{more}}}'


def info(of: str, version: str) -> str:
    return "target_info" + labels(of, f'service_version="{version}",job="shop",instance="{of}:80"')


def span_of(name: str, start: float, end: float) -> list[str]:
    """A series of 1 from `start` to `end` minutes before the end of history, as often as it is scraped."""
    at, last, found = END - start * MINUTE, END - end * MINUTE, []
    while at <= last:
        found.append(f"{name} 1 {at:.0f}")
        at += SCRAPED
    return found


RULES = """
groups:
  - name: shop
    rules:
      - {record: shop:errors, expr: sum by (service_name) (errors * on (job) group_left (service_name) target_info)}
      - alert: HighErrorRate
        expr: shop:errors > 0.1
        labels: {action: rollback}
        annotations: {figure: shop:errors, threshold: "> 0.1"}
"""
HISTORY = {
    "target_info": [
        *span_of(info("checkout", "v0"), 120, 80.25),
        *span_of(info("checkout", "v1"), 80, 20.25),
        *span_of(info("checkout", "v2"), 20, 0),
        *span_of(info("odd", "--force"), 120, 80.25),
        *span_of(info("odd", "v0"), 80, 40.25),
        *span_of(info("odd", "v1"), 40, 0),
        *span_of(info("alerted", "v1"), 60, 0),
        *span_of(info("holed", "v1"), 60, 8),
        *span_of(info("holed", "v1"), 6, 0),  # two minutes are missing: shorter than what Prometheus looks back
        *span_of(info("gone", "v1"), 60, 10),
        *span_of(info("unmeasured", "v1"), 60, 0),
        *span_of(info("silent-since", "v1"), 60, 20.25),
        *span_of(info("silent-since", "v2"), 20, 0),
    ],
    "errors": [
        *(
            line
            for of in ("checkout", "odd", "alerted", "holed", "gone")
            for line in span_of(f'errors{{job="shop",instance="{of}:80"}}', 120, 0)
        ),
        *span_of('errors{job="shop",instance="silent-since:80"}', 60, 20.25),
    ],
    "ALERTS": [
        *span_of("ALERTS" + labels("checkout", f'{FAILING},alertstate="firing",service_version="v0"'), 85, 80.25),
        *span_of("ALERTS" + labels("alerted", f'{FAILING},alertstate="pending"'), 5, 4.75),
        *span_of("ALERTS" + labels("alerted", 'alertname="Quiet",severity="info",alertstate="firing"'), 40, 0),
    ],
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    lines = [line for name, series in HISTORY.items() for line in (f"# TYPE {name} gauge", *series)]
    (folder / "history").write_text("\n".join([*lines, "# EOF"]) + "\n")
    made = [find("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "history", folder / "data"]
    subprocess.run(made, env=environment(), check=True, capture_output=True, timeout=60)
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1h}\nrule_files: [rules.yml]\n")
    (folder / "rules.yml").write_text(RULES)
    with running(folder) as found:
        yield found


@pytest.fixture
async def prometheus(address):
    edge = Prometheus(PrometheusSettings(urls=(address,)))
    yield edge
    await edge.close()


@pytest.fixture
async def journal(tmp_path):
    opened = SqliteJournal.open(tmp_path / "journal.db")
    yield opened
    await opened.close()


def of_service(name, **fields):
    match = {"service_name": name, "deployment_environment_name": "production"}
    return target(name=name, match=(match,), telemetry=match, **fields)


async def adopted(journal, prometheus, it, version="v1", listed=None, against=()):
    """What is remembered of each version after the past of a target was looked at."""

    async def listing(_target):
        return listed

    await journal.change_target(it.name, lambda state: replace(state, serving_version=version, adopting=True))
    now = END + 7
    known = Release(it.name, version, now, now, served_at=now, service_version=version)
    await journal.change_release(it.name, version, lambda before: before or known)
    await Bootstrap(runtime(journal, clock=lambda: now), lambda _: prometheus, listing).look(it, known, against)
    return {each.version: each for each in await journal.releases(it.name)}


async def test_the_serving_version_and_those_before_are_known_good_as_far_as_history_proves_it(journal, prometheus):
    it = of_service("checkout")
    found = await adopted(journal, prometheus, it, "v2", frozenset({"v0", "v1", "v2"}))
    assert set(found) == {"v2", "v1"}  # v0 left with an alert
    now = found["v2"]
    assert now.served_at == pytest.approx(END - 20 * MINUTE, abs=75)  # both are in sight for a minute
    assert now.known_good_at == pytest.approx(now.served_at + 15 * MINUTE)
    before = found["v1"]
    assert before.served_at == pytest.approx(END - 80 * MINUTE, abs=75)
    assert before.last_seen == END - 20.25 * MINUTE
    assert (before.known_good_at, before.service_version) == (before.served_at + 15 * MINUTE, "v1")
    assert (await journal.target_state("checkout")).adopting is False


async def test_a_label_that_could_be_no_version_is_never_taken_for_one(journal, prometheus):
    assert set(await adopted(journal, prometheus, of_service("odd"))) == {"v0", "v1"}


@pytest.mark.parametrize("name", ["alerted", "holed", "gone", "unheard-of"])
async def test_a_version_of_which_history_proves_too_little_earns_trust_like_any_other(journal, prometheus, name):
    found = await adopted(journal, prometheus, of_service(name))
    assert {version: each.known_good_at for version, each in found.items()} == {"v1": None}
    assert (await journal.target_state(name)).adopting is False


async def test_a_version_of_which_nothing_was_ever_measured_is_adopted_only_by_up(journal, prometheus):
    assert (await adopted(journal, prometheus, of_service("unmeasured")))["v1"].known_good_at is None
    by_up = of_service("unmeasured", policy=policy(trust=Trust.BY_UP))
    assert (await adopted(journal, prometheus, by_up))["v1"].known_good_at is not None


async def test_what_was_measured_of_the_version_before_proves_nothing_for_the_one_that_serves(journal, prometheus):
    found = await adopted(journal, prometheus, of_service("silent-since"), "v2")
    assert {version: each.known_good_at is not None for version, each in found.items()} == {"v1": True, "v2": False}


async def test_a_shorter_time_is_proven_where_a_longer_one_is_not(journal, prometheus):
    short = policy(known_good_after=4 * MINUTE)
    assert (await adopted(journal, prometheus, of_service("holed", policy=short)))["v1"].known_good_at is not None
    assert (await adopted(journal, prometheus, of_service("alerted", policy=short)))["v1"].known_good_at is not None


async def test_without_healthy_rules_or_an_answer_the_past_is_looked_at_again_later(journal, prometheus):
    it, nobody = of_service("checkout"), Prometheus(PrometheusSettings(urls=("http://127.0.0.1:9",)))
    missing = (Check("trigger_rules", False, "No trigger rule is loaded."),)
    for asked, against in ((prometheus, missing), (nobody, ())):
        found = await adopted(journal, asked, it, "v2", against=against)
        assert (found["v2"].known_good_at, (await journal.target_state("checkout")).adopting) == (None, True)
    assert (await adopted(journal, prometheus, it, "v2"))["v2"].known_good_at is not None
    await nobody.close()


async def test_what_was_pending_or_firing_before_a_change_that_nobody_saw_is_in_history(prometheus):
    def change(after, since):
        return TargetState("it", changed_after=END - after * MINUTE, serving_since=END - since * MINUTE)

    failing, quiet = SeenAlert("HighErrorRate", AlertState.PENDING), SeenAlert("Quiet", AlertState.FIRING)
    seen = await alerts_before_change(prometheus, of_service("alerted"), change(4.5, 2))
    stood = replace(quiet, since=END - 4.5 * MINUTE - 5 * MINUTE)  # it was active five minutes earlier, too
    assert (seen.alerts, seen.between, seen.unknown) == ((failing, stood), (), "")
    seen = await alerts_before_change(prometheus, of_service("alerted"), change(50, 2))
    assert (seen.alerts, seen.between) == ((), (failing, quiet))
    seen = await alerts_before_change(prometheus, of_service("alerted"), change(100, 2))
    assert "no data of the target" in seen.unknown
    assert seen.asked
