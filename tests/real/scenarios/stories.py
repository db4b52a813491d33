"""What happens to each target of the stage, and what must come of it: verdict, reasons, outcome.

Here: one function for each story; the stories run side by side, each with a target of its own, and end with their
assertions. Seconds that a story sleeps are its script: how long a fault lasts.
Never here: how the parts are started (stage.py).
"""

import time
from contextlib import suppress
from typing import Any

import requests

from local_stack.process import wait_until
from real.scenarios.stage import Service, Stage, blocking, holds, series
from rearguard_controller.model import Release

HALF = {"errors": 0.5}
HOUR = 3600.0
LEAK_AGE = 1.5 * HOUR


def add_services(stage: Stage) -> None:
    """Every target that a story plays with, as it stands before anything happens."""
    stage.add("both", beside="v1")
    stage.add("payments")
    stage.add("dependant", settings={"depends_on": ["payments"]})
    stage.add("twice")
    stage.add("before")
    stage.add("restarted")
    stage.add("flapping", policy={"cooldown": "10m"})
    stage.add("worse").does("v1", requests=40)
    stage.add("silent", beside="v1")
    stage.add("restarts")
    stage.add("quiet").does("v1", requests=0)
    stage.add("unproven", settings={"verify": {"recovery": {"within": "15s"}}})
    _add_leak(stage)


