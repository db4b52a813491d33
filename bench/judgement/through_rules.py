"""The incidents of failed requests through the real rules: which alerts that may roll back fire, and when.

The corpus asks the controller's own evidence, as if an alert fired at once. A running controller waits for the alert.
promtool evaluates the rules every 5 s over the same counters, scraped in the same seconds. `--kind NAME` for
one kind.
"""

import argparse
import re
import statistics
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import yaml
from corpus import all_of
from incidents import BEFORE
from ruled import FILES, GROUPS, RULES
from scraped import named, neighbour_of, written

from local_stack.binaries import environment, find

FIRING = 'group by (service_name, service_version, alertname) (ALERTS{alertstate="firing", action="rollback"})'
TOGETHER = 45  # incidents that promtool evaluates at once
NOTHING = [{"labels": "none", "value": 0}]  # so that promtool says what it got
GONE = 5  # seconds after its last sample, Prometheus knows that a series has ended


class Lines:
    """Samples of series, as promtool writes them: one second after the other."""

    def __init__(self):
        self._samples = defaultdict(dict)

    def add(self, metric, labels, at, _end, value=1.0):
        """A sample, `at` seconds after the first; one whose clock is behind may be before it, and is left out."""
        if at < 0:
            return
        text = ", ".join(f'{name}="{said}"' for name, said in sorted(labels.items()))
        self._samples[f"{metric}{{{text}}}"][round(at)] = value

    def written(self):
        """The series."""
        return [{"series": name, "values": _values(samples)} for name, samples in self._samples.items()]


def _values(samples):
    found, last = [], None
    for at in sorted(samples):
        away = at if last is None else at - last - 1
        if last is not None and away >= 2 * GONE:
            found.append(f"_x{GONE - 1} stale")
            away -= GONE
        found.append(f"_x{away} {samples[at]}" if away else str(samples[at]))
        last = at
    return " ".join([*found, f"_x{GONE - 1} stale"])


def fired(incidents, folder):
    """By service: version, alert, and seconds after the release when it first fired."""
    last = max(one.end for each in incidents for one in (*each.instances, *each.between, *each.neighbour))
    looks = [float(at) for at in range(0, int(last) + 1, 5)]
    asked = [{"expr": FIRING, "eval_time": f"{at - BEFORE:g}s", "exp_samples": NOTHING} for at in looks]
    series = written(Lines(), incidents, -BEFORE).written()
    test = {"interval": "1s", "input_series": series, "promql_expr_test": asked}
    path = folder / "drawn.test.yml"
    path.write_text(yaml.safe_dump({
        "rule_files": [str(RULES / f"{name}.yml") for name in FILES],
        "evaluation_interval": "5s",
        "group_eval_order": [f"rearguard.{name}" for name in GROUPS],
        "tests": [test],
    }, width=10**9, default_flow_style=None))  # fmt: skip
    command = [find("promtool"), "test", "rules", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3000, env=environment())
    said = done.stdout + done.stderr
    answers = re.findall(r"got: ?(.*)", said)
    assert len(answers) == len(looks), said[-2000:]
    found = defaultdict(dict)
    for at, got in zip(looks, answers, strict=True):
        for labels in re.findall(r"\{([^}]*)\} 1", got):
            told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            found[told["service_name"]].setdefault((told.get("service_version"), told["alertname"]), at)
    return {name: [(*alert, at) for alert, at in fired.items()] for name, fired in found.items()}


def judge(each, found):
    """Seconds from the fault to the first alert, and what is to be said of it."""
    guilty = each.guilty if each.fault_at is not None else "v2"
    first = min(((at, name) for version, name, at in found.get(named(each), []) if version == guilty), default=None)
    took, said = None, [f"of another version: {one}" for one in found.get(named(each), []) if one[0] != guilty]
    if each.fault_at is not None and (first is None or first[0] < each.fault_at):
        said.append(f"wrong: {first or 'no alert'}")
    elif each.fault_at is not None:
        took = first[0] - each.fault_at
    elif first is not None:
        said.append(f"innocent, and {first[1]} fires at {first[0]:g} s")
    if each.neighbour and not found.get(neighbour_of(each)):
        said.append("the neighbour was not found")
    return took, first is not None, [f"   {each.name}: {one}" for one in said]


def main():
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--kind", default="", help="only incidents of this kind")
    incidents, kinds, found = all_of(reading.parse_args().kind), defaultdict(list), {}
    incidents.sort(key=lambda each: max(one.end for one in each.instances))
    for start in range(0, len(incidents), TOGETHER):
        with tempfile.TemporaryDirectory() as folder:
            found |= fired(incidents[start : start + TOGETHER], Path(folder))
    for each in sorted(incidents, key=lambda each: each.seed):
        kinds[each.kind].append(each)
    print(f"{'kind, by the rules':<42} {'incidents':>9} {'fired':>6} {'seconds to the first alert':>28} {'bound':>6}")
    for kind, those in kinds.items():
        judged = [judge(each, found) for each in those]
        took = [seconds for seconds, _, _ in judged if seconds is not None]
        times = f"{statistics.median(took):.0f}, {max(took):.0f}" if took else ""
        known = f"{statistics.median(each.bound for each in those):.0f}" if took else ""
        print(f"{kind:<42} {len(those):>9} {sum(each for _, each, _ in judged):>6} {times:>28} {known:>6}")
        print("".join(f"{line}\n" for _, _, said in judged for line in said), end="", flush=True)


if __name__ == "__main__":
    main()
