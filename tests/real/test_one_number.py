"""The evidence of the shipped rules and that of a judgement are one number: promtool evaluates drawn counters.

What the older version allows, and its clumping, are taken from the rules. Rules and controller learn them from other
data: the rules from what they recorded, the controller from raw counters that may be older than the rules. Where the
older version never failed, both learn the same: then the number of the alert, of Grafana's panel, of a judgement that
asks a real Prometheus, of its sentence and of the back-test stand side by side, without anything handed over.
"""

import random
import re
import subprocess
import time
from dataclasses import replace

import pytest
import yaml

from check.dashboards import BOARDS
from check.rule_files import RULES
from local_stack.binaries import environment, find
from real.controller.past import REQUESTS, Past, remembered
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.backtest import counted
from rearguard_controller.config.configuration import PrometheusSettings
from rearguard_controller.facts import counting
from rearguard_controller.judgement import evidence, worse
from rearguard_controller.judgement.beside import Pair
from rearguard_controller.judgement.case import Case
from rearguard_controller.model import Caution
from rearguard_controller.model.counts import Counts, Tally
from unit.controller.factories import alert, facts, release, state, target

SERVICES, WELL_BEFORE = 40, 30  # drawn services; from this one on, the older version never failed
OLDER, YOUNG = 60, 36  # steps of 5 s that each version serves
LOOKS = (20, 35, 55, 170)  # seconds after the first scrape of the young version
STEP = 5
GROUPS = (
    "thresholds", "thresholds_of_releases", "identity", "release", "release_floor", "release_small",
    "service_thresholds", "release_thresholds", "figures", "older_versions",
)  # fmt: skip
EVIDENCE = "version:http_error_evidence:"
RELEASED = float(int(time.time()) // 300 * 300 - 900)  # of the same counters in a real Prometheus
FIRST = RELEASED - (OLDER + 1) * STEP
PANEL = BOARDS["rearguard-fleet"].expr("Evidence of failures, as a share of what is needed")


def drawn(seed):
    """Requests and failures of each step of both versions, between few and many, well and wholly broken."""
    chance = random.Random(seed)  # noqa: S311 - a drawn past wants no secret
    rate, worse = chance.choice((1, 3, 20, 200, 5000)), chance.choice((0.0, 0.02, 0.1, 0.5, 1.0))
    base = chance.choice((0.0, 0.005, 0.03, 0.2)) if seed < WELL_BEFORE else 0.0
    asked = [chance.randint(0, 2 * rate) for _ in range(OLDER + YOUNG)]
    shares = [base] * OLDER + [worse] * YOUNG
    failed = [sum(chance.random() < share for _ in range(n)) for n, share in zip(asked, shares, strict=True)]
    steps = list(zip(asked, failed, strict=True))
    return steps[:OLDER], steps[OLDER:]


def series(name, labels, values):
    text = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{text}}}", "values": " ".join(map(str, values))}


