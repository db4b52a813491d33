"""Could a target be rolled back if it had to be? The questions, their order, and what is said of the answers. Pure.

Here: the version that a rollback would go to, and the sentences for each check. The closed set of checks, which is a
metric label, stands in `model.checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rearguard_controller.errors import RearguardError
from rearguard_controller.judgement.destination import choose_destination, obstacle
from rearguard_controller.model import Check, Facts, Release, Target, TargetFacts
from rearguard_controller.model.checks import (
    CURRENT,
    DEPLOY,
    DESTINATION,
    PROMETHEUS,
    SCRAPE_INTERVAL,
    THRESHOLDS,
    TRIGGER_RULES,
)
from rearguard_controller.releases.trust import recently_released
from rearguard_controller.wording import span

LONGEST_DEPLOY = 1800.0  # seconds for which an announced deployment may go on before somebody is told
_MOST_NAMED = 3  # versions that a sentence names

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


def polled(name: str, *, holds: bool | None) -> Check:
    """A check that the last poll answered, with its sentence."""
    if holds is None:
        return Check(name, None, _NOT_SEEN)
    good, bad = _POLLED[name]
    return Check(name, holds, good if holds else bad)


def way_back(known: TargetFacts) -> Release | None:
    """Where a rollback would go now; if nowhere, the serving version if it is trusted.

    A rollback from the next release would go to that one. It serves, so it needs no proof that it can be activated.
    """
    chosen = choose_destination(known)
    serving = known.serving
    if chosen is not None or serving is None or serving.distrusted or serving.known_good_at is None:
        return chosen
    return serving


def destination(target: Target, facts: Facts) -> Check:
    """Whether there is a way back."""
    known = facts.target
    chosen, serving = way_back(known), known.serving_version
    if serving is None:
        return Check(DESTINATION, None, "Not known while the version that serves is not.")
    if chosen is None:
        ways = f"run `rearguard release {target.name} VERSION --good`, or wait for known_good_after"
        return Check(DESTINATION, False, f"There is no version to go back to from {serving}{_others(known)}: {ways}.")
    if chosen.version != serving:
        return Check(DESTINATION, True, f"A rollback would go from {serving} to {chosen.version}.")
    state = known.state
    if state is not None and recently_released(state, facts.now, target.policy.watch_window):
        detail = (
            f"{serving} may still be blamed for {span(target.policy.watch_window)} after its release, and there is"
        )
        return Check(DESTINATION, False, f"{detail} no version to go back to from it{_others(known)}.")
    return Check(
        DESTINATION, True, f"{serving} serves and is known good: the next release has it to go back to; it has none."
    )


def deploy(target: Target, facts: Facts) -> Check:
    """Whether no deployment was announced without its end, which would stand in the way for ever."""
    state = facts.target.state
    began = None if state is None else state.deploy_started_at
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


def _others(known: TargetFacts) -> str:
    told = [
        f"{each.version}: {obstacle(each, known)}" for each in known.releases if each.version != known.serving_version
    ]
    return f" ({'; '.join(told[:_MOST_NAMED])})" if told else ""


def told(error: RearguardError) -> str:
    """A fault and what to do about it, as sentences."""
    return f"{error.message.rstrip('.')}. {error.hint}".rstrip()


def gathered(name: str, problems: Iterable[str], good: str) -> Check:
    """A check of several things, of which each one that is wrong is told."""
    found = list(problems)
    return Check(name, not found, " ".join(found) if found else good)
