"""How a target's version is read and changed: which kind of release the file names, and what it says of it."""

from __future__ import annotations

from pathlib import Path

from rearguard_controller.config import hooks
from rearguard_controller.config.keys.targets import KUBERNETES_RELEASE, RELEASE
from rearguard_controller.config.object_names import namespace, object_name
from rearguard_controller.config.reading import LEAST_TIMEOUT, Block, Place
from rearguard_controller.model import KubernetesRelease, OwnerRule, ReleaseKind, WorkloadKind

ROLLOUT_TIMEOUT = 300.0  # seconds
_ONE = "give exactly one of command and kubernetes"


def release(place: Place, folder: Path) -> ReleaseKind:
    """The release of a target, of whichever kind."""
    block = place.block(RELEASE)
    command, kubernetes = block.get("command"), block.get("kubernetes")
    if command is not None and kubernetes is not None:
        raise place.error("this names two kinds of release", _ONE)
    if kubernetes is not None:
        return _kubernetes(kubernetes)
    if command is None:
        raise place.error("this names no kind of release", _ONE)
    return hooks.command_release(command, folder)


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