def scraped(seed):
    """The raw counters of a service: v1 at one address, then v2 at another, both from 0 on."""
    found = []
    for version, steps, first in zip(("v1", "v2"), drawn(seed), (0, OLDER + 1), strict=True):
        place = {"job": f"s{seed}", "instance": version}
        who = {"service_name": f"s{seed}", "service_version": version, "deployment_environment_name": "production"}
        away = ["_"] * first
        found.append(series("target_info", {**place, **who}, [*away, *["1"] * (len(steps) + 1), "stale"]))
        good = bad = 0
        lines = {"200": [0], "500": [0]}
        for asked, failed in steps:
            good, bad = good + asked - failed, bad + failed
            lines["200"].append(good)
            lines["500"].append(bad)
        for status, values in lines.items():
            labels = {**place, "http_route": "/", "http_response_status_code": status}
            found.append(series("http_server_request_duration_seconds_count", labels, [*away, *values, "stale"]))
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """By expression and look: what the rules recorded of each service."""
    expressions = [
        *(f'{EVIDENCE}{name}{{service_version="v2"}}' for name in ("over15s", "nats", "over5m")),
        "service:http_error_ratio:allowed",
        "service:http_failures:clumping",
        "service:http_error_evidence:needed",
        PANEL.replace("$environment", ".+").replace("topk(15, ", f"topk({SERVICES}, "),
    ]
    asked = [
        {"expr": expr, "eval_time": f"{(OLDER + 1) * STEP + look}s", "exp_samples": []}
        for look in LOOKS
        for expr in expressions
    ]
    tests = {
        "rule_files": [str(RULES / f"{name}.yml") for name in ("thresholds", "recording", "release", "evidence")],
        "evaluation_interval": f"{STEP}s",
        "group_eval_order": [f"rearguard.{name}" for name in GROUPS],
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": [each for seed in range(SERVICES) for each in scraped(seed)],
                "promql_expr_test": asked,
            }
        ],
    }
    path = tmp_path_factory.mktemp("rules") / "drawn.test.yml"
    path.write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        [find("promtool"), "test", "rules", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env=environment(),
    )
    answers = re.findall(r"got: ?(.*)", done.stdout + done.stderr)
    assert len(answers) == len(asked), (done.stdout + done.stderr)[-2000:]
    found = {}
    for given, got in zip(asked, answers, strict=True):
        look = int(given["eval_time"].removesuffix("s")) - (OLDER + 1) * STEP
        values = re.findall(r'service_name="s(\d+)"[^}]*\} (\S+?)(?:,|\s|$)', got)
        name = "panel" if given["expr"].startswith("sort") else given["expr"].split("{")[0]
        found[name, look] = {int(seed): float(value) for seed, value in values}
    return found


