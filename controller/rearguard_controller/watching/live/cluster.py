"""What Kubernetes itself says before a rollback is needed: rights, workloads, owners, annotations of discovery.

Here: which questions are asked of which namespace and workload, and the sentences. An API server that does not answer
is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from rearguard_controller.adapters.kubernetes import Cluster, Lacking
from rearguard_controller.config import Configuration
from rearguard_controller.errors import SourceError, sentences
from rearguard_controller.judgement.surroundings import ask_the_owner_of, owner_allows_of
from rearguard_controller.model import KubernetesRelease, Target, TargetFacts, WorkloadKind
from rearguard_controller.watching.discovered import Discovery, Found
from rearguard_controller.watching.live.finding import Finding, Weight

KUBERNETES = "Kubernetes"
MOST_AT_ONCE = 16  # workloads that are asked about side by side
_GUIDE = "deploy/kubernetes/components/target-namespace, as deploy/kubernetes/targets/shop does for shop"
_REVISIONS = {WorkloadKind.DEPLOYMENT: "replicasets"}  # of all others: controllerrevisions


class LiveCluster:
    """Asks one cluster; `targets` are the discovered ones once `look` has returned."""

    def __init__(self, configuration: Configuration, cluster: Cluster) -> None:
        """Nothing is asked yet."""
        self._configuration, self._cluster = configuration, cluster
        self._lacking: dict[str, tuple[Lacking, ...]] = {}  # by namespace
        self.targets: tuple[Target, ...] = ()

    async def look(self) -> list[Finding]:
        """Everything that is found; a fault of the API server ends the look and is the last finding."""
        found: list[Finding] = []
        try:
            for namespace, kinds in self._namespaces().items():
                self._lacking[namespace] = await self._cluster.lacking(namespace)
                found += _of_rights(namespace, kinds, self._lacking[namespace])
            found += await self._discovered()
            found += await self._of_workloads()
        except SourceError as error:
            found.append(Finding(KUBERNETES, sentences(error), Weight.BLOCKS))
        return found

    async def _of_workloads(self) -> list[Finding]:
        """What is found of every workload, some side by side; after a fault of the API server no other is asked."""
        side_by_side, faults = asyncio.Semaphore(MOST_AT_ONCE), list[SourceError]()

        async def one(target: Target, release: KubernetesRelease) -> list[Finding]:
            async with side_by_side:
                if faults:
                    return []
                try:
                    return await self._of_workload(target, release)
                except SourceError as error:
                    faults.append(error)
                    return []

        asked = [
            one(target, target.release)
            for target in (*self._configuration.targets, *self.targets)
            if isinstance(target.release, KubernetesRelease)
            and self._may_follow(target.release.namespace, target.release.kind)
        ]
        found = [each for several in await asyncio.gather(*asked) for each in several]
        return found + [Finding(KUBERNETES, sentences(error), Weight.BLOCKS) for error in faults[:1]]

    def _namespaces(self) -> Mapping[str, frozenset[WorkloadKind]]:
        """Every namespace of a target or of discovery, and which kinds of workloads are followed there."""
        kinds: dict[str, set[WorkloadKind]] = {}
        for target in self._configuration.targets:
            if isinstance(target.release, KubernetesRelease):
                kinds.setdefault(target.release.namespace, set()).add(target.release.kind)
        for entry in self._configuration.discover:
            for namespace in entry.namespaces:
                kinds.setdefault(namespace, set()).update(entry.kinds)
        return {namespace: frozenset(found) for namespace, found in kinds.items()}

    def _may_follow(self, namespace: str, kind: WorkloadKind) -> bool:
        """Whether workloads of a kind can be followed; if not, the missing rights are told already."""
        needed = _needed(frozenset({kind}))
        missing = self._lacking.get(namespace, ())
        return not any(each.resource in needed and set(each.verbs) - {"patch"} for each in missing)

    async def _discovered(self) -> list[Finding]:
        if not self._configuration.discover:
            return []
        unreadable = [
            f"{kind}s in {namespace}"
            for entry in self._configuration.discover
            for namespace in entry.namespaces
            for kind in entry.kinds
            if not self._may_follow(namespace, kind)
        ]
        if unreadable:
            said = f"Nothing is discovered while the account may not follow {', '.join(dict.fromkeys(unreadable))}."
            return [Finding(KUBERNETES, said, Weight.BLOCKS)]
        found = await Discovery(self._configuration).find(self._cluster)
        self.targets = tuple(each.target for each in found)
        said = f"{len(found)} workloads carry the label of discovery." if found else _NONE
        kind = Weight.GOOD if found else Weight.LOOK
        return [Finding(KUBERNETES, said, kind), *(_of_annotation(each) for each in found if each.problem)]

    async def _of_workload(self, target: Target, release: KubernetesRelease) -> list[Finding]:
        """Whether it is there and may be changed, and who else changes it."""
        ownership = await self._cluster.ownership(release)
        if ownership.fault:
            said = f"{ownership.fault.rstrip('.')}: are kind, namespace and name of `release.kubernetes` right?"
            return [Finding(target.name, said, Weight.BLOCKS)]
        found: list[Finding] = []
        facts = TargetFacts(None, ownership=ownership)
        if ownership.owners:
            reason = owner_allows_of(target, facts)
            remedy = "" if reason.holds else f" {ask_the_owner_of(target, facts)}"
            found.append(Finding(target.name, f"{reason.detail}{remedy}", _weight(reason.holds)))
        if not any(each.resource in _needed(frozenset({release.kind})) for each in self._lacking[release.namespace]):
            problem = await self._cluster.obstacle(release)
            good = f"The controller's account may change {release.workload}."
            said = f"No version could be activated: {problem}." if problem else good
            found.append(Finding(target.name, said, Weight.BLOCKS if problem else Weight.GOOD))
        return found


_NONE = (
    "No workload carries the label of discovery: kubectl --namespace NAMESPACE label deployment NAME"
    " rearguard.dev/watch=true (or what the selector says)."
)


def _weight(holds: bool | None) -> Weight:
    if holds is None:
        return Weight.UNKNOWN
    return Weight.LOOK if holds else Weight.BLOCKS


def _of_annotation(each: Found) -> Finding:
    said = f"{each.problem} Until the annotation is mended the target only observes."
    return Finding(each.target.name, said, Weight.BLOCKS)


def _needed(kinds: frozenset[WorkloadKind]) -> frozenset[str]:
    """The resources without which these kinds cannot be followed and rolled back."""
    revisions = {_REVISIONS.get(kind, "controllerrevisions") for kind in kinds}
    return frozenset({f"{kind}s" for kind in kinds} | revisions)


def _of_rights(namespace: str, kinds: frozenset[WorkloadKind], missing: Sequence[Lacking]) -> list[Finding]:
    """What the account may not do in a namespace: once what a rollback needs, once what only tells more."""
    if not missing:
        said = f"The controller's account has every right of the shipped Role in {namespace}."
        return [Finding(KUBERNETES, said, Weight.GOOD)]
    needed, followed = _needed(kinds), {f"{kind}s" for kind in kinds}
    others = {f"{kind}s" for kind in WorkloadKind} - followed | {"replicasets", "controllerrevisions"} - needed
    parts = {
        Weight.BLOCKS: [each for each in missing if each.resource in needed],
        Weight.LOOK: [each for each in missing if each.resource not in needed | others],
    }
    return [
        Finding(KUBERNETES, f"{_denied(namespace, some)}: apply {_GUIDE}.", weight)
        for weight, some in parts.items()
        if some
    ]


def _denied(namespace: str, missing: Sequence[Lacking]) -> str:
    return f"The controller's account may not {', nor '.join(map(str, missing))} in {namespace}"
