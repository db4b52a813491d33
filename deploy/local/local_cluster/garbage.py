"""Objects whose owner is gone go, too; so does everything in a namespace that is deleted."""

from local_cluster.kinds import KINDS, NAMESPACES
from local_cluster.objects import Object, copied, name_of, uid_of
from local_cluster.store import Change, Store


def collect_garbage(store: Store) -> None:
    """Collect at each deletion, for as long as the store lives."""

    def when_changed(change: Change) -> None:
        if change.what == "DELETED":
            _end_dependents(store, change.object)
            if change.kind == NAMESPACES:
                _empty(store, name_of(change.object))

    for kind in KINDS:
        store.listen(kind, when_changed)


def _end_dependents(store: Store, owner: Object) -> None:
    for kind, (namespace, name) in store.dependents(uid_of(owner)):
        if store.find(kind, namespace, name):
            store.delete(kind, namespace, name)


def _empty(store: Store, namespace: str) -> None:
    for kind in KINDS:
        for one in store.all(kind, namespace) if kind.namespaced else ():
            if store.find(kind, namespace, name_of(one)):
                store.delete(kind, namespace, name_of(one))


def let_go(store: Store, owner: Object) -> None:
    """Take the owner's reference out of all its dependents, so that they survive it."""
    for kind, (namespace, name) in store.dependents(uid_of(owner)):
        freed = copied(store.get(kind, namespace, name))
        references = freed["metadata"]["ownerReferences"]
        freed["metadata"]["ownerReferences"] = [one for one in references if one["uid"] != uid_of(owner)]
        store.update(kind, freed)
