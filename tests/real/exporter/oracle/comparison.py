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
from real.exporter.oracle.servers import Served
from real.exporter.oracle.truth import Recorded, truth
from real.exporter.oracle.wire import Seen, ask

COUNT = "http_server_request_duration_seconds_count"
_PATIENCE = 12.0  # seconds until the record of a request is there; the slowest server needs ten

Asking = Callable[[int, Behaviour, Path], Seen]


def wrong_cells(
    served: Served, behaviours: Iterable[Behaviour], asking: Asking = ask
) -> dict[str, tuple[Seen, Recorded, list[Recorded]]]:
    """Each behaviour whose record is not the truth: what was seen, what is true, and what was recorded instead.

    Every request has one record. Its request label `behaviour` tells whose it is.
    """
    behaviours = tuple(behaviours)
    with ThreadPoolExecutor(len(behaviours)) as callers:
        seen = list(callers.map(lambda each: asking(served.port, each, served.folder), behaviours))
    expected = {each.name: truth(each, saw) for each, saw in zip(behaviours, seen, strict=True)}
    with suppress(StackError):  # what has no record is among the wrong ones
        wait_until(partial(_all_are_there, served, expected.keys()), within=_PATIENCE, what="records")
    records = recorded(served)
    return {
        each.name: (saw, expected[each.name], records.get(each.name, []))
        for each, saw in zip(behaviours, seen, strict=True)
        if records.get(each.name) != [expected[each.name]]
    }


def recorded(served: Served) -> dict[str, list[Recorded]]:
    """What the exporter of this server shows, by behaviour."""
    text = requests.get(f"http://127.0.0.1:{served.port}/metrics", timeout=10, headers={"Connection": "close"}).text
    found: dict[str, list[Recorded]] = {}
    for sample in Scrape(text).all(COUNT):
        labels = sample.labels
        each = Recorded(labels["http_response_status_code"], is_error=bool(labels["error_type"]))
        found.setdefault(labels["behaviour"], []).extend([each] * int(sample.value))
    return found


def _all_are_there(served: Served, names: Iterable[str]) -> bool:
    return set(names) <= recorded(served).keys()
