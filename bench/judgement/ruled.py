"""Incidents that no share of errors shows, replayed through the real rules by promtool.

Right is: the named alert fires after the fault began, or no alert fires that may roll back. One that only warns
blames nobody.
"""

import math
import re
import statistics
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import shapes
import yaml

from local_stack.binaries import environment, find

RULES = Path(__file__).resolve().parents[2] / "rules"
FILES = ("thresholds", "recording", "release", "evidence", "alerts")
GROUPS = (
    "thresholds", "thresholds_of_releases", "identity", "release", "release_floor", "release_small",
    "service_thresholds", "release_thresholds", "figures", "slower", "processes", "memory",
    "callers", "older_versions",
)  # fmt: skip
QUICK = (shapes.QUICK, -420.0, 480.0, 5.0)  # kinds, first and last second, and seconds between scrapes
LONG = (shapes.LONG, -2400.0, 2280.0, 15.0)
FIRING = 'ALERTS{alertstate="firing", alertname=~"Release.*|CriticalMemoryUsage", service_version="v2"}'
FIRST = f"min by (service_name, alertname, action) (min_over_time(timestamp({FIRING})[2h:5s]))"


def replayed(lines, end, *, every, folder, expression=FIRST, patience=1500):
    """What promtool says of an expression at `end`. `every`: seconds between samples, and between evaluations."""
    scrape, evaluation = every
    test = {"interval": f"{scrape:g}s", "input_series": lines, "promql_expr_test": [
        {"expr": expression, "eval_time": f"{end:g}s", "exp_samples": [{"labels": "none", "value": 0}]}
    ]}  # fmt: skip
    path = folder / "drawn.test.yml"
    path.write_text(yaml.safe_dump({
        "rule_files": [str(RULES / f"{name}.yml") for name in FILES],
        "evaluation_interval": f"{evaluation:g}s",
        "group_eval_order": [f"rearguard.{name}" for name in GROUPS],
        "tests": [test],
    }, width=10**9))  # fmt: skip
    command = [find("promtool"), "test", "rules", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience, env=environment())
    said = done.stdout + done.stderr
    assert "got:" in said, said[-2000:]
    assert "err:" not in said, said[-2000:]
    return said.split("got:", 1)[1]


def fired(incidents, start, end, every, folder):
    """By seed: alert, whether it may roll back, seconds after the release when it first fired, and of the caller."""
    lines = [
        {"series": name, "values": values}
        for each in incidents
        for name, values in shapes.scraped(each, start, end, every).items()
    ]
    said = replayed(lines, end - start, every=(every, every), folder=folder)
    found = defaultdict(list)
    for labels, value in re.findall(r"\{([^}]*)\} ([\d.E+]+)", said):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        service = named["service_name"]
        seed, of_caller = int(service.lstrip("cn")), service.startswith("c")
        found[seed].append((named["alertname"], named.get("action") == "rollback", float(value) + start, of_caller))
    return found


def judge(each, alerts):
    """Whether it is right, and seconds from the fault to the alert."""
    if any(name == each.never for name, *_ in alerts):
        return False, None
    if each.alert is None:
        return not any(acts for _, acts, *_ in alerts), None
    found = [at for name, _, at, of_caller in alerts if name == each.alert and of_caller == each.of_caller]
    wrong = [at for _, acts, at, of_caller in alerts if acts and (at < each.fault_at or of_caller != each.of_caller)]
    at = min(found, default=-math.inf)
    return at >= each.fault_at and not wrong, at - each.fault_at


def report(only=""):
    """Print the table, and precision and recall."""
    kinds, wrong = defaultdict(list), []
    for chosen, start, end, every in (QUICK, LONG):
        incidents = [each for each in shapes.all_of(chosen) if only in ("", each.kind)]
        if not incidents:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = fired(incidents, start, end, every, Path(folder))
        for each in incidents:
            right, took = judge(each, found[each.seed])
            kinds[each.kind].append((each, right, took))
            if not right:
                wrong.append(f"   wrong: {each.kind}, {each.name}: {found[each.seed] or 'no alert'}")
    times = f"{'seconds to alert: median, worst':>34} {'bound':>6}"
    print(f"\n{'kind, by the rules alone':<54} {'incidents':>9} {'right':>6} {times}")
    for kind, those in kinds.items():
        took = [seconds for each, right, seconds in those if right and each.alert]
        times = f"{statistics.median(took):.0f}, {max(took):.0f}" if took else ""
        bounds = [each.bound for each, right, _ in those if right and each.alert]
        known = f"{statistics.median(bounds):.0f}" if bounds else ""
        print(f"{kind:<54} {len(those):>9} {sum(right for _, right, _ in those):>6} {times:>34} {known:>6}")
    every = [each for those in kinds.values() for each in those]
    bad = [each for each in every if each[0].alert]
    found = sum(right for _, right, _ in bad)
    blamed = sum(not right for each, right, _ in every if each.alert is None)
    print("\n".join(wrong))
    print(
        f"{len(every)} incidents by the rules, {len(bad)} of them bad releases:"
        f" precision {found / (found + blamed or 1):.1%}, recall {found / (len(bad) or 1):.1%}"
    )


if __name__ == "__main__":
    report()
