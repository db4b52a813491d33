"""How a target's version is read and changed: which kind of release the file names, and what it says of it."""

from __future__ import annotations

import re
from pathlib import Path

from rearguard_controller.config import hooks
from rearguard_controller.config.keys.targets import KUBERNETES_RELEASE, PROMETHEUS_RELEASE, RELEASE
from rearguard_controller.config.object_names import namespace, object_name
from rearguard_controller.config.reading import LEAST_TIMEOUT, Block, Place
from rearguard_controller.model import (
    KubernetesRelease,
    Labels,
    Mode,
    OwnerRule,
    Policy,
    PrometheusRelease,
    ReleaseKind,
    WorkloadKind,
)
from rearguard_controller.model.labels import LABEL_NAME

METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
ROLLOUT_TIMEOUT = 300.0  # seconds
_ONE = "give exactly one of command, kubernetes and prometheus"


def release(place: Place, folder: Path, telemetry: Labels) -> ReleaseKind:
    """The release of a target, of whichever kind; `telemetry` is the target's."""
    block = place.block(RELEASE)
    if len(block.entries) != 1:
        raise place.error(f"this names {'more than one kind' if block.entries else 'no kind'} of release", _ONE)
    (kind, entry), *_ = block.entries.items()
    if kind == "kubernetes":
        return _kubernetes(entry)
    if kind == "prometheus":
        return _prometheus(entry, telemetry)
    return hooks.command_release(entry, folder)


def require_way_back(place: Place, how: ReleaseKind, policy: Policy) -> None:
    """Refuse a release that cannot put a version back where the policy may ask for that."""
    if how.changes or policy.mode is Mode.OBSERVE:
        return
    lacks = "a release by prometheus" if isinstance(how, PrometheusRelease) else "a release without rollback"
    raise place.error(
        f"{lacks} can only be observed, and the mode of policy {policy.name} is {policy.mode}",
        'add `command: {current: [...], rollback: [..., "{to_version}"]}` or `kubernetes: ...`,'
        " or set `mode: observe`",
    )


def _prometheus(place: Place, telemetry: Labels) -> PrometheusRelease:
    block, usual = place.block(PROMETHEUS_RELEASE), PrometheusRelease(telemetry)
    return PrometheusRelease(
        telemetry,
        metric=_named(block.get("metric"), METRIC, "a metric") or usual.metric,
        label=_named(block.get("label"), LABEL_NAME, "a label") or usual.label,
    )


def _named(place: Place | None, pattern: re.Pattern[str], what: str) -> str:
    if place is None:
        return ""
    text = place.line(f"the name of {what}")
    if not pattern.fullmatch(text):
        raise place.error(f"{text[:60]!r} is not the name of {what}", "use letters, digits and '_', first no digit")
    return text


def _kubernetes(place: Place) -> KubernetesRelease:
    block = place.block(KUBERNETES_RELEASE)
    given = [kind for kind in WorkloadKind if kind in block.entries]
    if len(given) != 1:
        raise place.error(
            f"this names {'no workload' if not given else 'more than one workload'}",
            f"give exactly one of {', '.join(WorkloadKind)}",
        )
    timeout, owner = changing(block)
    return KubernetesRelease(
        namespace=namespace(block.need("namespace")),
        kind=given[0],
        name=object_name(block.need(given[0]), f"a {given[0]}"),
        timeout=timeout,
        owner=owner,
    )


def changing(block: Block) -> tuple[float, OwnerRule]:
    """Seconds within which a workload must be rolled out, and what to do about its owner."""
    timeout = block.duration("timeout", ROLLOUT_TIMEOUT, least=LEAST_TIMEOUT)
    return timeout, OwnerRule(block.word("owner", tuple(OwnerRule), OwnerRule.REFUSE))
