"""Events: what controllers tell about an object, counted when it is told again."""

import uuid

from local_cluster.kinds import CORE_EVENTS
from local_cluster.objects import Object, copied, name_of, namespace_of, time_text, uid_of
from local_cluster.store import Change, Store

_Same = tuple[str, str, str]


class Events:
    """Writes events, and remembers which one to count up."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[_Same, tuple[str, str]] = {}
        store.listen(CORE_EVENTS, self._when_changed)

    def tell(self, about: Object, reason: str, message: str, *, component: str, warning: bool = False) -> None:
        """Write an event about the object, or count the one that says the same."""
        same = (uid_of(about), reason, message)
        now = time_text()
        key = self._names.get(same)
        if key and (old := self._store.find(CORE_EVENTS, *key)):
            again = copied(old)
            again.update(count=int(old.get("count", 1)) + 1, lastTimestamp=now)
            self._store.update(CORE_EVENTS, again)
            return
        namespace = namespace_of(about) or "default"
        name = f"{name_of(about)}.{uuid.uuid4().hex[:16]}"
        self._names[same] = (namespace, name)
        self._store.create(
            CORE_EVENTS,
            {
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": {
                    "apiVersion": about["apiVersion"],
                    "kind": about["kind"],
                    "name": name_of(about),
                    "namespace": namespace_of(about),
                    "uid": uid_of(about),
                    "resourceVersion": about["metadata"]["resourceVersion"],
                },
                "reason": reason,
                "message": message,
                "type": "Warning" if warning else "Normal",
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "eventTime": None,
                "source": {"component": component},
                "reportingComponent": component,
                "reportingInstance": "",
            },
        )

    def _when_changed(self, change: Change) -> None:
        if change.what == "DELETED":
            event = change.object
            about = (event.get("involvedObject") or {}).get("uid", "")
            self._names.pop((about, event.get("reason", ""), event.get("message", "")), None)
