"""Hooks that lead traffic away inside a cluster.

Here: what a file says of them, and the names that only the target's workload gives them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from rearguard_controller.config.keys.targets import DRAIN
from rearguard_controller.config.object_names import namespace, object_name
from rearguard_controller.config.reading import Block, Place, meant
from rearguard_controller.model import Drain, Hook, KubernetesRelease, ReleaseKind, Weight, WorkloadKind
from rearguard_controller.model.targets import PLACEHOLDERS

NAME = "{name}"  # of the target's workload
HEAVIEST = 1_000_000  # gateway.networking.k8s.io/v1: the most that a backend may weigh
_PART = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = re.compile(f"(?:{_PART})?")
_LABEL_NAME = re.compile(rf"(?:(?=[^/]{{1,253}}/)[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?{_PART}")
_WORD = re.compile(r"\{([^{}]*)\}")
_ONE = "give exactly one of service and httproute"
_OF_VERSION: Mapping[WorkloadKind, tuple[str, str]] = {  # the label by which Kubernetes marks the pods of a template
    WorkloadKind.DEPLOYMENT: ("pod-template-hash", "{to_version}"),
    WorkloadKind.STATEFUL_SET: ("controller-revision-hash", "{name}-{to_version}"),
    WorkloadKind.DAEMON_SET: ("controller-revision-hash", "{to_version}"),
}


def drain(place: Place, timeout: float, *, in_cluster: bool) -> tuple[Drain, bool]:
    """A drain, and whether it is taken back only once the target is healthy.

    Args:
        place: where it stands.
        timeout: seconds for one attempt of it.
        in_cluster: the target is a workload; else namespace and selector have to be given.
    """
    block = place.block(DRAIN)
    service, route, where = block.get("service"), block.get("httproute"), block.get("namespace")
    if (service is None) == (route is None):
        raise place.error(f"this names {'no object' if service is None else 'two objects'}", _ONE)
    if where is None and not in_cluster:
        raise place.error("the key 'namespace' is missing", "add namespace: ...")
    word = NAME if in_cluster else ""
    only_for = ("weights", "httproute") if service is not None else ("selector", "service")
    for key, other in (only_for, *((("least", "service"),) if route is not None else ())):
        if (misplaced := block.get(key)) is not None:
            raise misplaced.error(f"this is for {other}", f"remove it, or name the object by {other}")
    least = block.get("least")
    found = Drain(
        namespace="" if where is None else namespace(where),
        timeout=timeout,
        service="" if service is None else object_name(service, "a Service", word),
        httproute="" if route is None else object_name(route, "an HTTPRoute", word),
        selector={} if service is None else _selector(block, in_cluster=in_cluster),
        least=1 if least is None else least.count(),
        weights=() if route is None else _weights(block.need("weights"), word),
    )
    return found, block.word("restore", ("always", "healthy"), "always") == "healthy"


def _selector(block: Block, *, in_cluster: bool) -> dict[str, str]:
    place = block.get("selector") if in_cluster else block.need("selector")
    if place is None:
        return {}
    entries = place.entries("a mapping of labels")
    if not entries:
        raise place.error("this is empty", "name at least one label")
    known = (*PLACEHOLDERS, "name") if in_cluster else PLACEHOLDERS
    for key, entry in entries.items():
        if not _LABEL_NAME.fullmatch(key):
            raise entry.error(f"{key[:60]!r} is no label name", "use letters, digits, '-', '_' and '.'")
        text = entry.line("a label's value")
        for word in _WORD.findall(text):
            if word not in known:
                raise entry.error(f"the placeholder {{{word}}} is not known", meant(word, known))
        if not _LABEL_VALUE.fullmatch(_WORD.sub("x", text)):
            raise entry.error(f"{text[:60]!r} is no label value", "use letters, digits, '-', '_' and '.', at most 63")
    return {key: entry.text() for key, entry in entries.items()}


def _weights(place: Place, word: str) -> tuple[Weight, ...]:
    entries = place.entries("a mapping of backends to whole numbers")
    if not entries:
        raise place.error("this is empty", "name at least one backend, as in `weights: {checkout-canary: 0}`")
    found = []
    for backend, entry in entries.items():
        name = object_name(entry, "a Service", word, written=backend)
        weight = entry.count(least=0)
        if weight > HEAVIEST:
            raise entry.error(f"{weight} is too much", f"a backend weighs at most {HEAVIEST}")
        found.append(Weight(name, weight))
    return tuple(found)


def settled(hooks: tuple[Hook, ...], release: ReleaseKind) -> tuple[Hook, ...]:
    """The hooks with what only the target's workload says: where to drain, and which pods serve a version."""
    if not isinstance(release, KubernetesRelease):
        return hooks
    return tuple(_settled(hook, release) for hook in hooks)


def _settled(hook: Hook, release: KubernetesRelease) -> Hook:
    if not isinstance(hook.action, Drain):
        return hook
    drain, name = hook.action, release.name
    selector = drain.selector
    if drain.service and not selector:
        label, value = _OF_VERSION[release.kind]
        selector = {label: value}
    action = replace(
        drain,
        namespace=drain.namespace or release.namespace,
        service=drain.service.replace(NAME, name),
        httproute=drain.httproute.replace(NAME, name),
        selector={label: value.replace(NAME, name) for label, value in selector.items()},
        weights=tuple(replace(each, backend=each.backend.replace(NAME, name)) for each in drain.weights),
    )
    return replace(hook, action=action, undo=replace(action, restore=True))
