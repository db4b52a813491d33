"""Targets that are found in the cluster: which workloads carry the label, and what each is like as a target.

Here: looking every few seconds at what is followed anyway; from a workload with its labels and annotations to a
target; telling people of an annotation that cannot be used, by an Event on the workload and in the log.
Never here: what happens with the targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import structlog

from rearguard_controller.adapters.kubernetes import Cluster, Workload
from rearguard_controller.config import Configuration, Discover
from rearguard_controller.config.drains import settled
from rearguard_controller.errors import SourceError
from rearguard_controller.model import KubernetesRelease, Labels, Mode, Policy, Target, WorkloadKind
from rearguard_controller.model.labels import LABEL_NAME
from rearguard_controller.wording import some

log = structlog.get_logger(__name__)

LOOK_EVERY = 2.0  # seconds between two looks at what is followed
POLICY, MODE, MATCH = "rearguard.dev/policy", "rearguard.dev/mode", "rearguard.dev/match"
HOOKS = "rearguard.dev/hooks"
NO_HOOKS = "none"  # instead of their names
_CAUTIOUS = (Mode.OBSERVE, Mode.ASK, Mode.ACT)  # the most cautious first


@dataclass(frozen=True, slots=True)
class Found:
    """A target that was found, and what of its annotations cannot be used; then it only observes."""

    target: Target
    problem: str = ""


class Discovery:
    """Finds the targets of one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        """Nothing is looked at yet."""
        self._configuration = configuration
        self._told: dict[str, str] = {}  # target -> the problem that people were told of

    async def look(self, cluster: Cluster) -> tuple[Target, ...]:
        """The targets that there are now, in the order of their names.

        Raises:
            SourceError: it is not known which there are.
        """
        found = await self.find(cluster)
        for each in found:
            await self._tell(cluster, each.target.name, each)
        return tuple(each.target for each in found)

    async def find(self, cluster: Cluster) -> tuple[Found, ...]:
        """The same with what cannot be used of them, and nobody is told.

        Raises:
            SourceError: it is not known which there are.
        """
        listed = {target.name for target in self._configuration.targets}
        found: dict[str, Found] = {}
        for discover in self._configuration.discover:
            for namespace in discover.namespaces:
                for kind in discover.kinds:
                    for each in await cluster.workloads(namespace, kind):
                        if not discover.selector.fits(each.labels):
                            continue
                        one = target_of(discover, kind, each, self._configuration.policies)
                        name = one.target.name
                        if name not in listed and name not in found:  # the first entry that finds it says what it is
                            found[name] = one
        return tuple(found[name] for name in sorted(found))

    async def _tell(self, cluster: Cluster, name: str, found: Found) -> None:
        if self._told.get(name, "") == found.problem:
            return
        self._told[name] = found.problem
        release = found.target.release
        if found.problem and isinstance(release, KubernetesRelease):
            log.warning("annotation_unusable", target=name, problem=found.problem)
            try:
                await cluster.tell(release, "AnnotationUnusable", f"{found.problem} The target only observes.")
            except SourceError as error:
                log.warning("event_not_written", target=name, error=error.message)


def target_of(discover: Discover, kind: WorkloadKind, it: Workload, policies: Mapping[str, Policy]) -> Found:
    """A workload as a target. With an annotation that cannot be used it only observes, and the problem says why."""
    said, problems = {**it.labels, **it.annotations}, []
    policy = discover.policy
    named = said.get(POLICY)
    if named is not None:
        policy = policies.get(named, policy)
        if named not in policies:
            problems.append(f"There is no policy {named!r}, which {POLICY} names; known are {some(policies)}.")
    wanted = said.get(MODE)
    if wanted is not None:
        if wanted not in tuple(Mode):
            problems.append(f"{MODE}={wanted!r} is not known; it must be {', '.join(Mode)}.")
        elif _CAUTIOUS.index(Mode(wanted)) > _CAUTIOUS.index(policy.mode):
            problems.append(
                f"{MODE} is {wanted}, which is less cautious than policy {policy.name}, which says {policy.mode}."
            )
        else:
            policy = replace(policy, mode=Mode(wanted))
    match = discover.match
    if MATCH in said:
        try:
            match = (_labels(said[MATCH]),)
        except ValueError as error:
            problems.append(f"{MATCH} cannot be read ({error}); write name=value, name=value.")
    before, after = discover.before, discover.after
    if HOOKS in said:
        kept = _names(said[HOOKS])
        known = [hook.name for hook in (*before, *after)]
        if not kept or kept - {NO_HOOKS, *known}:
            problems.append(
                f"{HOOKS} is {said[HOOKS][:60]!r}, and must name some of: {', '.join([*known, NO_HOOKS])}."
            )
        else:
            before, after = (tuple(hook for hook in each if hook.name in kept) for each in (before, after))
    if problems:
        policy = replace(policy, mode=Mode.OBSERVE)
    filled = tuple(_filled(each, it, discover.environment) for each in match)
    release = KubernetesRelease(it.namespace, kind, it.name, discover.timeout, discover.owner)
    return Found(
        Target(
            name=f"{it.namespace}/{it.name}",
            match=filled,
            environment=discover.environment,
            telemetry=filled[0],
            policy=policy,
            release=release,
            before=settled(before, release),
            after=after,
            health=discover.health,
            recovery_within=discover.recovery_within,
            prometheus=discover.prometheus,
        ),
        " ".join(problems),
    )


def _filled(match: Labels, it: Workload, environment: str) -> Labels:
    values = {"{namespace}": it.namespace, "{name}": it.name, "{environment}": environment}
    filled = {}
    for name, template in match.items():
        value = template
        for word, known in values.items():
            value = value.replace(word, known)
        filled[name] = value
    return filled


def _names(text: str) -> set[str]:
    return {name for each in text.split(",") if (name := each.strip())}


def _labels(text: str) -> Labels:
    """Labels as an annotation has them: name=value, separated by commas."""
    found = dict(_pairs(text))
    if not found:
        raise ValueError("it names no label")
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        name, sign, value = (each.strip() for each in part.partition("="))
        if not sign or not LABEL_NAME.fullmatch(name) or not value:
            raise ValueError(f"{part.strip()[:60]!r} is no label")
        yield name, value
