"""ControllerRevisions: the numbered templates of StatefulSets and DaemonSets."""

import orjson

from local_cluster.kinds import REVISIONS
from local_cluster.objects import Object, annotations_of, name_of, namespace_of, owner_reference, short_hash
from local_cluster.store import Store

POD_LABEL = "controller-revision-hash"
_SORTED = orjson.OPT_SORT_KEYS
_HASH_LABEL = "controller.kubernetes.io/hash"


def ensure_revision(store: Store, owner: Object) -> Object:
    """Return the revision of the owner's present template: a new one, or an older one with a new number."""
    template = owner["spec"]["template"]
    # In this order kubectl compares it, byte by byte, with what it makes of the owner.
    data = orjson.loads(orjson.dumps({"spec": {"template": {**template, "$patch": "replace"}}}, option=_SORTED))
    known = revisions_of(store, owner)
    newest = known[-1]["revision"] if known else 0
    annotations = dict(annotations_of(owner))
    same = next((one for one in reversed(known) if one["data"] == data), None)
    if same is not None:
        number = same["revision"] if same is known[-1] else newest + 1
        metadata = {**same["metadata"], "annotations": {**annotations_of(same), **annotations}}
        return store.update(REVISIONS, {**same, "metadata": metadata, "revision": number})
    code = short_hash(template)
    labels = {**(template["metadata"].get("labels") or {}), _HASH_LABEL: code, POD_LABEL: code}
    metadata = {
        "name": f"{name_of(owner)}-{code}",
        "namespace": namespace_of(owner),
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [owner_reference(owner)],
    }
    return store.create(REVISIONS, {"metadata": metadata, "data": data, "revision": newest + 1})


def revisions_of(store: Store, owner: Object) -> list[Object]:
    """Return the owner's revisions, the oldest first."""
    return sorted(store.owned_by(owner, REVISIONS), key=lambda one: int(one["revision"]))


def revision_hash(revision: Object) -> str:
    """Return the hash in the name of a revision."""
    return str(revision["metadata"]["labels"][POD_LABEL])


def template_in(revision: Object) -> Object:
    """Return the pod template that a revision holds."""
    return {key: one for key, one in revision["data"]["spec"]["template"].items() if key != "$patch"}


def forget_oldest(store: Store, owner: Object, in_use: set[str]) -> None:
    """Delete the oldest revisions beyond the owner's limit, none of those whose names are in use."""
    spare = [one for one in revisions_of(store, owner) if name_of(one) not in in_use]
    limit = int(owner["spec"]["revisionHistoryLimit"])
    for one in spare[: max(len(spare) - limit, 0)]:
        store.delete(REVISIONS, namespace_of(one), name_of(one))
