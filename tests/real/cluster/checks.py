"""What must hold of targets and journal after any trouble.

Here: the promises, read from the targets' own logs and the journal's tables; never from what controllers say.
Never here: starting or stopping anything.
"""

from collections import Counter

import orjson

from real.cluster.shops import BAD, GOOD

MAY_COME_BEFORE = [[("alert", BAD, "interrupted")] * count for count in range(3)]


async def rollbacks_of(store, shop):
    """Rows of (trigger, from_version, outcome)."""
    rows = await store.rows('select target, "trigger", from_version, outcome from rollbacks order by seq')
    return [row[1:] for row in rows if row[0] == shop.name]


async def closed(store, shop):
    """Whether the target has a rollback, all of its are closed, and no fresh attempt is to follow."""
    rows = await rollbacks_of(store, shop)
    return bool(rows) and all(outcome for _, _, outcome in rows) and rows[-1][-1] != "interrupted"


async def check_once(store, shop):
    """Exactly one automatic rollback, one change of the target, traffic restored, never two commands at once.

    Attempts that a crash of ours cut off before the change may have come before it.
    """
    *before, last = await rollbacks_of(store, shop)
    assert last == ("alert", BAD, "recovered")
    assert before in MAY_COME_BEFORE
    check_effects(shop, changes=1)
    assert shop.version == GOOD


def check_effects(shop, *, changes):
    """What the target's own log says: so many changes, and nothing twice."""
    assert len(shop.changes) == changes, shop.changes
    assert not shop.drained, f"{shop.name} is still drained"
    assert not [each for each in shop.effects() if each.get("beside")], "two commands at once"
    begun = Counter(
        (each["rollback"], each["step"], each["attempt"]) for each in shop.effects() if each["what"] == "began"
    )
    assert max(begun.values()) == 1, begun


async def inbox(store):
    """How often each alert is in the journal."""
    alerts = [orjson.loads(body) for (body,) in await store.rows("select body from inbox")]
    return Counter(key_of(alert["labels"], firing=alert["firing"]) for alert in alerts)


def key_of(labels, *, firing=True):
    return (tuple(sorted(labels.items())), firing)
