"""The rights that the shipped Role gives the controller's account in a namespace, asked of the API server one by one.

Here: the same rules as in deploy/kubernetes/components/target-namespace, as a test says.
Never here: what one target's rollback needs; that is in `permissions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from rearguard_controller.adapters.kubernetes.api import Api
from rearguard_controller.adapters.kubernetes.permissions import may

AT_ONCE = 8  # questions that are asked side by side
_FOLLOW = ("get", "list", "watch")
ROLE: Mapping[tuple[str, str], tuple[str, ...]] = {  # group and resource -> verbs
    **{("apps", each): (*_FOLLOW, "patch") for each in ("deployments", "statefulsets", "daemonsets")},
    **{("apps", each): _FOLLOW for each in ("replicasets", "controllerrevisions")},
    ("", "pods"): _FOLLOW,
    ("", "events"): ("create", "patch"),
    ("autoscaling", "horizontalpodautoscalers"): ("get", "list"),
    ("policy", "poddisruptionbudgets"): ("get", "list"),
    ("", "resourcequotas"): ("get", "list"),
    **{("", each): ("get",) for each in ("configmaps", "serviceaccounts", "persistentvolumeclaims")},
}


@dataclass(frozen=True, slots=True)
class Lacking:
    """Verbs of one resource that the account has not."""

    resource: str
    verbs: tuple[str, ...]

    def __str__(self) -> str:
        """As a sentence says it: `get and patch deployments`."""
        *others, last = self.verbs
        return f"{', '.join(others)} and {last} {self.resource}" if others else f"{last} {self.resource}"


async def lacking(api: Api, namespace: str) -> tuple[Lacking, ...]:
    """Which verbs of the shipped Role the account has not in a namespace, in the order of the Role.

    Raises:
        SourceError: the API server could not be asked.
    """
    side_by_side = asyncio.Semaphore(AT_ONCE)

    async def asked(group: str, resource: str, verb: str) -> bool:
        async with side_by_side:
            return await may(api, namespace, verb, resource, group=group)

    wanted = [(group, resource, verb) for (group, resource), verbs in ROLE.items() for verb in verbs]
    first = await asked(*wanted[0])  # alone: it finds out where the API server is, and whether it answers
    questions = [asyncio.create_task(asked(*each)) for each in wanted[1:]]
    try:
        allowed = [first, *await asyncio.gather(*questions)]
    finally:  # after one that failed nobody waits for the others
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
    missing: dict[str, list[str]] = {}
    for (_, resource, verb), it in zip(wanted, allowed, strict=True):
        if not it:
            missing.setdefault(resource, []).append(verb)
    return tuple(Lacking(resource, tuple(verbs)) for resource, verbs in missing.items())
