"""What rules and controller learn of an older version is nearly the same, by an hour of drawn counters.

The rules learn minute by minute from what they recorded, the controller from raw counters of the hour before the
release. docs/judgement.md says how far they may differ.
"""

import random
import re
import subprocess
import sys

import pytest
import yaml

from check.rule_files import ROOT, RULES
from local_stack.binaries import environment, find
from rearguard_controller.judgement import evidence
from rearguard_controller.model.counts import Tally

sys.path.insert(0, str(ROOT / "bench" / "judgement"))
import incidents

STEP, STEPS = 15, 240  # seconds between scrapes, and an hour of them
# Requests a second, share that fails, failures that come at once; and the least of allowed share and clumping that
# the rules may have learnt, as a part of the controller's.
LAWS = [
    (40, incidents.always(0.001), 1.0, (0.9, 0.65)),
    (40, incidents.always(0.01), 1.0, (0.9, 0.65)),
    (5, incidents.always(0.05), 1.0, (0.9, 0.65)),
    (1, incidents.always(0.05), 1.0, (0.9, 0.65)),
    (20, incidents.always(0.08), 1.0, (0.9, 0.65)),
    (40, incidents.always(0.01), 5.0, (0.8, 0.65)),
    (40, incidents.always(0.01), 20.0, (0.6, 0.65)),
    (40, incidents.wandering(1, 0.01), 1.0, (0.9, 0.5)),
]
GROUPS = (
    "thresholds", "thresholds_of_releases", "identity", "release", "service_thresholds", "release_thresholds",
    "older_versions",
)  # fmt: skip
ALLOWED, CLUMPING = "service:http_error_ratio:allowed", "service:http_failures:clumping"


def drawn(law):
    """Requests and failures of each step."""
    rate, share, clump, _ = LAWS[law]
    chance = random.Random(law)  # noqa: S311 - a drawn past wants no secret
    asked = [incidents.drawn(chance, rate * STEP) for _ in range(STEPS)]
    return [(n, incidents.failing(chance, n, share(STEP * place - 2700.0), clump)) for place, n in enumerate(asked)]


def scraped(law):
    """The raw counters of a service."""
    place = f'job="s{law}", instance="a"'
    who = f'service_name="s{law}", service_version="v1", deployment_environment_name="production"'
    found = [{"series": f"target_info{{{place}, {who}}}", "values": f"1x{STEPS}"}]
    for status, of in (("200", lambda n, x: n - x), ("500", lambda _, x: x)):
        values = [0]
        for each in drawn(law):
            values.append(values[-1] + of(*each))
        series = f'http_server_request_duration_seconds_count{{{place}, http_response_status_code="{status}"}}'
        found.append({"series": series, "values": " ".join(map(str, values))})
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """By series and law: what the rules learnt of an hour."""
    asked = [{"expr": each, "eval_time": f"{STEP * STEPS}s", "exp_samples": []} for each in (ALLOWED, CLUMPING)]
    test = {
        "interval": f"{STEP}s",
        "input_series": [each for law in range(len(LAWS)) for each in scraped(law)],
        "promql_expr_test": asked,
    }
    path = tmp_path_factory.mktemp("rules") / "hour.test.yml"
    path.write_text(yaml.safe_dump({
        "rule_files": [str(RULES / f"{name}.yml") for name in ("thresholds", "recording", "release", "evidence")],
        "evaluation_interval": f"{STEP}s",
        "group_eval_order": [f"rearguard.{name}" for name in GROUPS],
        "tests": [test],
    }, width=10**9))  # fmt: skip
    command = [find("promtool"), "test", "rules", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment())
    answers = re.findall(r"got: ?(.*)", done.stdout + done.stderr)
    assert len(answers) == len(asked), (done.stdout + done.stderr)[-2000:]
    return {
        each["expr"]: {int(law): float(value) for law, value in re.findall(r'"s(\d+)"[^}]*\} ([\d.E+-]+)', got)}
        for each, got in zip(asked, answers, strict=True)
    }


def learnt(law):
    steps = [Tally(STEP * (place + 1.0), float(n), float(x)) for place, (n, x) in enumerate(drawn(law))]
    return evidence.learn(steps)


@pytest.mark.parametrize("law", range(len(LAWS)))
def test_rules_allow_as_much_as_the_controller_or_less_where_failures_come_in_clumps(told, law):
    assert LAWS[law][-1][0] <= told[ALLOWED][law] / learnt(law).share <= 1.1


@pytest.mark.parametrize("law", range(len(LAWS)))
def test_clumping_differs_by_half_at_most_and_by_twice_where_the_base_rate_wanders(told, law):
    assert LAWS[law][-1][1] <= told[CLUMPING][law] / learnt(law).clumps <= 1.5
