"""What every part does with objects of the API: copy them, read their metadata, write times.

An object in the store is never changed in place: a writer copies it first.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

Object = dict[str, Any]

_BLOCKS, _BLOCK = 4096, 256  # places to begin, and addresses between two of them
_HASH_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels and no digits like them: a hash is never a word


def copied(value: Object) -> Object:
    """Return a deep copy of a JSON object."""
    copy: Object = orjson.loads(orjson.dumps(value))
    return copy


def time_text(moment: datetime | None = None) -> str:
    """Return the moment, or now, as the API writes it: RFC 3339 in UTC, whole seconds."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime:
    """Return the moment that `time_text` wrote."""
    return datetime.fromisoformat(text)


def namespace_of(value: Object) -> str:
    """Return the namespace of an object, empty for an object of the whole cluster."""
    return str(value["metadata"].get("namespace") or "")


def name_of(value: Object) -> str:
    """Return the name of an object."""
    return str(value["metadata"]["name"])


def uid_of(value: Object) -> str:
    """Return the identity of an object, which a later object of the same name does not share."""
    return str(value["metadata"]["uid"])


def labels_of(value: Object) -> dict[str, str]:
    """Return the labels, empty when there are none."""
    return value["metadata"].get("labels") or {}


def annotations_of(value: Object) -> dict[str, str]:
    """Return the annotations, empty when there are none. Not for writing."""
    return value["metadata"].get("annotations") or {}


def is_going(value: Object) -> bool:
    """Return true when the object is being deleted."""
    return bool(value["metadata"].get("deletionTimestamp"))


def owner_reference(owner: Object) -> Object:
    """Return the reference by which `owner` controls another object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def loopback_addresses(first: str) -> Iterator[str]:
    """Return addresses on loopback from a random place after `first`: those of two clusters hardly ever meet."""
    number = int(ipaddress.IPv4Address(first)) + secrets.randbelow(_BLOCKS) * _BLOCK
    while True:
        number += 1
        yield str(ipaddress.IPv4Address(number))


def short_hash(value: Any) -> str:
    """Return a short name of a JSON value; equal values have the same one."""
    digest = hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()
    return "".join(_HASH_LETTERS[byte % len(_HASH_LETTERS)] for byte in digest[:10])


def condition(value: Object, kind: str) -> Object | None:
    """Return the condition of this type from the status, or None."""
    conditions: list[Object] = (value.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), None)
