"""A list of alerts is read entry by entry: what came before as it is, is not read again, and nothing is mixed up."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.http_source.sieve import Sieve
from rearguard_controller.adapters.prometheus import Prometheus, answers
from rearguard_controller.adapters.prometheus.alert_entries import AlertEntries
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.facts.concern import MOST_OF_A_TARGET, Concern
from unit.controller.factories import MATCH, target

ENTRIES = st.fixed_dictionaries(
    {
        "labels": st.fixed_dictionaries({"alertname": st.sampled_from("ab"), "pod": st.sampled_from("xyz")}),
        "annotations": st.dictionaries(st.sampled_from(["summary"]), st.sampled_from("st"), max_size=1),
        "state": st.sampled_from(["firing", "pending", "odd"]),
        "activeAt": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        "value": st.sampled_from(["0.3", "1e+00", "+Inf"]),
    }
)


def document(entries):
    return json.dumps({"status": "success", "data": {"alerts": entries}}).encode()


def read(entries, body, wanted=None, piece=97):
    listing = entries.listing(wanted)
    sieve = Sieve("alerts", listing.begin())
    for at in range(0, len(body), piece):
        sieve.feed(body[at : at + piece])
    return listing.alerts(json.loads(sieve.end())["data"])


@given(st.lists(st.lists(ENTRIES, max_size=6), max_size=5))
def test_each_list_is_what_it_is_without_the_lists_before_it(several):
    entries = AlertEntries()
    for alerts in several:
        assert read(entries, document(alerts)) == answers.alerts({"alerts": alerts})


def test_an_entry_that_came_before_is_not_read_again_and_a_changed_one_is():
    first = {"labels": {"alertname": "a"}, "state": "firing", "value": "1"}
    second = {"labels": {"alertname": "b"}, "state": "firing", "value": "1"}
    entries = AlertEntries()
    before = read(entries, document([first, second]))
    after = read(entries, document([second, {**first, "value": "2"}]))
    assert (after[0] is before[1], after[1].value) == (True, 2.0)


@pytest.mark.parametrize(
    "broken", [{"labels": []}, {"labels": {}, "state": 1}, {"labels": {"a": 1}, "state": "firing"}]
)
def test_an_entry_that_is_no_alert_is_an_error_also_after_a_good_list(broken):
    entries, good = AlertEntries(), {"labels": {"alertname": "a"}, "state": "firing"}
    read(entries, document([good]))
    with pytest.raises(ShapeError, match=r"data.alerts\[1\]"):
        read(entries, document([good, broken]))
    assert [each.name for each in read(entries, document([good]))] == ["a"]


async def test_an_answer_that_breaks_off_leaves_nothing_in_that_of_the_next_address():
    """Neither its alerts, nor their number: else the second answer had no room for as many of a target."""
    many = [
        {
            "labels": {**MATCH, "alertname": "a", "action": "rollback", "pod": str(number)},
            "annotations": {"summary": "too many errors" * 100},  # long enough to be read while it comes
            "state": "firing",
        }
        for number in range(MOST_OF_A_TARGET)
    ]
    body = document(many)

    async def serve(length, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:length])
        await writer.drain()
        writer.close()

    servers = [
        await asyncio.start_server(lambda *pair, length=length: serve(length, *pair), "127.0.0.1", 0)
        for length in (len(body) // 2, len(body))
    ]
    urls = tuple(f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}" for each in servers)
    prometheus = Prometheus(PrometheusSettings(urls=urls))
    prometheus.look_for(Concern([target()]).of_reading)
    try:
        found = await prometheus.alerts()
    finally:
        await prometheus.close()
        for each in servers:
            each.close()
    assert [each.labels["pod"] for each in found] == [str(number) for number in range(MOST_OF_A_TARGET)]
