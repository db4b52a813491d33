"""What the controller's account may do, asked of the API server itself (SelfSubjectAccessReview)."""

from __future__ import annotations

import asyncio

from rearguard_controller.adapters.foreign_json import mapping
from rearguard_controller.adapters.kubernetes.api import Api
from rearguard_controller.adapters.kubernetes.objects import PLURALS
from rearguard_controller.model import KubernetesRelease

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
READING = ("get", "list", "watch")


async def denied(api: Api, release: KubernetesRelease) -> str:
    """What a rollback of a workload needs and the account may not do, as one clause; empty if it may do everything.

    Raises:
        SourceError: the API server could not be asked.
    """
    plural = PLURALS[release.kind]
    wanted = [(verb, plural.workloads, release.name) for verb in ("get", "patch")]
    wanted += [(verb, plural.workloads, "") for verb in ("list", "watch")]
    wanted += [(verb, plural.revisions, "") for verb in READING]
    allowed = await asyncio.gather(*(may(api, release.namespace, *each) for each in wanted))
    missing = [f"{verb} {resource}" for (verb, resource, _), may in zip(wanted, allowed, strict=True) if not may]
    if not missing:
        return ""
    return f"the controller's account may not {', '.join(missing)} in namespace {release.namespace}"


async def may(api: Api, namespace: str, verb: str, resource: str, name: str = "", *, group: str = "apps") -> bool:
    """Whether the account may do this; to any object of the resource if no name is given.

    Raises:
        SourceError: the API server could not be asked.
    """
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource} | (
        {"name": name} if name else {}
    )
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await api.review(REVIEWS, review)
    return mapping(answer.get("status") or {}, "status").get("allowed") is True
