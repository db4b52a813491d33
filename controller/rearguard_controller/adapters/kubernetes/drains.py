"""What it takes to lead traffic away, and back to exactly what was before. Pure.

Here: the places in a Service or HTTPRoute that a drain changes, what stood there, and the JSON patches. What stood
there is kept on the object itself, so that a controller that was killed finds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rearguard_controller.adapters.foreign_json import mapping
from rearguard_controller.adapters.kubernetes.api import pointing, with_test
from rearguard_controller.adapters.kubernetes.objects import Document
from rearguard_controller.model import Drain

_SERVICES = "/api/v1/namespaces/{}/services/{}"
_ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes/{}"
SELECTOR = "/spec/selector"
DEFAULT_WEIGHT = 1  # gateway.networking.k8s.io/v1: of a backend that names none


class NotDrainableError(Exception):
    """The object cannot be drained like this; the text is one clause."""


@dataclass(frozen=True, slots=True)
class Change:
    """One place of an object, what stood there before a drain, and what the drain puts there.

    Attributes:
        at: keys and indices on the way to it.
        backend: whose weight it is; empty for a selector.
    """

    at: tuple[str | int, ...]
    before: object
    after: object
    backend: str = ""

    @property
    def path(self) -> str:
        """As a JSON pointer."""
        return pointing(*map(str, self.at))

    def now(self, document: Document) -> object:
        """What stands there now; None if nothing does, or the place is another backend's by now."""
        found = _at(document, self.at)
        if self.backend:
            if _at(document, (*self.at[:-1], "name")) != self.backend:
                return None
            return DEFAULT_WEIGHT if found is None else found
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """What the annotation on a drained object tells: for which rollback, and what was changed."""

    rollback: str
    changes: tuple[Change, ...]


def path_of(it: Drain) -> str:
    """The path of the object."""
    return (_SERVICES if it.service else _ROUTES).format(it.namespace, it.name)


def resource_of(it: Drain) -> str:
    """The object's kind as rights and kubectl name it."""
    return "services" if it.service else "httproutes.gateway.networking.k8s.io"


def annotation(it: Drain) -> str:
    """The name of the annotation that keeps what was before."""
    return f"rearguard.dev/{'selector' if it.service else 'weights'}-before"


def kept(it: Drain, document: Document) -> Kept | None:
    """What the object's annotation tells; None if it has none.

    Raises:
        NotDrainableError: it has one that cannot be read.
    """
    notes = _at(document, ("metadata", "annotations"))
    text = notes.get(annotation(it)) if isinstance(notes, dict) else None
    if text is None:
        return None
    try:
        found = json.loads(text)
        changes = tuple(Change(**{**each, "at": tuple(each["at"])}) for each in found["changes"])
        return Kept(str(found["rollback"]), changes)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotDrainableError(f"its annotation {annotation(it)} cannot be read") from None


def changes(it: Drain, document: Document) -> tuple[Change, ...]:
    """What a drain changes; nothing if the object is as the drain wants it.

    Raises:
        NotDrainableError: it has no such part, or no backend would be left.
    """
    return _of_selector(it, document) if it.service else tuple(_of_weights(it, document))


def _of_selector(it: Drain, document: Document) -> tuple[Change, ...]:
    before = _at(document, ("spec", "selector"))
    if not isinstance(before, dict) or not before:
        raise NotDrainableError("it has no selector, so it does not choose pods")
    after = {**before, **it.selector}
    return () if after == before else (Change(("spec", "selector"), before, after),)


def _of_weights(it: Drain, document: Document) -> Iterator[Change]:
    wanted, missing = {each.backend: each.weight for each in it.weights}, {each.backend for each in it.weights}
    for number, rule in enumerate(_dicts(_at(document, ("spec", "rules")))):
        weights = []
        for place, backend in enumerate(_dicts(rule.get("backendRefs"))):
            name, before = str(backend.get("name", "")), backend.get("weight", DEFAULT_WEIGHT)
            is_ours = name in wanted and _is_service(backend, it.namespace)
            weights.append((before, wanted[name] if is_ours else before))
            if is_ours:
                missing.discard(name)
                if before != wanted[name]:
                    at = ("spec", "rules", number, "backendRefs", place, "weight")
                    yield Change(at, backend.get("weight"), wanted[name], name)
        if any(before for before, _ in weights) and not any(after for _, after in weights):
            raise NotDrainableError(f"rule {number} would have no backend left: give another one a weight, too")
    if missing:
        raise NotDrainableError(f"none of its rules has the backend {', '.join(sorted(missing))}")


def drained(it: Drain, document: Document, found: tuple[Change, ...], rollback: str) -> list[Document]:
    """The operations of a JSON patch that drains, and keeps what was before; they hold only for what was read."""
    note = json.dumps({"rollback": rollback, "changes": [asdict(each) for each in found]}, separators=(",", ":"))
    operations: list[Document] = [{"op": "add", "path": each.path, "value": each.after} for each in found]
    if not isinstance(_at(document, ("metadata", "annotations")), dict):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    operations.append({"op": "add", "path": _note(it), "value": note})
    return with_test(operations, _version(document))


def restored(it: Drain, document: Document, found: Sequence[Change]) -> list[Document]:
    """The operations of a JSON patch that puts back what was before these changes, and forgets it."""
    operations: list[Document] = [
        {"op": "remove", "path": each.path}
        if each.before is None
        else {"op": "add", "path": each.path, "value": each.before}
        for each in found
    ]
    operations.append({"op": "remove", "path": _note(it)})
    tests = [(each.path, each.after) for each in found]
    return with_test(operations, _version(document), *tests)


def are(found: Sequence[Change], document: Document, *, before: bool) -> bool:
    """Whether all places are as they were before the drain, or as the drain left them."""
    return all(each.now(document) == _wanted(each, before=before) for each in found)


def by_hand(it: Drain, found: Sequence[Change]) -> str:
    """What a person may do where the object was changed by somebody else: two commands, one of which is right."""
    told = ", ".join(f"{each.path} was {json.dumps(_wanted(each, before=True))}" for each in found)
    name = f"{resource_of(it)} {it.name}"
    return (
        f"{told}. Put that back by kubectl -n {it.namespace} edit {name}, or leave it as it is by"
        f" kubectl -n {it.namespace} annotate {name} {annotation(it)}-"
    )


def _wanted(change: Change, *, before: bool) -> object:
    value = change.before if before else change.after
    return DEFAULT_WEIGHT if change.backend and value is None else value


def _is_service(backend: Document, namespace: str) -> bool:
    return (
        backend.get("kind", "Service") == "Service"
        and not backend.get("group")
        and backend.get("namespace", namespace) == namespace
    )


def _note(it: Drain) -> str:
    return pointing("metadata", "annotations", annotation(it))


def _version(document: Document) -> tuple[str, object]:
    return "/metadata/resourceVersion", mapping(document.get("metadata"), "metadata").get("resourceVersion")


def _at(document: object, at: Sequence[str | int]) -> object:
    for part in at:
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return document


def _dicts(value: object) -> list[Document]:
    return [each if isinstance(each, dict) else {} for each in value] if isinstance(value, list) else []
