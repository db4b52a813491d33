"""The shipped rules: valid, tested in both directions, complete, and reading only what the code exposes."""

import itertools
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from check.rule_files import (
    FILES,
    OPENTELEMETRY,
    OPTIONAL,
    ROOT,
    RULES,
    TESTS,
    Rule,
    alert_tests,
    grouping,
    made,
    reads,
    rules,
)
from local_stack.binaries import environment, fetch, find
from rearguard_controller.adapters import telemetry
from rearguard_exporter import families

ALL = rules()
ALERTS = [rule for rule in ALL if rule.alerting]
RECORDED = {rule.name for rule in ALL if not rule.alerting}
TRIGGERS = [rule for rule in ALERTS if rule.labels.get("action") == "rollback"]
RUNBOOKS = "https://github.com/rearguard/rearguard/blob/main/docs/runbooks.md"

# alert -> (waits for, may roll back), as users are promised; None: one of its conditions may.
PROMISED = {
    "HighErrorRate": ("5m", True),
    "SlowResponses": ("3m", True),
    "HighMemoryUsage": ("5m", False),
    "CriticalMemoryUsage": ("2m", True),
    "DatabaseConnectionFailures": ("1m", True),
    "SlowDatabaseQueries": ("5m", False),
    "WebSocketDrops": ("2m", True),
    "PoorWebVitals": ("10m", False),
    "ServiceDown": ("1m", False),
    "ReleaseDown": ("1m", True),
    "ReleaseErrorRate": ("30s", True),
    "ReleaseWorse": ("0s", True),
    "ReleaseSlower": ("0s", False),
    "ReleaseSilent": ("1m", None),
    "ReleaseRestarts": ("0s", True),
    "ReleaseLeaks": ("2m", True),
    "ReleaseHurtsCallers": ("30s", False),
    "ReleaseSlowResponses": ("30s", True),
    "RearguardWatchdog": ("0s", False),
}
# Fires from the first moment on, so there is nothing to be silent about.
ALWAYS_FIRING = {"RearguardWatchdog"}

ADDED = {"job", "instance"}  # by Prometheus, to every series it scrapes
SERVICE = {"service_name", "service_version", "deployment_environment_name"}
STREAMS = "default:stream_route:info"  # of users who name the routes of their streams; nobody has to
LONGEST_WINDOW = 61.0  # seconds that a figure may reach back: recovery cannot be proved sooner
ONE_EVALUATION = 9.0  # seconds over which one evaluation is read, as release.yml says
LONGEST_OF_SMALL = 301.0 + ONE_EVALUATION  # the same of small faults, which no shorter window shows
MOST_IN_GROUP = 20  # rules that Mimir and Cortex allow in a group, unless a tenant's limit is raised
# What others expose and our code does not: the scrape's own series, OpenTelemetry's older name of a label, and labels
# that tell processes apart; and what OpenTelemetry has in the place of a limit of memory.
FOREIGN = {
    "up": ADDED,
    "ALERTS": {"action", "alertstate", "component", *SERVICE},
    **OPENTELEMETRY,
    "target_info": {"deployment_environment", "service_instance_id", "exported_job", "exported_instance"},
}


