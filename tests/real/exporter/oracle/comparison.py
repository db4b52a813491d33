"""One server with one application: every behaviour at the same time, and what was recorded beside what is true."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import requests

from local_stack.process import StackError, wait_until
from real.exporter.conftest import Scrape
from real.exporter.oracle.behaviours import Behaviour
from real.exporter.oracle.limits import Limit
from real.exporter.oracle.servers import Served
from real.exporter.oracle.truth import Recorded, truth
from real.exporter.oracle.wire import UNCALLED, UNTIL_CALLED, Seen, ask

COUNT = "http_server_request_duration_seconds_count"
_PATIENCE = 12.0  # seconds until the record of a request is there; the slowest server needs ten

Asking = Callable[[int, Behaviour, Path, float], Seen]


def wrong_cells(
    served: Served,
    behaviours: Iterable[Behaviour],
    limit_of: Callable[[str], Limit | None] = lambda _: None,
    asking: Asking = ask,
) -> dict[str, tuple[Seen, Recorded, list[Recorded]]]:
    """Each behaviour whose record is not the truth: what was seen, what is true, and what was recorded instead.

    Every request has one record. Its request label `behaviour` tells whose it is. `limit_of` gives the limit under
    which a behaviour's record may be another.
    """
    behaviours = tuple(behaviours)
    limits = {each: limit for each in behaviours if (limit := limit_of(each.name)) is not None}
    unrecorded = {each.name for each, limit in limits.items() if limit.recorded is None}
    with ThreadPoolExecutor(len(behaviours)) as callers:
        answers = callers.map(partial(_ask, served, asking, unrecorded), behaviours)
        seen = dict(zip(behaviours, answers, strict=True))
    awaited = {each.name for each in behaviours} - unrecorded
    with suppress(StackError):  # what has no record is among the wrong ones
        wait_until(lambda: awaited <= recorded(served).keys(), within=_PATIENCE, what="records", every=0.1)
    records = recorded(served)
    wrong = {}
    for each, saw in seen.items():
        got, right = records.get(each.name, []), truth(each, saw)
        may_be = [[right]]
        if each in limits:
            other = limits[each].recorded
            may_be.append([] if other is None else [other])
        if got not in may_be:
            wrong[each.name] = (saw, right, got)
    return wrong


def _ask(served: Served, asking: Asking, unrecorded: set[str], behaviour: Behaviour) -> Seen:
    patience = UNCALLED if behaviour.name in unrecorded else UNTIL_CALLED
    return asking(served.port, behaviour, served.folder, patience)


def recorded(served: Served) -> dict[str, list[Recorded]]:
    """What the exporter of this server shows, by behaviour."""
    text = requests.get(f"http://127.0.0.1:{served.port}/metrics", timeout=10, headers={"Connection": "close"}).text
    found: dict[str, list[Recorded]] = {}
    for sample in Scrape(text).all(COUNT):
        labels = sample.labels
        each = Recorded(labels["http_response_status_code"], is_error=bool(labels["error_type"]))
        found.setdefault(labels["behaviour"], []).extend([each] * int(sample.value))
    return found
