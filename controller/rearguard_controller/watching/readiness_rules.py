"""Could a target be rolled back if it had to be? The questions, their order, and what is said of the answers. Pure.

Here: the version that a rollback would go to, and the sentences for each check. The closed set of checks, which is a
metric label, stands in `model.checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rearguard_controller.judgement.destination import choose_destination, obstacle
from rearguard_controller.model import (
    Check,
    Facts,
    KubernetesRelease,
    PrometheusRelease,
    Release,
    ReleaseKind,
    Target,
    TargetFacts,
    TargetState,
)
from rearguard_controller.model.checks import (
    CLOCK,
    CURRENT,
    DEPLOY,
    DESTINATION,
    MATCH,
    PROMETHEUS,
    SCRAPE_INTERVAL,
    SERVICE_VERSION,
    THRESHOLDS,
    TRIGGER_RULES,
)
from rearguard_controller.releases.rollout import alternates
from rearguard_controller.releases.trust import Denial, recently_released
from rearguard_controller.wording import because, clock_time, span

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
        "An instance is scraped too rarely for release alerts: set scrape_interval.",
    ),
    CURRENT: (
        "The version that serves is read.",
        "`current` gives no version: run it by hand in the folder of the configuration file; the log says why.",
    ),
    CLOCK: (
        "Prometheus' clock and the controller's are the same, but for some seconds.",
        "Prometheus' clock and the controller's differ: let both follow the same time server.",
    ),
    PROMETHEUS: (
        "Prometheus answered the last poll.",
        "Prometheus did not answer the last poll: is it running, and prometheus.url right?",
    ),
}
_NOT_SEEN: Mapping[str, str] = {  # what is said when a poll could not tell
    TRIGGER_RULES: "Prometheus has loaded the trigger rules, and not evaluated them yet.",
    THRESHOLDS: "Prometheus did not give the thresholds of the trigger rules.",
    CLOCK: "Prometheus did not say what time it is there, so the two clocks are not compared.",
    SCRAPE_INTERVAL: (
        "No scraped instance of this target is known: Prometheus shows neither target_info nor up with the labels of"
        " `telemetry` (by default the first `match`). See whether they are spelt as Prometheus shows them."
    ),
}
NO_VERSION = "Not known while the version that serves is not."
_NOT_LOOKED = "Nobody has looked yet: the first look follows the first poll."
FOLLOWS = "It is not looked at: only the replica that leads looks, and this one does not lead."
_NOT_DENIED = Denial()
_CLOCKS_APART = 5.0  # seconds by which two clocks may differ without a word
_HANGS_AFTER = 2.0  # seconds without an answer from `current` after which that is told


def polled(name: str, *, holds: bool | None) -> Check:
    """A check that the last poll answered, with its sentence."""
    if holds is None:
        return Check(name, None, _NOT_SEEN.get(name, _NOT_LOOKED))
    good, bad = _POLLED[name]
    return Check(name, holds, good if holds else bad)


def not_looked(name: str, *, follows: bool, waits: float | None) -> Check:
    """A check that nobody has answered so far, and why.

    Args:
        name: of the check.
        follows: whether another replica leads, which alone looks.
        waits: for how many seconds `current` has been running; None when it is not.
    """
    if follows:
        return Check(name, None, FOLLOWS)
    if waits is None or waits < _HANGS_AFTER:
        return Check(name, None, _NOT_LOOKED)
    what = f"`current` has been running for {span(waits)} without an answer"
    if name == CURRENT:
        return Check(name, None, f"{what}: run it by hand in the folder of the configuration file.")
    return Check(name, None, f"Not looked at yet: {what}.")


def broke(name: str) -> Check:
    """A check that a fault of ours kept from being answered."""
    return Check(name, None, "The controller could not look; its log says why.")


def current(version: str | None, why: str, release: ReleaseKind, unready: str = "") -> Check:
    """Whether the version that serves is read, and its pods are ready; `why` and `unready` say why not."""
    if unready:
        return Check(CURRENT, False, f"{version} does not serve: {unready}.")
    if version is not None:
        return polled(CURRENT, holds=True)
    if isinstance(release, KubernetesRelease):
        return Check(CURRENT, False, f"The version of {release.workload} is not known{because(why)}")
    if isinstance(release, PrometheusRelease):
        return Check(CURRENT, False, why or "Prometheus does not say which version serves.")
    by_hand = "Run it by hand in the folder of the configuration file."
    return Check(CURRENT, False, f"`current` gives no version{because(why)} {by_hand}")


def prometheus(fault: str, hint: str) -> Check:
    """Whether Prometheus answered the last poll; `fault` says why not."""
    if not fault:
        return polled(PROMETHEUS, holds=True)
    return Check(PROMETHEUS, False, f"Prometheus did not answer the last poll. {fault.rstrip('.')}. {hint}".rstrip())


def while_away(name: str) -> Check:
    """A check that only Prometheus could answer, while it does not."""
    return Check(name, None, "Not known while Prometheus does not answer.")


def service_version(*, named: bool | None) -> Check:
    """Whether instances tell their version; None, without target_info, needs no answer."""
    if named is not False:
        return Check(SERVICE_VERSION, True, "Instances tell their version, or have no target_info.")
    detail = (
        'The target_info of this target has no service_version, or "unknown": versions cannot be told apart, so no'
        " release alert fires and no version is adopted or compared. Set service.version in the application, such as"
        " OTEL_RESOURCE_ATTRIBUTES=service.version=1.2.3."
    )
    return Check(SERVICE_VERSION, False, detail)


def no_version() -> Check:
    """What is said of `service_version` while `current` gives no version."""
    return Check(SERVICE_VERSION, None, NO_VERSION)


def match(target: Target, others: Sequence[Target]) -> Check:
    """Whether alerts of a target are its own alone. `others` take all that a `match` of it takes, or the reverse."""
    if not others:
        return Check(MATCH, True, "No other target takes all alerts of this one.")
    names = ", ".join(other.name for other in others[:_MOST_NAMED])
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    detail = (
        f"An alert may match {target.name} and {names}{more}. It is left unless exactly one of them has a recent"
        " release: add labels to `match` that tell them apart."
    )
    return Check(MATCH, False, detail)


def in_turn(serving: str | None, state: TargetState, now: float) -> Check | None:
    """The failing check if `current` prints two versions in turn; else None."""
    turns = state.alternation
    if serving is None or turns is None or not alternates(state, now):
        return None
    since = now if state.serving_since is None else state.serving_since
    detail = (
        f"`current` has printed {serving} and {turns.other} in turn since {clock_time(turns.since)}: it seems to be"
        f" asked through a load balancer during a rollout. {serving} counts as serving since {clock_time(since)}."
        " Let `current` ask what deploys the versions, not an instance."
    )
    return Check(CURRENT, False, detail)


def set_back(serving: str | None, state: TargetState, now: float) -> Check | None:
    """The failing check if the release that serves lies ahead of the clock, which was set back since; else None."""
    since = state.serving_since
    if serving is None or since is None or not state.is_release or since - now <= _CLOCKS_APART:
        return None
    detail = (
        f"{serving} counts as serving since {clock_time(since)}, {span(since - now)} ahead of the controller's clock,"
        " which was set back. Until then nothing is rolled back by itself. If a rollback is needed before:"
        f' rearguard rollback {state.target} --reason "...".'
    )
    return Check(CURRENT, False, detail)


def way_back(known: TargetFacts) -> Release | None:
    """Where a rollback would go now; if nowhere, the serving version if it is trusted.

    A rollback from the next release would go to that one. It serves, so it needs no proof that it can be activated.
    """
    chosen = choose_destination(known)
    serving = known.serving
    if chosen is not None or serving is None or serving.distrusted or serving.known_good_at is None:
        return chosen
    return serving


def destination(target: Target, facts: Facts, denial: Denial = _NOT_DENIED) -> Check:
    """Whether there is a way back; `denial` is what keeps the serving version from earning trust."""
    known = facts.target
    chosen, serving = way_back(known), known.serving_version
    if serving is None:
        return Check(DESTINATION, None, NO_VERSION)
    if chosen is None:
        told = f"There is no version to go back to from {serving}{_others(known)}"
        return Check(DESTINATION, False, f"{told}: {_ways_to_trust(target, serving, denial)}.")
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


def _ways_to_trust(target: Target, serving: str, denial: Denial) -> str:
    """How a version becomes known good: what keeps it from that comes first."""
    by_hand = f"run `rearguard release {target.name} VERSION --good`"
    failing = next((each for each in denial.checks if each.holds is False), next(iter(denial.checks), None))
    if failing is not None:
        state = "does not hold" if failing.holds is False else "is not known"
        why = f"{serving} cannot earn trust while the check {failing.name} {state}. {failing.detail.rstrip('.')}"
        return f"{why}. Once it holds, wait for known_good_after; or {by_hand}"
    if denial.up is not True:
        why = f"{serving} cannot earn trust while Prometheus does not see every instance of it up"
        return f"{why}: see `telemetry` and `up`. Once it does, wait for known_good_after; or {by_hand}"
    named = ", ".join(denial.alerts[:_MOST_NAMED])
    begins = f", which begins once {named} is neither pending nor firing (see 'Trust' in docs/behaviour.md)"
    return f"{by_hand}, or wait for known_good_after{begins if named else ''}"


def _others(known: TargetFacts) -> str:
    told = [
        f"{each.version}: {obstacle(each, known)}" for each in known.releases if each.version != known.serving_version
    ]
    return f" ({'; '.join(told[:_MOST_NAMED])})" if told else ""


def gathered(name: str, problems: Iterable[str], good: str) -> Check:
    """A check of several things, of which each one that is wrong is told."""
    found = list(problems)
    return Check(name, not found, " ".join(found) if found else good)
