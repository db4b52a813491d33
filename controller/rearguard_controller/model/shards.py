"""Shards: which part of the targets each target belongs to, and which replica is to lead which part.

Here: two pure functions. The same names give the same answers in every process, at every start.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from hashlib import blake2b

ONE = 1  # shard: all targets are led by one replica
MOST = 64  # each costs every replica a question to the journal each second
NOBODYS = ""  # stands for the target of what belongs to none


def shard_of(target: str, count: int) -> int:
    """The shard of a target, of `count`; what belongs to no target (`NOBODYS`) is the first one's."""
    return 0 if count == ONE or target == NOBODYS else _score(target) % count


def spread(count: int, replicas: Collection[str]) -> tuple[str, ...]:
    """The replica that is to lead each shard, by rendezvous hashing; none leads more than its even part.

    Where a replica comes or goes, few other shards change hands.
    """
    most, led = math.ceil(count / len(replicas)), dict.fromkeys(sorted(replicas), 0)
    found = []
    for shard in range(count):
        free = [name for name, many in led.items() if many < most]
        chosen = max(free, key=lambda name: _score(f"{shard} {name}"))
        led[chosen] += 1
        found.append(chosen)
    return tuple(found)


def _score(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