def _add_leak(stage: Stage) -> None:
    """v2 came 90 minutes ago and earned its trust; its memory has grown ever since, and v1's never did."""
    leak, now = stage.add("leak", serving="v2"), time.time()
    leak.does("v2", memory=0.97)
    came, name = now - LEAK_AGE, "leak"
    times = [came + 15.0 * n for n in range(int((LEAK_AGE - 60) // 15))]
    before = [came - 1800.0 + 15.0 * n for n in range(120)]
    ratio, first, last = "version:memory_usage:ratio", "version:service:first_seen", "version:service:last_seen"
    climbing = {at: round(0.4 + 0.54 * (at - came) / LEAK_AGE, 3) for at in times}
    stage.past += [f"# TYPE {ratio} gauge"]
    stage.past += series(ratio, "v1", name, dict.fromkeys(before, 0.4)) + series(ratio, "v2", name, climbing)
    stage.past += [f"# TYPE {first} gauge"]
    stage.past += series(first, "v1", name, dict.fromkeys([*before, *times], now - 12 * HOUR))
    stage.past += series(first, "v2", name, dict.fromkeys(times, came))
    stage.past += [f"# TYPE {last} gauge"]
    stage.past += series(last, "v1", name, {at: min(at, came) for at in [*before, *times]})
    stage.past += series(last, "v2", name, {at: at for at in times})
    stage.releases += [
        Release(
            name, "v1", now - 12 * HOUR, came, now - 12 * HOUR, service_version="v1", known_good_at=now - 11 * HOUR
        ),
        Release(name, "v2", came, now, came, service_version="v2", known_good_at=came + 900),
    ]
    stage.served_since[name] = ("v2", "v1", came)


def _left(
    stage: Stage, service: Service, decision: dict, why: set[str], version: str, also: frozenset[str] = frozenset()
) -> None:
    """Nothing was done about it, for these reasons and no other; `also` may be among them."""
    assert decision["verdict"] == "leave"
    assert blocking(decision) - also == why
    assert stage.rollbacks(service.name) == []
    assert (service.version, service.activated, service.drained) == (version, [], False)


def _went_back(rollback: dict, service: Service, come_from: str, outcome: str = "recovered") -> None:
    """It went back to v1, which serves undrained traffic again."""
    assert (rollback["from_version"], rollback["to_version"]) == (come_from, "v1")
    assert rollback["outcome"] == outcome
    assert (service.version, service.drained) == ("v1", False)


def _seen(stage: Stage, service: Service, version: str) -> None:
    """The controller knows what serves, and Prometheus what it shows."""
    query = f'version:http_requests:increase15s{{service_name="{service.name}",service_version="{version}"}} > 0'
    wait_until(
        lambda: stage.target(service.name)["serving_version"] == version and _value(stage, query) is not None,
        within=60,
        what=f"{service.name} {version} is seen",
        every=1.0,
    )


def _value(stage: Stage, query: str) -> float | None:
    """What Prometheus says now."""
    found = _asked(stage, "query", query=query)["result"]
    return float(found[0]["value"][1]) if found else None


def _fires(stage: Stage, service: Service) -> bool:
    """Asked of the rules: the series `ALERTS` of a Prometheus that was killed stays in sight for five minutes."""
    own = {"service_name": service.name, "action": "rollback"}
    return any(
        each["state"] == "firing" and own.items() <= each["labels"].items()
        for each in _asked(stage, "alerts")["alerts"]
    )


def _asked(stage: Stage, path: str, **params: str) -> dict[str, Any]:
    """What Prometheus answers. Another story may be starting it anew: then once it answers again."""

    def ask() -> dict[str, Any] | None:
        with suppress(requests.RequestException):  # while it ends it answers with words, not JSON
            answer: dict[str, Any] = requests.get(
                f"{stage.prometheus_url}/api/v1/{path}", params=params, timeout=10
            ).json()
            return answer if answer["status"] == "success" else None
        return None

    return wait_until(ask, within=60, what="Prometheus answers", every=0.5)["data"]


# --- faults that the release is not to blame for -------------------------------------------------------------


def outage_that_hits_both_versions(stage: Stage) -> None:
    both = stage.services["both"]
    stage.trusted("both")
    both.deploy("v2")
    _seen(stage, both, "v2")
    both.does("v1", **HALF)
    both.does("v2", **HALF)

    def about_the_release():
        found = stage.decisions("both", "HighErrorRate")
        return next((each for each in found if each["alert"]["labels"]["service_version"] == "v2"), None)

    decision = wait_until(about_the_release, within=150, what="the alert about v2 is judged", every=1.0)
    counted = frozenset({"evidence_suffices"})  # the counts side by side say the same, if enough was asked by then
    _left(stage, both, decision, {"previous_version_healthy", "not_shown_by_older"}, "v2", counted)
    assert holds(decision)["began_after_release"] is True
    assert holds(decision)["recent_release"] is True


def outage_of_a_dependency(stage: Stage) -> None:
    payments, dependant = stage.services["payments"], stage.services["dependant"]
    for name in ("payments", "dependant"):
        stage.trusted(name)
    payments.does("v1", **HALF)
    decision = stage.confirmed("payments")
    assert holds(decision)["recent_release"] is False
    dependant.does("v2", **HALF)
    dependant.deploy("v2")
    decision = stage.confirmed("dependant")
    _left(stage, dependant, decision, {"dependencies_healthy"}, "v2")
    assert stage.rollbacks("payments") == []


def fault_that_began_before_the_release(stage: Stage) -> None:
    before = stage.services["before"]
    stage.trusted("before")
    before.does("v1", **HALF)
    before.does("v2", **HALF)
    decision = stage.confirmed("before")
    assert holds(decision)["recent_release"] is False
    before.deploy("v2")

    def about_the_release():
        return next((each for each in stage.decisions("before") if each["from_version"] == "v2"), None)

    decision = wait_until(about_the_release, within=150, what="an alert is judged after the release", every=1.0)
    assert decision["verdict"] == "leave"
    assert holds(decision)["recent_release"] is True
    assert holds(decision)["began_after_release"] is False
    assert "began_after_release" in blocking(decision)
    assert stage.rollbacks("before") == []
    assert before.version == "v2"


# --- no data -------------------------------------------------------------------------------------------------


def release_without_any_traffic(stage: Stage) -> None:
    quiet = stage.services["quiet"]
    stage.trusted("quiet")
    quiet.does("v2", requests=0)
    quiet.deploy("v2")
    shown = 'version:service:young{service_name="quiet",service_version="v2"}'
    wait_until(lambda: _value(stage, shown) is not None, within=60, what="quiet v2 is young", every=1.0)
    time.sleep(75.0)  # longer than any alert about a release waits
    assert stage.get("decisions", target="quiet")["decisions"] == []
    assert stage.rollbacks("quiet") == []
    assert (quiet.version, quiet.activated) == ("v2", [])


def destination_without_traffic(stage: Stage) -> None:
    unproven = stage.services["unproven"]
    stage.trusted("unproven")
    unproven.does("v2", **HALF)
    unproven.deploy("v2")
    _seen(stage, unproven, "v2")
    unproven.does("v1", requests=0)
    rollback = stage.closed("unproven")
    _went_back(rollback, unproven, "v2", "not_recovered")
    assert "no data" in next(step["detail"] for step in rollback["steps"] if step["kind"] == "verify_recovery")
    assert stage.target("unproven")["armed"] is False


# --- releases that are to blame ------------------------------------------------------------------------------


def slow_leak_found_after_ninety_minutes(stage: Stage) -> None:
    leak = stage.services["leak"]
    rollback = stage.closed("leak")
    _went_back(rollback, leak, "v2")
    decision = stage.get(f"decisions/{rollback['decision_id']}")
    assert decision["alert"]["name"] == "CriticalMemoryUsage"
    assert decision["verdict"] == "roll_back"
    for code in ("recent_release", "began_after_release", "previous_version_healthy"):
        assert holds(decision)[code] is True, code
    said = {reason["code"]: reason["detail"] for reason in decision["reasons"]}
    assert "v2 began to serve 1h3" in said["recent_release"]
    assert "median of 0.4" in said["previous_version_healthy"]


def release_that_fails_five_of_a_hundred(stage: Stage) -> None:
    """Both halves find it: the rules by an alert, and the controller by the same evidence from raw counters."""
    worse = stage.services["worse"]
    stage.trusted("worse")
    worse.does("v2", requests=40, errors=0.05)  # half of what the fixed threshold asks for
    worse.deploy("v2")
    rollback = stage.closed("worse")
    _went_back(rollback, worse, "v2")
    decision = stage.get(f"decisions/{rollback['decision_id']}")
    assert decision["alert"]["name"] == "ReleaseWorse"
    for code in ("recent_release", "began_after_release", "evidence_suffices", "not_a_blip"):
        assert holds(decision)[code] is True, code


def release_that_falls_silent(stage: Stage) -> None:
    silent = stage.services["silent"]
    stage.trusted("silent")
    silent.deploy("v2")
    _seen(stage, silent, "v2")
    time.sleep(75.0)  # it answers long enough to be missed
    silent.does("v2", requests=0)
    rollback = stage.closed("silent", within=300)
    assert (rollback["from_version"], rollback["to_version"]) == ("v2", "v1")
    assert (silent.version, silent.drained) == ("v1", False)
    assert stage.get(f"decisions/{rollback['decision_id']}")["alert"]["name"] == "ReleaseSilent"


def release_whose_process_keeps_starting_anew(stage: Stage) -> None:
    restarts = stage.services["restarts"]
    stage.trusted("restarts")
    restarts.does("v2", lives=12)
    restarts.deploy("v2")
    rollback = stage.closed("restarts", within=240)
    _went_back(rollback, restarts, "v2")
    assert stage.get(f"decisions/{rollback['decision_id']}")["alert"]["name"] == "ReleaseRestarts"


def two_bad_releases_in_a_row(stage: Stage) -> None:
    twice = stage.services["twice"]
    stage.trusted("twice")
    for count, version in enumerate(("v2", "v3"), 1):
        twice.does(version, **HALF)
        twice.deploy(version)
        rollback = stage.closed("twice", count)
        _went_back(rollback, twice, version)
    assert twice.activated == ["v1", "v1"]


def alert_that_flaps(stage: Stage) -> None:
    flapping = stage.services["flapping"]
    stage.trusted("flapping")
    flapping.deploy("v2")
    for errors, seconds in ((0.5, 15.0), (0.0, 25.0)):  # too short to fire
        flapping.does("v2", errors=errors)
        time.sleep(seconds)
    assert stage.rollbacks("flapping") == []
    flapping.does("v2", **HALF)
    rollback = stage.closed("flapping")
    _went_back(rollback, flapping, "v2")
    flapping.deploy("v2")  # somebody's automation puts it back
    for _ in range(2):
        flapping.does("v2", **HALF)
        wait_until(lambda: _fires(stage, flapping), within=120, what="the alert fires again", every=1.0)
        wait_until(
            lambda: any(  # others are of alerts that fired before
                each["verdict"] == "leave" and {"not_already_handled", "cooldown_over"} <= blocking(each)
                for each in stage.decisions("flapping")
            ),
            within=60,
            what="it is judged, and left because of the rollback before",
            every=1.0,
        )
        flapping.does("v2", errors=0.0)
        wait_until(lambda: not _fires(stage, flapping), within=120, what="the alert is over", every=1.0)
    assert len(stage.rollbacks("flapping")) == 1
    assert (flapping.version, flapping.activated) == ("v2", ["v1"])


def prometheus_restarted_in_the_middle(stage: Stage) -> None:
    restarted = stage.services["restarted"]
    restarted.does("v2", **HALF)
    restarted.deploy("v2")

    def verifying():
        steps = [step for each in stage.rollbacks("restarted") for step in each["steps"]]
        return any(step["kind"] == "verify_recovery" and step["state"] == "started" for step in steps)

    wait_until(verifying, within=150, what="recovery is being verified", every=0.2)
    said = stage.controller.log.read_text().count("prometheus_away")
    stage.prometheus.kill()
    wait_until(
        lambda: stage.controller.log.read_text().count("prometheus_away") > said,
        within=30,
        what="the controller misses Prometheus",
        every=0.5,
    )
    stage.prometheus.start()
    rollback = stage.closed("restarted")
    _went_back(rollback, restarted, "v2")
    assert [each["outcome"] for each in stage.rollbacks("restarted")] == ["recovered"]
    assert restarted.activated == ["v1"]
    # of what it depends on an alert fires no more, and pends again: that is not health
    assert stage.rollbacks("dependant") == []
