"""Could a target be rolled back if it had to be? The questions, their order, and what is said of the answers. Pure.

Here: the closed set of checks (it is a metric label), the way back that the next bad night would take, the sentences,
and the alert that a drill sends on its way.
Never here: finding anything out (`readiness`, `drill`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rearguard_controller.destination import choose_destination, obstacle
from rearguard_controller.errors import RearguardError
from rearguard_controller.model import DRILL_LABEL, Alert, Check, Facts, Labels, Release, Target
from rearguard_controller.trust import recently_released
from rearguard_controller.words import span

CURRENT = "current"
DESTINATION = "destination"
DEPLOY = "deploy"
ROLLBACK_COMMAND = "rollback_command"
HOOKS = "hooks"
PROMETHEUS = "prometheus"
TRIGGER_RULES = "trigger_rules"
THRESHOLDS = "thresholds"
SCRAPE_INTERVAL = "scrape_interval"
ALERTMANAGER = "alertmanager"
NOTIFY = "notify"
HEALTH = "health"
ROUTING = "routing"
JOURNAL = "journal"

# Those that touch nothing are asked all the time; the others by a drill only.
READY_CHECKS = (
    SCRAPE_INTERVAL,
    TRIGGER_RULES,
    THRESHOLDS,
    CURRENT,
    DESTINATION,
    DEPLOY,
    ROLLBACK_COMMAND,
    HOOKS,
    PROMETHEUS,
    ALERTMANAGER,
    NOTIFY,
)
DRILL_CHECKS = (
    CURRENT,
    DESTINATION,
    DEPLOY,
    ROLLBACK_COMMAND,
    HOOKS,
    HEALTH,
    PROMETHEUS,
    TRIGGER_RULES,
    THRESHOLDS,
    SCRAPE_INTERVAL,
    ALERTMANAGER,
    ROUTING,
    NOTIFY,
    JOURNAL,
)
LONGEST_DEPLOY = 1800.0  # seconds for which an announced deployment may go on before somebody is told
DRILL_ALERT = "RearguardDrill"
_DRILL_ID = re.compile(r"x[0-9A-Za-z_-]{1,60}")  # as `app` makes them
_MOST_NAMED = 3  # versions that a sentence goes into

_POLLED: Mapping[str, tuple[str, str]] = {  # what is said when it holds, and when it does not
    TRIGGER_RULES: (
        "Trigger rules are loaded, and all of them are evaluated.",
        "No trigger rule is loaded, or one is not evaluated: load rules/, and see /rules of Prometheus.",
    ),
    THRESHOLDS: (
        "Every figure of the trigger rules has its threshold.",
        "A figure has no threshold for this target: load rules/thresholds.yml and rules/recording.yml.",
    ),
    SCRAPE_INTERVAL: (
        "Every instance is scraped at least every 15 s.",
        "An instance is scraped less often than every 15 s, too rarely for release alerts: set scrape_interval.",
    ),
    CURRENT: (
        "The version that serves is read.",
        "`current` gives no version: run it by hand in the folder of the configuration file; the log says why.",
    ),
    PROMETHEUS: (
        "Prometheus answered the last poll.",
        "Prometheus did not answer the last poll: is it running, and prometheus.url right?",
    ),
}
_NOT_SEEN = "Nobody has been able to tell so far; only the replica that leads looks."


def polled(name: str, holds: bool | None) -> Check:  # a name and its answer belong together
    """A check that the last poll answered, with its sentence."""
    if holds is None:
        return Check(name, None, _NOT_SEEN)
    good, bad = _POLLED[name]
    return Check(name, holds, good if holds else bad)


def way_back(facts: Facts) -> Release | None:
    """Where a rollback would go now, else where one from the next release would: the trusted version that serves.

    That one needs no proof that it can be activated: it serves.
    """
    chosen = choose_destination(facts)
    serving = facts.release(facts.serving_version)
    if chosen is not None or serving is None or serving.distrusted or serving.known_good_at is None:
        return chosen
    return serving


def destination(target: Target, facts: Facts) -> Check:
    """Whether there is a way back."""
    chosen, serving = way_back(facts), facts.serving_version
    if serving is None:
        return Check(DESTINATION, None, "Not known while the version that serves is not.")
    if chosen is None:
        ways = f"run `rearguard release {target.name} VERSION --good`, or wait for known_good_after"
        return Check(DESTINATION, False, f"There is no version to go back to from {serving}{_others(facts)}: {ways}.")
    if chosen.version != serving:
        return Check(DESTINATION, True, f"A rollback would go from {serving} to {chosen.version}.")
    state = facts.state
    if state is not None and recently_released(state, facts.now, target.policy.watch_window):
        detail = (
            f"{serving} may still be blamed for {span(target.policy.watch_window)} after its release, and there is"
        )
        return Check(DESTINATION, False, f"{detail} no version to go back to from it{_others(facts)}.")
    return Check(
        DESTINATION, True, f"{serving} serves and is known good: the next release has it to go back to; it has none."
    )


def deploy(target: Target, facts: Facts) -> Check:
    """Whether no announced deployment has been left without its end: it would stand in the way for ever."""
    began = None if facts.state is None else facts.state.deploy_started_at
    if began is None:
        return Check(DEPLOY, True, "No deployment is announced as running.")
    age = facts.now - began
    told = f"A deployment was announced {span(age)} ago and has not been announced as finished"
    if age <= LONGEST_DEPLOY:
        return Check(DEPLOY, True, f"{told}; until it is, nothing is rolled back by itself.")
    way = f"run `rearguard release {target.name} VERSION --phase finished`"
    return Check(
        DEPLOY, False, f"{told}, so that nothing is rolled back by itself: {way}, in CI also when a deployment fails."
    )


def _others(facts: Facts) -> str:
    told = [
        f"{each.version}: {obstacle(each, facts)}" for each in facts.releases if each.version != facts.serving_version
    ]
    return f" ({'; '.join(told[:_MOST_NAMED])})" if told else ""


def told(error: RearguardError) -> str:
    """A fault and what to do about it, as sentences."""
    return f"{error.message.rstrip('.')}. {error.hint}".rstrip()


def gathered(name: str, problems: Iterable[str], good: str) -> Check:
    """A check of several things, of which each one that is wrong is told."""
    found = list(problems)
    return Check(name, not found, " ".join(found) if found else good)


def drill_labels(target: Target, drill_id: str) -> Labels | None:
    """Labels that take a drill's alert the way of this target's triggers; None when no alert can be one.

    Of several maps in `match` the first is taken.
    """
    wanted = target.trigger_labels()
    return {"alertname": DRILL_ALERT, **wanted[0], DRILL_LABEL: drill_id} if wanted else None


def drill_alert(target: Target, labels: Labels, now: float) -> Alert:
    """The alert that a drill sends: it says what it is to whoever else is told of it."""
    texts = {
        "summary": f"This is a drill of {target.name}: nothing is wrong.",
        "description": "Rearguard tries whether alerts reach it by way of Alertmanager. There is nothing to do.",
    }
    return Alert(labels["alertname"], labels, texts, starts_at=now)


def drills_in(alerts: Iterable[Alert]) -> tuple[str, ...]:
    """The ids of the drills whose alerts are among these, each once; a label that can be no id of ours is none."""
    found = (alert.labels.get(DRILL_LABEL, "") for alert in alerts)
    return tuple(dict.fromkeys(each for each in found if _DRILL_ID.fullmatch(each)))


def is_of_a_drill(alert: Alert) -> bool:
    """Whether an alert is a drill's, whoever sent it: never judged, never told of, whatever else it carries."""
    return bool(alert.labels.get(DRILL_LABEL))
