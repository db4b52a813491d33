"""One service's odd series never stops the others: every input of the rules, doubled by another label, in promtool.

Here: a healthy world of two services, and one series more. Prometheus must evaluate all rules, and the service that
has nothing odd keeps its figures, thresholds and alerts.
"""

import re
import subprocess

import pytest
import yaml

from check.rule_files import FILES, RULES, reads, rules
from local_stack.binaries import environment, fetch, find

ALL = rules()
RECORDED = {rule.name for rule in ALL if not rule.alerting}
INPUTS = sorted(
    {read.series for rule in ALL for read in reads(rule.expr)} - RECORDED
    | {name for name in RECORDED if name.startswith("default:")}
)
# A label that nobody expects, labels that rules join by or add, and those by which users tell clusters apart.
ODD = {
    "team": "sre",
    "cluster": "west",
    "service_name": "other",
    "service_version": "v0",
    "deployment_environment_name": "staging",
    "deployment_environment": "staging",
    "severity": "page",
    "condition": "odd",
    "component": "odd",
    "action": "none",
    "http_route": "/odd",
    "alertname": "Odd",
}
GROUPS = [
    group["name"]
    for file in ("thresholds", "release", "recording", "evidence", "alerts", "controller")
    for group in yaml.safe_load((RULES / f"{file}.yml").read_text())["groups"]
]
STATUS = {"http_route": "/", "http_response_status_code": "200"}
LABELS = {
    "http_server_request_duration_seconds_count": STATUS,
    "http_server_request_duration_seconds_sum": STATUS,
    "http_server_request_duration_seconds_bucket": {**STATUS, "le": "+Inf"},
    "websocket_server_disconnects_total": {"http_route": "/feed", "reason": "abnormal"},
}
WAITS = 90  # seconds: long enough for every join, and for ReleaseErrorRate of cart


@pytest.fixture(scope="module", autouse=True)
def _programs():
    fetch()


def series(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def labels_in_shop(name: str) -> dict[str, str]:
    """The labels of one input as the service shop has it."""
    if name.endswith(":threshold_override"):
        return {"service_name": "shop", "deployment_environment_name": "production"}
    if name.startswith("default:"):
        return {}
    who = {"job": "shop", "instance": "shop:80"}
    if name == "target_info":
        return who | {"service_name": "shop", "service_version": "v1", "deployment_environment_name": "production"}
    return who | LABELS.get(name, {})


def values(name: str) -> str:
    """All of shop's instances are down, so that the alerts about that have something to join; counters grow."""
    return "0x30" if name == "up" else "1+1x30"


def world(name: str) -> list[dict[str, str]]:
    """All inputs for shop; cart, whose new version fails half of its requests; and the first series of `name`."""
    shop = [series(each, labels_in_shop(each), values(each)) for each in INPUTS if not each.startswith("default:")]
    cart = {"job": "cart", "instance": "cart:80"}
    info = cart | {"service_name": "cart", "deployment_environment_name": "production"}
    failed = {"http_route": "/", "http_response_status_code": "500"}
    count = "http_server_request_duration_seconds_count"
    return [
        *shop,
        *([series(name, {"instance": "more"}, "1x30")] if name.startswith("default:") else []),
        series("target_info", info | {"service_version": "v1"}, "1x5 stale"),
        series("target_info", info | {"service_version": "v2"}, "_x6 1x30"),
        series("up", cart, "1x30"),
        series(count, cart | STATUS, "0+100x5 0+50x30"),
        series(count, cart | failed, "_x6 0+50x30"),
    ]


def check(name: str) -> list[dict[str, object]]:
    """What promtool is to evaluate: all odd series at once, or one by one where the first would hide the others."""
    odd = [series(name, labels_in_shop(name) | {label: value}, values(name)) for label, value in ODD.items()]
    rounds = [[each] for each in odd] if name in {"target_info", "up"} else [odd]
    return [
        {
            "name": each[0]["series"],
            "interval": "5s",
            "input_series": [*world(name), *each],
            "promql_expr_test": [
                {"expr": expr, "eval_time": f"{WAITS}s", "exp_samples": [{"labels": "{}", "value": 1}]}
                for expr in (
                    'group(ALERTS{alertname="ReleaseErrorRate", alertstate="firing", service_name="cart"})',
                    'count(service:http_error_ratio:threshold{service_name="cart"})',
                )
            ],
        }
        for each in rounds
    ]


@pytest.mark.parametrize("name", INPUTS)
def test_one_series_more_with_any_other_label_leaves_every_rule_to_all_others(name, tmp_path):
    path = tmp_path / "odd.test.yml"
    content = {
        "rule_files": [str(file) for file in FILES],
        "evaluation_interval": "5s",
        "group_eval_order": GROUPS,
        "tests": check(name),
    }
    path.write_text(yaml.safe_dump(content, width=1000, sort_keys=False))
    done = promtool(path)
    assert done.returncode == 0, re.sub(r"\n\s*\n", "\n", done.stdout + done.stderr)[:4000]


def test_an_override_that_is_no_number_leaves_the_default(tmp_path):
    who = {"service_name": "shop", "deployment_environment_name": "production"}
    number = {"record": "service:http_error_ratio:threshold_override", "expr": "vector(NaN)", "labels": who}
    (tmp_path / "own.yml").write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": [number]}]}))
    info = {"job": "shop", "instance": "shop:80", **who, "service_version": "v1"}
    expected = {"labels": series("service:http_error_ratio:threshold", who, "")["series"], "value": 0.1}
    test = {
        "interval": "5s",
        "input_series": [series("target_info", info, "1x30")],
        "promql_expr_test": [
            {"expr": "service:http_error_ratio:threshold", "eval_time": "2m", "exp_samples": [expected]}
        ],
    }
    files = [*map(str, FILES), str(tmp_path / "own.yml")]
    path = tmp_path / "nan.test.yml"
    path.write_text(yaml.safe_dump({"rule_files": files, "evaluation_interval": "5s", "tests": [test]}, width=1000))
    done = promtool(path)
    assert done.returncode == 0, done.stdout + done.stderr


def promtool(path):
    return subprocess.run(
        [find("promtool"), "test", "rules", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=environment(),
    )
