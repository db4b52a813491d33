"""Objects whose owner is gone go, too; so does everything in a namespace that is deleted."""

from local_cluster.kinds import KINDS, NAMESPACES
from local_cluster.objects import Object, copied, is_going, name_of, uid_of
from local_cluster.store import Change, Key, Store
from local_cluster.work_queue import WorkQueue

_LINGERS = 0.5  # seconds until a namespace begins to empty: time to delete what is in it by name
_AGAIN = 0.05


def collect_garbage(store: Store) -> None:
    """Collect what has lost its owner, for as long as the store lives."""

    def when_changed(change: Change) -> None:
        if change.what == "DELETED":
            for kind, key in store.dependents(uid_of(change.object)):
                if store.find(kind, *key):
                    store.delete(kind, *key)

    for kind in KINDS:
        store.listen(kind, when_changed)


class NamespaceController:
    """Empties the namespaces that are going, and lets them go once nothing is left."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queue = WorkQueue(self._look)
        store.listen(NAMESPACES, self._when_changed)

    def _when_changed(self, change: Change) -> None:
        if change.what == "MODIFIED" and is_going(change.object):
            self.queue.add_after(("", name_of(change.object)), _LINGERS)

    def _look(self, key: Key) -> None:
        namespace = self._store.find(NAMESPACES, *key)
        if namespace is None or not is_going(namespace):
            return
        left = False
        for kind in KINDS:
            for one in self._store.all(kind, key[1]) if kind.namespaced else ():
                if self._store.find(kind, key[1], name_of(one)):
                    self._store.delete(kind, key[1], name_of(one))
                left = left or self._store.find(kind, key[1], name_of(one)) is not None
        if left:
            self.queue.add_after(key, _AGAIN)
        else:
            self._store.remove(NAMESPACES, *key)


def let_go(store: Store, owner: Object) -> None:
    """Take the owner's reference out of all its dependents, so that they survive it."""
    for kind, (namespace, name) in store.dependents(uid_of(owner)):
        freed = copied(store.get(kind, namespace, name))
        references = freed["metadata"]["ownerReferences"]
        freed["metadata"]["ownerReferences"] = [one for one in references if one["uid"] != uid_of(owner)]
        store.update(kind, freed)
