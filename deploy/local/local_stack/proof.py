"""Whether the demo's story ended well: each claim is asked of the part that must know, not of the controller alone.

Here: claims and their evidence. Never here: printing, waiting.
"""

from dataclasses import dataclass

import requests

from local_stack.ask import Asker
from local_stack.process import StackError
from local_stack.stack import Stack

_SHOPPERS_ASKED = 30  # among thirty neighbouring customers nine never joined the loyalty programme
_OK = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that must be true at the end, and what shows it."""

    claim: str
    holds: bool
    evidence: str


def prove(stack: Stack, asker: Asker, left_alone: int) -> list[Claim]:
    """Return every claim with its evidence; `left_alone` counts the further judgements of the same trouble."""
    return [_serving(stack), condition_over(asker), _traffic(stack), _once(stack, asker, left_alone)]


def _serving(stack: Stack) -> Claim:
    try:
        version = stack.release("current")
    except StackError as error:
        return Claim("v1 serves again", holds=False, evidence=str(error))
    return Claim("v1 serves again", version == "v1", f"the serving process runs {version}")


def condition_over(asker: Asker, shows: str = "v1") -> Claim:
    """Whether the condition of the rollback is over, by Prometheus, where the good version shows this label."""
    claim = "Prometheus says the condition is over"
    alerts = [f"{alert['labels']['alertname']} {alert['state']}" for alert in asker.trigger_alerts()]
    if alerts:
        return Claim(claim, holds=False, evidence=", ".join(alerts))
    found = asker.rollbacks()
    conditions = found[0]["conditions"] if found else []
    if not conditions:
        return Claim(claim, holds=False, evidence="there was no rollback")
    labels = {"service_name": "shop", "service_version": shows}
    value = asker.figure(conditions[0]["figure"], labels)
    if value is None:
        return Claim(claim, holds=False, evidence=f"Prometheus has no figure for {shows}")
    return Claim(claim, holds=True, evidence=f"no trigger alert; {conditions[0]['figure']} of {shows} is {value:.3g}")


def _traffic(stack: Stack) -> Claim:
    claim = "traffic is restored"
    try:
        state = stack.traffic("state")
        urls = [f"{stack.layout.proxy}/products/1?customer={n}" for n in range(1, _SHOPPERS_ASKED + 1)]
        good = sum(requests.get(url, timeout=5).status_code == _OK for url in urls)
    except (StackError, requests.RequestException) as error:
        return Claim(claim, holds=False, evidence=str(error))
    holds = " open " in f" {state} " and good == len(urls)
    return Claim(claim, holds, f"HAProxy: {state}; {good} of {len(urls)} shoppers served")


def _once(stack: Stack, asker: Asker, left_alone: int) -> Claim:
    found = asker.rollbacks()
    outcomes = ", ".join(str(rollback["outcome"]) for rollback in found) or "none"
    started = [line.split()[1] for line in stack.supervisor.history.read_text(encoding="utf-8").splitlines()]
    holds = [rollback["outcome"] for rollback in found] == ["recovered"] and started == ["v1", "v2", "v1"]
    evidence = (
        f"{len(found)} ({outcomes}); the supervisor started {', '.join(started)}; Alertmanager delivered"
        f" {asker.deliveries()} notifications, {left_alone} later judgements left it alone"
    )
    return Claim("exactly one rollback ran", holds, evidence)