@pytest.fixture(scope="session", autouse=True)
def _programs():
    fetch()


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    name, *arguments = words
    return subprocess.run(
        [find(str(name)), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=880,  # hours of evaluations, on a busy machine
        env=environment(),
    )


def named(rule: Rule) -> str:
    return "-".join(filter(None, [rule.name, rule.labels.get("condition")]))


def exposed() -> dict[str, set[str]]:
    """Every series that exporter and controller expose, with its labels."""
    series = {name: set(family.labels) for family in families.FAMILIES for name in family.series}
    for family in telemetry.FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        series |= {family.name + suffix: set(family.labels) for suffix in suffixes}
    for name in series:
        series[name] |= {"le"} if name.endswith("_bucket") else set()
    for name, labels in FOREIGN.items():
        series[name] = series.get(name, set()) | labels
    return series


def labels_of(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The labels that a series may carry: what is exposed, or what the rules behind a recorded name read."""
    if name in seen:
        return set()
    if name not in RECORDED:
        return exposed().get(name, set()) | ADDED
    behind = [rule for rule in ALL if rule.name == name and not rule.alerting]
    own = set(itertools.chain.from_iterable({*rule.labels, *made(rule.expr)} for rule in behind))
    inputs = {read.series for rule in behind for read in reads(rule.expr)}
    return own.union(*(labels_of(series, seen | {name}) for series in inputs))


def baseline(rule: Rule) -> frozenset[str]:
    """What the figure of a trigger is compared with, besides its threshold: it may reach back before a rollback."""
    return frozenset(rule.annotations.get("baseline", "").split())


@cache
def reach(expression: str, seen: frozenset[str] = frozenset()) -> float:
    """Seconds that an expression reaches back through recorded names but those in `seen`: windows and offsets add up.

    What is read over so few seconds that one evaluation lies in them is what that evaluation recorded.
    """
    longest = 0.0
    for read in reads(expression):
        behind = [rule.expr for rule in ALL if rule.name == read.series and not rule.alerting]
        own = 0.0 if behind and read.seconds <= ONE_EVALUATION else read.seconds
        further = [reach(expr, seen | {read.series}) for expr in behind if read.series not in seen]
        longest = max(longest, own + max(further, default=0.0))
    return longest


@pytest.mark.parametrize("path", [*FILES, *OPTIONAL], ids=lambda path: path.name)
def test_promtool_accepts_the_file(path):
    done = run("promtool", "check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.removesuffix(".test.yml"))
def test_promtool_finds_the_alerts_as_expected(path):
    done = run("promtool", "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_group_has_more_rules_than_mimir_and_cortex_allow(path):
    groups = yaml.safe_load(path.read_text())["groups"]
    assert {group["name"]: len(group["rules"]) for group in groups if len(group["rules"]) > MOST_IN_GROUP} == {}


def test_every_promised_alert_is_there_and_waits_as_long_as_promised():
    for name, (wait, trigger) in PROMISED.items():
        found = [rule for rule in ALERTS if rule.name == name]
        assert found, name
        assert {rule.wait for rule in found} == {wait}, name
        assert {rule in TRIGGERS for rule in found} == ({True, False} if trigger is None else {trigger}), name


def test_every_alert_is_tested_in_both_directions():
    tests = alert_tests()
    for name in {rule.name for rule in ALERTS}:
        assert tests.get(name, {}).get("fires"), f"no test expects {name}"
        assert name in ALWAYS_FIRING or tests[name]["silent"], f"no test expects {name} to be silent"


def test_rules_of_one_alert_are_told_apart_by_their_condition():
    for name, group in itertools.groupby(sorted(ALERTS, key=named), key=lambda rule: rule.name):
        conditions = [rule.labels.get("condition") for rule in group]
        assert len(conditions) == 1 or (None not in conditions and len(set(conditions)) == len(conditions)), name


@pytest.mark.parametrize("rule", ALERTS, ids=named)
def test_alert_says_what_a_person_needs(rule):
    assert rule.labels["severity"] in {"critical", "warning", "info"}
    assert rule.labels["component"]
    assert not any("{{" in value for value in rule.labels.values()), "a changing label makes a new alert each time"
    assert rule.annotations["summary"]
    assert rule.annotations["description"]
    assert rule.annotations["runbook_url"] == f"{RUNBOOKS}#{rule.name.lower()}"
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert rule.name in headings


def test_the_runbook_has_no_page_for_an_alert_that_is_gone():
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted({rule.name for rule in ALERTS})


@pytest.mark.parametrize("rule", [rule for rule in TRIGGERS if "floor:threshold" in rule.expr], ids=named)
def test_a_trigger_that_is_a_share_of_requests_says_which_versions_have_enough_of_them(rule):
    told = reads(rule.annotations["comparable"])
    assert {read.series for read in told} <= RECORDED
    assert any(read.series.endswith("floor:threshold") for read in told)


@pytest.mark.parametrize("rule", TRIGGERS, ids=named)
def test_trigger_carries_a_figure_and_a_threshold_that_prometheus_can_evaluate(rule, tmp_path):
    figure, threshold = rule.annotations["figure"], rule.annotations["threshold"]
    assert "{{" not in figure + threshold, "templating would change the expression"
    matched = re.fullmatch(r"(>=|<=|>|<) (\S.*)", threshold)
    assert matched, threshold
    wrapped = {"groups": [{"name": "g", "rules": [
        {"record": "figure", "expr": figure},
        {"record": "threshold", "expr": matched[2]},
        {"record": "condition", "expr": f"({figure}) {matched[1]} on () group_left () ({matched[2]})"}
        if not re.fullmatch(r"[\d.]+", matched[2])
        else {"record": "condition", "expr": f"({figure}) {threshold}"},
    ]}]}  # fmt: skip
    path = tmp_path / "wrapped.yml"
    path.write_text(yaml.safe_dump(wrapped))
    done = run("promtool", "check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {read.series for read in reads(figure)} <= RECORDED
    assert {read.series for read in reads(matched[2])} <= RECORDED


@pytest.mark.parametrize("rule", TRIGGERS, ids=named)
def test_figure_reaches_back_a_minute_at_most_and_that_of_a_small_fault_five(rule):
    longest = LONGEST_OF_SMALL if rule.labels.get("condition") == "small" else LONGEST_WINDOW
    assert reach(rule.annotations["figure"], baseline(rule)) <= longest


def test_offsets_and_windows_of_what_is_behind_a_figure_add_up():
    assert reach("max_over_time(a[10s] offset 20s) + a") == 30
    worse = {rule.labels["condition"]: rule for rule in TRIGGERS if rule.name == "ReleaseWorse"}
    far = {name: reach(rule.annotations["figure"], baseline(rule)) for name, rule in worse.items()}
    assert far == {"quick": 16, "slow": 61, "small": 4 * 60 + 9 + 61}


@pytest.mark.parametrize("rule", TRIGGERS, ids=named)
def test_trigger_compares_the_figure_that_it_names_with_the_threshold_that_it_names(rule):
    series = {read.series for read in reads(rule.expr)}
    _, threshold = rule.annotations["threshold"].split(" ", 1)
    assert {read.series for read in reads(rule.annotations["figure"])} <= series
    assert {read.series for read in reads(threshold)} <= series


def test_figures_of_releases_do_not_depend_on_which_version_is_young():
    for rule in TRIGGERS:
        names = {read.series for read in reads(rule.annotations["figure"])}
        told = baseline(rule)
        assert told <= RECORDED
        while (
            new := {read.series for other in ALL if other.name in names for read in reads(other.expr)} - names - told
        ):
            names |= new
        assert not {name for name in names - {STREAMS} if name.startswith(("version:service:", "default:"))}


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: f"{rule.file}:{named(rule)}")
def test_rule_reads_only_series_and_labels_that_exist(rule):
    known = exposed()
    available = {"alertname", *rule.labels, *made(rule.expr)}
    for read in reads(rule.expr):
        override = re.fullmatch(r"service:(\w+):threshold_override", read.series)
        if override:
            assert f"default:{override[1]}:threshold" in RECORDED
            available |= SERVICE
            continue
        if read.series == STREAMS:
            continue
        assert read.series in RECORDED or read.series in known, f"nothing exposes {read.series}"
        assert read.labels <= labels_of(read.series), read
        available |= labels_of(read.series)
    assert grouping(rule.expr) <= available


def test_values_of_labels_that_rules_select_are_values_that_the_code_uses():
    outcomes = set(re.findall(r'outcome=~?"([\w|]+)"', (RULES / "controller.yml").read_text()))
    from rearguard_controller.model import Outcome  # noqa: PLC0415 - only this test needs it

    assert set("|".join(outcomes).split("|")) <= {outcome.value for outcome in Outcome}


def test_every_threshold_has_a_default_and_is_derived_for_each_service():
    defaults = {match[1] for name in RECORDED if (match := re.fullmatch(r"default:(\w+):threshold", name))}
    derived = {match[1] for name in RECORDED if (match := re.fullmatch(r"service:(\w+):threshold", name))}
    assert derived == defaults
    assert {rule.file for rule in ALL if rule.name.startswith("default:")} == {"thresholds.yml"}


def test_no_alert_compares_with_a_number_that_belongs_into_thresholds():
    for rule in TRIGGERS:
        numbers = set(re.findall(r"(?<![\w.\[])\d+(?:\.\d+)?(?![\w\]])", rule.expr))
        assert numbers <= {"0", "1"}, rule.name


ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"


def test_amtool_accepts_the_fragment():
    done = run("amtool", "check-config", ALERTMANAGER)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"alertname": "RearguardWatchdog", "severity": "info"}, "rearguard"),
        ({"alertname": "ReleaseErrorRate", "action": "rollback", "severity": "critical"}, "rearguard,on-call"),
        ({"alertname": "OwnTrigger", "action": "rollback", "severity": "warning"}, "rearguard,team"),
        ({"alertname": "RearguardRollbackFailed", "severity": "critical"}, "on-call"),
        ({"alertname": "HighMemoryUsage", "severity": "warning"}, "team"),
    ],
    ids=["watchdog", "critical trigger", "trigger of one's own", "the controller's own", "warning"],
)
def test_alert_reaches_its_receivers(labels, receivers):
    words = [f"{name}={value}" for name, value in labels.items()]
    done = run(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER}",
        f"--verify.receivers={receivers}",
        *words,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_fragment_holds_no_secret():
    text = ALERTMANAGER.read_text()
    assert "credentials_file:" in text
    assert not re.search(r"^\s*(credentials|password|bearer_token):", text, re.MULTILINE)
