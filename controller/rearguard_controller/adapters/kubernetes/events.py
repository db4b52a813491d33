"""Events on a workload, so that `kubectl describe` tells what the controller did.

They are best effort: one that cannot be written is logged, and nothing else depends on it.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime

import structlog

from rearguard_controller.adapters.kubernetes.api import Api, Document
from rearguard_controller.adapters.kubernetes.objects import PLURALS
from rearguard_controller.errors import SourceError
from rearguard_controller.model import KubernetesRelease

log = structlog.get_logger(__name__)

MOST_NOTE = 1024  # bytes that the API server takes


async def tell(api: Api, release: KubernetesRelease, uid: str, reason: str, said: str) -> None:
    """Write an event about a workload; a failure is logged."""
    try:
        await api.post(f"/api/v1/namespaces/{release.namespace}/events", _event(release, uid, reason, said))
    except SourceError as error:
        log.warning("event_not_written", workload=release.workload, error=error.message, hint=error.hint)


def _event(release: KubernetesRelease, uid: str, reason: str, said: str) -> Document:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{release.name[:200]}.{secrets.token_hex(8)}", "namespace": release.namespace},
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": PLURALS[release.kind].kind,
            "namespace": release.namespace,
            "name": release.name,
            "uid": uid,
        },
        "reason": reason,
        "message": said[:MOST_NOTE],
        "type": "Warning",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "rearguard", "host": os.environ.get("HOSTNAME", "")},
        "reportingComponent": "rearguard.dev/controller",
    }
