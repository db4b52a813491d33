"""Troubles of a rollout that Kubernetes itself tells: since when they last, and what a judgement may know of them.

Here: the memory of when each began, and the facts of an alert that was made of one. A trouble counts once it has been
seen for `HOLDS` seconds without a break, so that a pod that only starts slowly is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rearguard_controller.adapters.kubernetes import HOLDS, Trouble
from rearguard_controller.adapters.release_kinds import ReleaseKinds
from rearguard_controller.errors import SourceError
from rearguard_controller.facts.alert_facts import Confirmation, of_silencing
from rearguard_controller.facts.silences import Silences
from rearguard_controller.model import (
    Alert,
    AlertFacts,
    AlertState,
    Condition,
    Evidence,
    EvidenceSource,
    KubernetesRelease,
    Measured,
    Measurement,
    ReasonCode,
    Target,
)
from rearguard_controller.model.observations import CLUSTER, OF_CLUSTER
from rearguard_controller.wording import clock_time

BEFORE = "Kubernetes says that of the version before "
_SERVES = (ReasonCode.ALERT_CONFIRMED, ReasonCode.BEGAN_AFTER_RELEASE, ReasonCode.PREVIOUS_VERSION_HEALTHY)


@dataclass(frozen=True, slots=True)
class Lasting:
    """A trouble, and since when it was seen without a break, in seconds since the epoch."""

    trouble: Trouble
    since: float

    def counts(self, now: float) -> bool:
        """Whether it has lasted for long enough."""
        return now - self.since >= HOLDS.get(self.trouble.name, 0.0)


class ClusterTroubles:
    """What is known of the troubles of each target's workload. One for the whole process."""

    def __init__(self, kinds: ReleaseKinds, clock: Callable[[], float]) -> None:
        """Nothing is seen yet."""
        self._kinds, self._clock = kinds, clock
        self._since: dict[tuple[str, str, str], float] = {}  # target, version, trouble
        self._firing: dict[str, tuple[Alert, ...]] = {}  # by target, at the last look that got an answer

    def keep_only(self, targets: Iterable[Target]) -> None:
        """From now on these are watched; what was seen of others is forgotten."""
        names = {target.name for target in targets}
        self._since = {key: since for key, since in self._since.items() if key[0] in names}
        self._firing = {name: alerts for name, alerts in self._firing.items() if name in names}

    async def of(self, target: Target) -> dict[str, Lasting]:
        """The troubles that a target's newest template has now, by name.

        Raises:
            SourceError: they are not known.
        """
        if not isinstance(target.release, KubernetesRelease):
            return {}
        version, found = await self._kinds.troubles(target.release)
        now, lasting = self._clock(), {}
        for each in found:
            since = self._since.setdefault((target.name, version, each.name), now)
            lasting[each.name] = Lasting(each, min(since, now))
        for key in [key for key in self._since if key[0] == target.name]:
            if key[1] != version or key[2] not in lasting:
                del self._since[key]
        return lasting

    async def alerts(self, target: Target) -> tuple[Alert, ...]:
        """The troubles that count, as alerts that are triggers of the target.

        Raises:
            SourceError: they are not known.
        """
        now = self._clock()
        found = tuple(_alert(target, each) for each in (await self.of(target)).values() if each.counts(now))
        self._firing[target.name] = found
        return found

    def firing(self, target_name: str) -> tuple[Alert, ...]:
        """What the last look for a target's troubles found; that of a look without an answer does not count."""
        return self._firing.get(target_name, ())

    async def confirm(
        self, target: Target, alert: Alert, silences: Silences, now: float
    ) -> tuple[Confirmation, Measured]:
        """Whether such an alert still holds, and what can be said of its cause."""
        silencing = silences.of(alert)
        silenced = of_silencing(silencing, now)
        try:
            found = (await self.of(target)).get(alert.name)
        except SourceError as error:
            said = AlertFacts(AlertState.UNKNOWN, error.message, silencing, evidence=silenced)
            return Confirmation(said, alert, None), Measured()
        where = target.release.workload if isinstance(target.release, KubernetesRelease) else target.name
        told = "none such" if found is None else f"{found.trouble.detail}, seen since {clock_time(found.since)}"
        evidence = (Evidence(EvidenceSource.TARGET, f"pods of {where}", told, now, _SERVES), *silenced)
        if found is None:
            said = AlertFacts(AlertState.INACTIVE, "", silencing, evidence=evidence)
            return Confirmation(said, alert, None), Measured()
        state = AlertState.FIRING if found.counts(now) else AlertState.PENDING
        said = AlertFacts(state, found.trouble.detail, silencing, evidence=evidence)
        condition = Condition(alert.name, f"{CLUSTER}{alert.name}", "> 0", target.telemetry)
        return Confirmation(said, alert, condition), _measured(found)

    async def over(self, target_release: KubernetesRelease, condition: Condition) -> tuple[bool, str]:
        """Whether a condition of the cluster is over, and why."""
        try:
            version, found = await self._kinds.troubles(target_release)
        except SourceError as error:
            return False, f"{condition.alert}: {error.message}"
        trouble = next((each for each in found if each.name == condition.alert), None)
        if trouble is not None:
            return False, f"{condition.alert}: {trouble.detail}"
        return True, f"{condition.alert}: {version} has no such trouble"


def _alert(target: Target, lasting: Lasting) -> Alert:
    labels = {**target.match[0], **target.policy.alerts, "alertname": lasting.trouble.name}
    summary = lasting.trouble.detail
    return Alert(
        lasting.trouble.name, labels, {"summary": summary[:1].upper() + summary[1:] + "."}, starts_at=lasting.since,
        source=OF_CLUSTER, prometheus=target.prometheus,
    )  # fmt: skip


def _measured(found: Lasting) -> Measured:
    """How many pods are in trouble; the version before is well while pods of it are ready beside them."""
    trouble = found.trouble
    before, detail = None, "none of its pods is ready beside the new ones"
    if trouble.older_too:
        before = Measurement(float(trouble.older_too), 0.0, ">", True)
        detail = f"{BEFORE}pods are in the same trouble, "
    elif trouble.older_ready:
        pods = "1 pod is" if trouble.older_ready == 1 else f"{trouble.older_ready} pods are"
        before, detail = Measurement(0.0, 0.0, ">", False), f"{BEFORE}{pods} ready, and in trouble are "
    now = Measurement(float(trouble.pods), 0.0, ">", True)
    return Measured(now=now, since=found.since, before=before, before_detail=detail)
