"""A month of twenty targets: the whole back-test takes less than a minute, and finds what the script says."""

import json
import random
import resource
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime

import pytest

from real.controller.past import Past, remembered

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
EVERY = 60.0
START = float(int(time.time() - 31 * DAY + HOUR) // 60 * 60)
END = START + 30 * DAY
TARGETS = [f"service-{number:02d}" for number in range(20)]
NOISY = "noisy"
KINDS = ("good", "good", "taken_back", "replaced", "sick_before", "taken_back_unheard", "sick_late")
RULES = """
groups:
  - name: shop
    interval: 1m
    rules:
      - alert: ReleaseErrorRate
        expr: version:errors:ratio > on (service_name) group_left () service:errors:threshold
        for: 2m
        labels: {severity: critical, action: rollback}
        annotations: {figure: "version:errors:ratio", threshold: "> service:errors:threshold"}
      - alert: NeverFired
        expr: version:errors:ratio > 7
        for: 2m
        labels: {severity: critical, action: rollback}
        annotations: {figure: "version:errors:ratio", threshold: "> 7"}
"""


def configuration(folder, address):
    lines = [
        "environment: production",
        f"journal: sqlite://{folder}/none/journal.db",
        f'prometheus: {{url: "{address}"}}',
        "policies: {standard: {mode: act, budget: {rollbacks: 9, per: 1d}}}",
        "targets:",
        *(
            f"  - {{name: {name}, match: {{service_name: {name}}}, policy: standard,"
            f" release: {{command: {{current: [touch, {folder}/ran], rollback: [touch, {folder}/ran]}}}}}}"
            for name in (*TARGETS, NOISY)
        ),
    ]
    return "\n".join(lines) + "\n"


class Life:
    """One target's month: a release every three days or so, each with a fate; what is true of it is written down."""

    def __init__(self, past, name, seed):
        self.past, self.name, self.chance = past, name, random.Random(seed)  # noqa: S311  # fates
        self.begun, self.alone, self.left = [], [], []
        self.count, self.serving, self.since = 1, "v1", START
        self.sick = []  # (start, end) of the serving version

    def live(self):
        at = START + self.chance.uniform(2, 4) * DAY
        while at < END - DAY:
            at = float(int(at) // 60 * 60)
            getattr(self, self.chance.choice(KINDS))(at)
            at += self.chance.uniform(2, 4) * DAY
        self.leave(END)
        return self

    # --- what is written

    def leave(self, at):
        """The serving version is scraped up to `at`; its figure is past the threshold where it was sick."""
        own = {"service_name": self.name}
        self.past.version(own, self.serving, self.since, at - EVERY)
        moment = self.since
        for start, end in self.sick:
            self.past.add(
                "version:errors:ratio", {**own, "service_version": self.serving}, moment, start - EVERY, 0.01
            )
            self.past.add("version:errors:ratio", {**own, "service_version": self.serving}, start, end - EVERY, 0.4)
            moment = end
        self.past.add("version:errors:ratio", {**own, "service_version": self.serving}, moment, at - EVERY, 0.01)

    def serve(self, version, at):
        self.leave(at)
        self.serving, self.since, self.sick = version, at, []

    def release(self, at):
        before, self.count = self.serving, self.count + 1
        self.serve(f"v{self.count}", at)
        return before

    def falls_sick(self, start, end, version=None):
        """The serving version is past the threshold; its alert is pending for two minutes, then fires."""
        self.sick.append((start, end))
        labels = {"service_name": self.name, "service_version": version or self.serving}
        self.past.fires("ReleaseErrorRate", labels, start, start + 2 * MINUTE, end - EVERY)
        return start + 2 * MINUTE

    # --- fates

    def good(self, at):
        self.release(at)

    def taken_back(self, at):
        before = self.release(at)
        fired = self.falls_sick(at + 9 * MINUTE, at + 50 * MINUTE)
        self.begun.append((fired, self.name, self.serving, before, at + 50 * MINUTE))
        self.serve(before, at + 50 * MINUTE)

    def replaced(self, at):
        before = self.release(at)
        fired = self.falls_sick(at + 20 * MINUTE, at + 3 * HOUR)
        self.begun.append((fired, self.name, self.serving, before, None))
        self.release(at + 3 * HOUR)

    def sick_before(self, at):
        """The fault began before the release, and the new version has it, too: one alert without a version.

        It is pending for a single sample, so days lie between most of its pending samples.
        """
        own = {"service_name": self.name}
        self.sick.append((at - 30 * MINUTE, at))
        self.release(at)
        self.sick.append((at, at + 40 * MINUTE))
        self.past.fires("ReleaseErrorRate", own, at - 30 * MINUTE, at - 29 * MINUTE, at + 40 * MINUTE)
        self.left.append((self.name, self.serving, "began_after_release"))

    def taken_back_unheard(self, at):
        before = self.release(at)
        self.alone.append((at + 30 * MINUTE, self.name, self.serving, before))
        self.serve(before, at + 30 * MINUTE)

    def sick_late(self, at):
        self.release(at)
        self.falls_sick(at + 5 * HOUR, at + 6 * HOUR)
        self.left.append((self.name, self.serving, "recent_release"))


def noise(past):
    """One more target: an alert of it flaps for the whole month, and another one never ends."""
    past.version({"service_name": NOISY}, "v1", START, END)
    for start in range(int(START), int(END - HOUR), 600):
        past.fires("Flapping", {"service_name": NOISY}, float(start), start + MINUTE, start + 3 * MINUTE)
    past.fires("Chronic", {"service_name": NOISY, "mode": "x"}, START, START + MINUTE, END)


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def spent(address):
    """Seconds of processor time that Prometheus and the commands of this process have taken so far.

    A busy machine makes both wait, which is not their doing.
    """
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:  # noqa: S310  # our own Prometheus
        (mine,) = [
            line for line in answer.read().decode().splitlines() if line.startswith("process_cpu_seconds_total ")
        ]
    commands = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(mine.split()[1]) + commands.ru_utime + commands.ru_stime


def backtested(folder, address, *words):
    """What is found, and how many seconds of processor time that takes."""
    command = [sys.executable, "-m", "rearguard_controller", "backtest", "--config", folder / "rearguard.yaml"]
    before = spent(address)
    done = subprocess.run([*command, *words, "--json"], capture_output=True, text=True, check=False)
    took = spent(address) - before
    assert (done.returncode, done.stdout[:1]) == (0, "{"), done.stderr
    return json.loads(done.stdout), took


def rollbacks(found):
    told = [
        (
            seconds(each["decided_at"]),
            each["target"],
            each["from_version"],
            each["to_version"],
            None if each["people"] is None else seconds(each["people"]["at"]),
        )
        for each in found["rollbacks"]
    ]
    return sorted(told, key=lambda each: each[:3])


@pytest.mark.timeout(900)  # the month is also written, and told once more
@pytest.mark.alone
@pytest.mark.soak
def test_a_month_of_twenty_targets_takes_less_than_a_minute_and_is_as_scripted(tmp_path):
    past = Past(tmp_path, EVERY)
    for name in TARGETS:
        past.add("service:errors:threshold", {"service_name": name}, START, END, 0.1)
    lives = [Life(past, name, seed).live() for seed, name in enumerate(TARGETS)]
    noise(past)
    begun = sorted(each for life in lives for each in life.begun)
    alone = sorted(each for life in lives for each in life.alone)
    left = {each for life in lives for each in life.left}
    assert len(begun) > 30
    assert len(alone) > 10
    assert len(left) > 20

    with remembered(past, RULES) as address:
        (tmp_path / "rearguard.yaml").write_text(configuration(tmp_path, address))
        found, took = backtested(tmp_path, address, "--since", "31d")
        until = datetime.fromtimestamp(END + 1234.5, UTC).isoformat()
        shorter, _ = backtested(tmp_path, address, "--since", "31d", "--until", until)

    assert rollbacks(found) == begun
    assert (shorter["rollbacks"], shorter["left"]) == (found["rollbacks"], found["left"])
    only = [
        (seconds(each["at"]), each["target"], each["from_version"], each["to_version"])
        for each in found["only_people"]
    ]
    assert only == alone
    assert left <= {(each["target"], each["from_version"], each["in_the_way"]) for each in found["left"]}
    noisy = {(each["alert"]["name"], each["times"]) for each in found["left"] if each["target"] == NOISY}
    assert noisy == {("Flapping", 4314), ("Chronic", 1)}
    assert took < 60
    print(f"{took:.1f} s of processor time")  # noqa: T201  # the figure of the campaign
