"""The renderer against the official parsers and the official encoder."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rearguard_exporter.exposition.accept import asked
from rearguard_exporter.exposition.foreign import Patience
from rearguard_exporter.exposition.render import Sources, prepare, render, steps
from rearguard_exporter.families import DB_DURATION, HTTP_DURATION, LOOP_LAG, SOCKET_CONNECTIONS, Family, Kind
from rearguard_exporter.values.label_values import clean
from rearguard_exporter.values.slots import Slots

TEXT = ("text/plain", parse_text)
OPENMETRICS = ("application/openmetrics-text", parse_openmetrics)
any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=40)


def registry_of(*collectors):
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def parsed(registry, accept, parse):
    text = render(Sources([registry]), asked(accept, ""), Patience(1), {}).body.decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("form", [TEXT, OPENMETRICS])
@example(values=["\\", '"', "\n", '"} 1\nfake 2\n#'], seconds=[0.1])
@example(values=["%s %d %%", "{}", "\r\n", ","], seconds=[0.1, 99.0])
@given(values=st.lists(any_text, min_size=4, max_size=4), seconds=st.lists(st.floats(0, 1e6), min_size=1, max_size=5))
def test_any_label_values_and_counts_are_parsed_back_as_they_were(form, values, seconds):
    slots = Slots(HTTP_DURATION, 10)
    for value in seconds:
        slots.observe(tuple(values), value)
    shown = parsed(registry_of(slots), *form)
    labels = dict(zip(HTTP_DURATION.labels, map(clean, values), strict=True))
    assert len(shown) == 17
    key = tuple(sorted(labels.items()))
    assert shown["http_server_request_duration_seconds_count", *key] == len(seconds)
    assert shown["http_server_request_duration_seconds_sum", *key] == pytest.approx(sum(seconds))
    for bound in (*HTTP_DURATION.bounds, float("inf")):
        le = "+Inf" if bound == float("inf") else str(bound)
        upto = sum(value <= bound for value in seconds)
        assert shown["http_server_request_duration_seconds_bucket", *sorted({**labels, "le": le}.items())] == upto


@pytest.mark.parametrize("form", [TEXT, OPENMETRICS])
def test_every_kind_says_what_the_official_encoder_says(form):
    level = Family("level", Kind.GAUGE, 'A \\ back slash, a "quote"\nand a line.', ("where",))
    slots = [Slots(family, 10) for family in (HTTP_DURATION, SOCKET_CONNECTIONS, LOOP_LAG, DB_DURATION, level)]
    slots[0].observe(("GET", "/a", "200", ""), 0.3)
    slots[1].add(("/ws",), 3)
    slots[2].child().observe(7)
    slots[4].child("here").set(-1.5e-7)
    registry = registry_of(*slots)
    official = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse_text(generate_latest(registry).decode())
        for sample in family.samples
    }
    assert parsed(registry, *form) == official
    assert len(official) == 17 + 1 + 16 + 1
    accept, parse = form
    heads = {
        f.name: (f.type, f.documentation)
        for f in parse(render(Sources([registry]), asked(accept, ""), Patience(1), {}).body.decode())
    }
    assert heads["level"] == ("gauge", level.help)
    assert heads["websocket_server_connections"][0] == "counter"


def test_what_changed_after_a_scrape_is_in_the_next_and_the_rest_stays():
    slots = Slots(SOCKET_CONNECTIONS, 10)
    slots.add(("/a",), 1)
    slots.add(("/b",), 1)
    registry = registry_of(slots)
    name = "websocket_server_connections_total"
    assert parsed(registry, *TEXT) == {(name, ("http_route", "/a")): 1, (name, ("http_route", "/b")): 1}
    slots.add(("/a",), 1)
    assert parsed(registry, *TEXT) == {(name, ("http_route", "/a")): 2, (name, ("http_route", "/b")): 1}


def test_a_large_family_is_written_in_many_short_steps():
    slots = Slots(HTTP_DURATION, 10_000)
    for number in range(3000):
        slots.observe(("GET", f"/{number}", "200", ""), 0.1)
    form = asked("", "")
    parts = prepare(Sources([slots]), form, Patience(1), {})
    took = []
    began = time.process_time()
    for piece in steps(parts, form, {}):
        took.append(time.process_time() - began)
        assert len(piece) < 150_000
        began = time.process_time()
    assert len(took) > 20
    assert sorted(took)[len(took) // 2] < 0.002  # the half of them, in processor time: the machine may be busy
