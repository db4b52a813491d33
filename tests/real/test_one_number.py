"""The evidence of the shipped rules and that of a judgement are one number: promtool evaluates drawn counters.

What the older version allows, and its clumping, are taken from the rules. Rules and controller learn them from other
data: the rules from what they recorded, the controller from raw counters that may be older than the rules.
"""

import random
import re
import subprocess

import pytest
import yaml

from check.rule_files import RULES
from local_stack.binaries import environment, find
from rearguard_controller.judgement import evidence
from rearguard_controller.model import Caution
from rearguard_controller.model.counts import Counts, Tally

SERVICES, OLDER, YOUNG = 30, 60, 36  # steps of 5 s that each version serves
LOOKS = (20, 35, 55, 170)  # seconds after the first scrape of the young version
STEP = 5
GROUPS = (
    "thresholds", "thresholds_of_releases", "identity", "release", "release_floor", "release_small",
    "service_thresholds", "release_thresholds", "figures", "older_versions",
)  # fmt: skip
EVIDENCE = "version:http_error_evidence:"


def drawn(seed):
    """Requests and failures of each step of both versions, between few and many, well and wholly broken."""
    chance = random.Random(seed)  # noqa: S311 - a drawn past wants no secret
    rate, worse = chance.choice((1, 3, 20, 200, 5000)), chance.choice((0.0, 0.02, 0.1, 0.5, 1.0))
    base = chance.choice((0.0, 0.005, 0.03, 0.2))
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
        found[given["expr"].split("{")[0], look] = {int(seed): float(value) for seed, value in values}
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
