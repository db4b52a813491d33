"""All objects of the stand-in cluster, in memory, with versions and the recent changes that a watch resumes from.

Every call is done when it returns; nothing here waits. Objects given out belong to the store: copy before changing.
"""

import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from local_cluster.errors import already_exists, conflict, expired, not_found
from local_cluster.kinds import NAMESPACES, PODS, Kind
from local_cluster.objects import Object, copied, is_going, name_of, namespace_of, time_text, uid_of

Key = tuple[str, str]  # namespace, name
What = Literal["ADDED", "MODIFIED", "DELETED"]
_FIRST_VERSION = 1000


class Change(NamedTuple):
    """One change of one object; `previous` is what it was before."""

    kind: Kind
    version: int
    what: What
    object: Object
    previous: Object | None


Listener = Callable[[Change], None]


class Store:
    """Objects by kind, namespace and name."""

    def __init__(self, *, remembered: int = 4000) -> None:
        """Remember this many changes of each kind; a watch from further back is told `410 Gone`."""
        self.version = _FIRST_VERSION
        self.oldest = 0  # the version before which everything is forgotten
        self._remembered = remembered
        self._objects: dict[Kind, dict[Key, Object]] = defaultdict(dict)
        self._changes: dict[Kind, deque[Change]] = defaultdict(deque)
        self._forgotten: dict[Kind, int] = defaultdict(int)  # the newest change that is not remembered
        self._listeners: dict[Kind, list[Listener]] = defaultdict(list)
        self._owned: dict[str, dict[tuple[Kind, Key], None]] = defaultdict(dict)

    def listen(self, kind: Kind, listener: Listener) -> Callable[[], None]:
        """Call `listener` for each change of this kind, from within the change; returns how to stop that."""
        self._listeners[kind].append(listener)
        return lambda: self._listeners[kind].remove(listener)

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return the object or None."""
        return self._objects[kind].get((namespace, name))

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return the object; raises `ApiError` 404."""
        found = self._objects[kind].get((namespace, name))
        if found is None:
            raise not_found(kind, name)
        return found

    def all(self, kind: Kind, namespace: str = "") -> list[Object]:
        """Return the objects of a kind, of one namespace or of all, ordered by namespace and name."""
        objects = self._objects[kind]
        return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def owned_by(self, owner: Object, kind: Kind) -> list[Object]:
        """Return the objects of this kind that `owner` controls."""
        keys = self._owned.get(uid_of(owner), ())
        return [self._objects[kind][key] for of_kind, key in keys if of_kind == kind]

    def dependents(self, uid: str) -> list[tuple[Kind, Key]]:
        """Return where the objects are that name `uid` as an owner."""
        return list(self._owned.get(uid, ()))

    def create(self, kind: Kind, value: Object, *, keep: bool = True) -> Object:
        """Store a new object, with uid, version and creation time; raises `ApiError` 409 when the name is taken.

        Without `keep` nothing is stored: the answer is what would have been.
        """
        metadata = dict(value["metadata"])
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._free_name(kind, str(metadata.get("namespace") or ""), metadata["generateName"])
        value = {**value, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        key = (namespace_of(value), name_of(value))
        if key in self._objects[kind]:
            raise already_exists(kind, key[1])
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = time_text()
        if "spec" in value:
            metadata["generation"] = 1
        if keep:
            self._keep(kind, "ADDED", value, None)
        return value

    def _free_name(self, kind: Kind, namespace: str, prefix: str) -> str:
        while (namespace, name := prefix + uuid.uuid4().hex[:5]) in self._objects[kind]:
            pass
        return name

    def check_version(self, kind: Kind, value: Object) -> Object:
        """Return what is stored in place of `value`; raises `ApiError`: 404, 409 for another version or uid."""
        stored = self.get(kind, namespace_of(value), name_of(value))
        version, uid = value["metadata"].get("resourceVersion"), value["metadata"].get("uid")
        if version and version != stored["metadata"]["resourceVersion"]:
            raise conflict(kind, name_of(value))
        if uid and uid != uid_of(stored):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(stored)}"
            raise conflict(kind, name_of(value), why)
        return stored

    def update(self, kind: Kind, value: Object, *, keep: bool = True) -> Object:
        """Store a new state of an object, if anything differs; raises `ApiError`: 404, 409 for a stale version.

        Without `keep` nothing is stored: the answer is what would have been.
        """
        stored = self.check_version(kind, value)
        metadata = {**value["metadata"]}
        for field in ("uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp"):
            if field in stored["metadata"]:
                metadata[field] = stored["metadata"][field]
        value = {**value, "apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        if value == stored:
            return stored
        if "spec" in value and value["spec"] != stored.get("spec"):
            metadata["generation"] = int(stored["metadata"].get("generation", 0)) + 1
        if not keep:
            return value
        self._keep(kind, "MODIFIED", value, stored)
        if is_going(value) and not metadata.get("finalizers") and kind not in (PODS, NAMESPACES):
            self.remove(kind, namespace_of(value), name_of(value))
        return value

    def delete(self, kind: Kind, namespace: str, name: str) -> Object:
        """Delete an object, or mark it as going while a finalizer or a pod holds it; raises `ApiError` 404."""
        stored = self.get(kind, namespace, name)
        held = stored["metadata"].get("finalizers") or kind in (PODS, NAMESPACES)
        if not held:
            return self.remove(kind, namespace, name)
        if is_going(stored):
            return stored
        going = copied(stored)
        going["metadata"]["deletionTimestamp"] = time_text()
        if kind == PODS:
            going["metadata"]["deletionGracePeriodSeconds"] = 30
        if kind == NAMESPACES:
            going["status"] = {"phase": "Terminating"}
        self._keep(kind, "MODIFIED", going, stored)
        return going

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        """Take the object out at once, whatever holds it; raises `ApiError` 404."""
        stored = self.get(kind, namespace, name)
        self._keep(kind, "DELETED", {**stored, "metadata": dict(stored["metadata"])}, stored)
        return stored

    def changes_since(self, kind: Kind, version: int) -> Iterator[Change]:
        """Return the later changes of a kind; raises `ApiError` 410 when some of them are forgotten."""
        oldest = max(self._forgotten[kind], self.oldest)
        if version < oldest:
            raise expired(f"too old resource version: {version} ({oldest})")
        return iter([change for change in self._changes[kind] if change.version > version])

    def forget_changes(self) -> None:
        """Forget all changes so far: a watch from an older version is told `410 Gone`, as after a compaction."""
        self.version += 1
        self.oldest = self.version
        for changes in self._changes.values():
            changes.clear()

    def _keep(self, kind: Kind, what: What, value: Object, previous: Object | None) -> None:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        key = (namespace_of(value), name_of(value))
        self._note_owners(kind, key, previous, known=False)
        if what == "DELETED":
            del self._objects[kind][key]
        else:
            self._objects[kind][key] = value
            self._note_owners(kind, key, value, known=True)
        change = Change(kind, self.version, what, value, previous)
        changes = self._changes[kind]
        changes.append(change)
        if len(changes) > self._remembered:
            self._forgotten[kind] = changes.popleft().version
        for listener in tuple(self._listeners[kind]):
            listener(change)

    def _note_owners(self, kind: Kind, key: Key, value: Object | None, *, known: bool) -> None:
        for owner in (value or {"metadata": {}})["metadata"].get("ownerReferences") or []:
            if known:
                self._owned[owner["uid"]][kind, key] = None
            else:
                owned = self._owned.get(owner["uid"], {})
                owned.pop((kind, key), None)
                if not owned:
                    self._owned.pop(owner["uid"], None)