@pytest.mark.parametrize("look", LOOKS)
def test_what_the_rules_record_is_what_a_judgement_weighs(told, look):
    weighed = 0
    for seed in range(SERVICES):
        steps = drawn(seed)[1][: look // STEP]
        own = tuple(Tally(STEP * (place + 1.0), float(n), float(x)) for place, (n, x) in enumerate(steps))
        share, clumps = (
            told[f"service:http_{name}", look][seed] for name in ("error_ratio:allowed", "failures:clumping")
        )
        found = evidence.weigh(
            Counts("v2", "v1", own), Caution.STANDARD, evidence.Learnt(share, clumps), at=float(look)
        )
        recorded = [told[f"{EVIDENCE}{name}", look].get(seed) for name in ("over15s", "nats", "over5m")]
        if found is None:
            assert recorded == [None, None, None], seed
            continue
        weighed += found.nats > 0
        assert max(each for each in recorded if each is not None) == pytest.approx(found.nats, rel=1e-9, abs=1e-9), (
            seed
        )
        assert told["service:http_error_evidence:needed", look][seed] == pytest.approx(found.needed, rel=1e-12)
    assert weighed >= SERVICES / 4, "a drawn release that fails is what this is about"


@pytest.mark.parametrize("look", LOOKS)
def test_each_window_of_the_rules_is_the_formula_on_what_was_sent(told, look):
    for seed in range(SERVICES):
        steps = drawn(seed)[1][: look // STEP]
        share, clumps = (
            told[f"service:http_{name}", look][seed] for name in ("error_ratio:allowed", "failures:clumping")
        )
        for name, windows in (("over15s", (3,)), ("nats", (3, 6, 12)), ("over5m", (60,))):
            counted = [[sum(each) for each in zip(*steps[-width:], strict=True)] for width in windows]
            wanted = [evidence.luck(n, x, share) / clumps for n, x in counted if n]
            recorded = told[f"{EVIDENCE}{name}", look].get(seed)
            if not wanted:
                assert recorded is None, seed
            else:
                assert recorded == pytest.approx(max(wanted), rel=1e-9, abs=1e-9), (seed, name)


@pytest.mark.parametrize("look", LOOKS)
def test_the_panel_in_grafana_shows_the_most_that_any_alert_of_evidence_compares_with(told, look):
    needed = told["service:http_error_evidence:needed", look]
    wanted = {
        seed: max(told[f"{EVIDENCE}{name}", look].get(seed, 0.0) for name in ("over15s", "nats", "over5m"))
        / needed[seed]
        for seed in told[f"{EVIDENCE}nats", look]
    }
    assert len(wanted) == SERVICES
    assert told["panel", look] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A real Prometheus without any rule, with the raw counters of the services whose older version never failed."""
    past = Past(tmp_path_factory.mktemp("past"), every=STEP)
    for seed in range(WELL_BEFORE, SERVICES):
        for version, steps, first in zip(("v1", "v2"), drawn(seed), (FIRST, RELEASED), strict=True):
            place = {"job": f"s{seed}", "instance": version}
            who = {
                "service_name": f"s{seed}",
                "service_version": version,
                "deployment_environment_name": "production",
            }
            past.add("target_info", {**place, **who}, first, first + STEP * len(steps))
            good = bad = 0
            for number, (asked, failed) in enumerate([(0, 0), *steps]):
                good, bad, at = good + asked - failed, bad + failed, first + STEP * number
                for status, value in (("200", good), ("500", bad)):
                    past.add(REQUESTS, {**place, "http_response_status_code": status}, at, at, value)
    with remembered(past, "groups: []\n") as found:
        yield found


def judged(seed):
    """The target that a service is, and its facts as a running controller has them."""
    labels = {"service_name": f"s{seed}"}
    served = (
        release("v1", service_version="v1", served_at=FIRST),
        release("v2", service_version="v2", served_at=RELEASED, first_seen=RELEASED),
    )
    known = facts(state=state(serving_since=RELEASED, looked_at=None), releases=served)
    return target(name=f"s{seed}", match=(labels,), telemetry=labels), known


def told_again(sentence):
    """The evidence that a person works out by a sentence: of the counts and of the share that it names."""
    words = r"failed (\d+) of (\d+) requests in .*; after v1, 1 % is allowed"
    failures, requests = map(int, re.search(words, sentence).groups())
    return evidence.luck(requests, failures, 0.01)


@pytest.mark.parametrize("look", LOOKS)
async def test_alert_grafana_judgement_its_sentence_and_the_back_test_say_one_number(told, address, look):
    now, compared = RELEASED + look, 0
    prometheus = Prometheus(PrometheusSettings((address,)))
    try:
        for seed in range(WELL_BEFORE, SERVICES):
            of, known = judged(seed)
            known = replace(known, now=now)
            counts = await counting.count(prometheus, of.telemetry, known.target, now)
            whole = await counting.between(
                prometheus, of.telemetry, Pair("v2", frozenset({"v1"})), RELEASED, (RELEASED, RELEASED + YOUNG * STEP)
            )
            here = evidence.weigh(counts, Caution.STANDARD)
            then = counted.with_counts(known, of, whole).measured
            measured = replace(known.measured, counts=counts, by_evidence=True)
            reason = worse.evidence_suffices(Case(alert("ReleaseWorse"), of, replace(known, measured=measured), None))
            in_alert = max(told[f"{EVIDENCE}{name}", look].get(seed, 0.0) for name in ("over15s", "nats", "over5m"))
            same = pytest.approx(in_alert, rel=1e-9, abs=1e-9)
            assert here.nats == same, seed
            assert then.now.value == same, seed
            assert told_again(reason.detail) == same, seed
            assert told["panel", look][seed] * here.needed == same, seed
            assert reason.holds is (in_alert >= here.needed)
            compared += in_alert > 0
    finally:
        await prometheus.close()
    assert compared >= (SERVICES - WELL_BEFORE) / 4, "a drawn release that fails is what this is about"
