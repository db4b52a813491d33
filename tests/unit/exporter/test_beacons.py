"""What a beacon may be: everything else is refused as a whole, and costs bounded time and no series."""

import asyncio
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rearguard_exporter import Monitor, Vitals
from rearguard_exporter.browser.beacon import MOST_BYTES, BeaconError, parse
from rearguard_exporter.browser.senders import Sender

GOOD = {
    "page": "/items/7",
    "navigation": "navigate",
    "vitals": {"lcp": 1250.5, "inp": 64, "cls": 0.02, "fcp": 800, "ttfb": 120},
    "timings": [["checkout_rendered", 812.5]],
    "errors": {"TypeError": 2},
}
TEXT = "text/plain;charset=UTF-8"


@pytest.fixture
def monitor():
    made = Monitor("shop", "1", "test", vitals=Vitals(["/items/{id}", "/cart"], timings=["checkout_rendered"]))
    yield made
    made.close()


@pytest.fixture
def endpoint(monitor):
    return monitor._endpoints.beacons


def samples(monitor):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in monitor.registry.collect()
        if family.name.startswith(("browser_", "rearguard_exporter_beacons"))
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def send(endpoint, document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    sender = Sender(content_type=TEXT, content_length=str(len(body)))
    return endpoint.refused(sender) or endpoint.take(body, sender)


def test_what_a_page_view_measured_is_counted_in_seconds_under_its_page(monitor, endpoint):
    assert send(endpoint, GOOD) == (204, {}, b"")
    shown = samples(monitor)
    key = ("/items/{id}", "navigate")
    assert shown[("browser_web_vital_lcp_seconds_sum", *key)] == 1.2505
    assert shown[("browser_web_vital_inp_seconds_sum", *key)] == 0.064
    assert shown[("browser_web_vital_cls_sum", *key)] == 0.02
    assert shown[("browser_web_vital_fcp_seconds_count", *key)] == 1
    assert shown[("browser_web_vital_ttfb_seconds_sum", *key)] == 0.12
    assert shown[("browser_timing_seconds_sum", "checkout_rendered")] == 0.8125
    assert shown[("browser_javascript_errors_total", "/items/{id}", "TypeError")] == 2
    assert shown[("rearguard_exporter_beacons_total", "taken")] == 1


HUGE = 10**400
HOSTILE = {
    "nothing": b"",
    "no JSON": b"lcp=1",
    "half of it": json.dumps(GOOD).encode()[:-9],
    "text behind it": json.dumps(GOOD).encode() + b" and more",
    "a second one behind it": json.dumps(GOOD).encode() * 2,
    "a zero byte behind it": json.dumps(GOOD).encode() + b"\0",
    "text before it": b"x" + json.dumps(GOOD).encode(),
    "no UTF-8": b'{"page": "\xff", "navigation": ""}',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "deep lists": b"[" * MOST_BYTES,
    "deep objects": b'{"vitals":' * 800,
    "a number of 8,000 digits": b'{"page":"/","navigation":"","vitals":{"lcp":' + b"9" * 8000 + b"}}",
    "NaN": b'{"page":"/","navigation":"","vitals":{"lcp":NaN}}',
    "NaN under a key that is not known": b'{"page":"/","navigation":"","vitals":{},"newer":NaN}',
    "Infinity": b'{"page":"/","navigation":"","vitals":{"lcp":Infinity}}',
    "a number that is infinite": b'{"page":"/","navigation":"","vitals":{"lcp":1e999}}',
    **{
        f"{name} {value!r:.30}": json.dumps(GOOD | {"vitals": {name: value}}).encode()
        for name in ("lcp", "cls")
        for value in (-1, -0.001, 600_001, HUGE, "1", None, True, [1], {"value": 1})
    },
    **{
        f"{key} {value!r:.30}": json.dumps(GOOD | {key: value}).encode()
        for key, value in (
            ("page", None), ("page", 7), ("page", ["/"]), ("page", "/" * 2001),
            ("navigation", None), ("navigation", {}), ("navigation", "x" * 2001),
            ("vitals", []), ("vitals", None), ("vitals", "lcp"),
            ("timings", {}), ("timings", ["x"]), ("timings", [["x"]]), ("timings", [[1, 1]]),
            ("timings", [["x", "1"]]),
            ("timings", [["x", -1]]), ("timings", [["x", 3_600_001]]), ("timings", [["x", 1, 1]]),
            ("timings", [["x", 1]] * 51),
            ("errors", []), ("errors", {"x": 0}), ("errors", {"x": -1}), ("errors", {"x": 1.5}),
            ("errors", {"x": "1"}),
            ("errors", {"x": True}), ("errors", {"x": 1001}), ("errors", {f"x{n}": 1 for n in range(21)}),
        )
    },
    "without a page": json.dumps({"navigation": "navigate"}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_beacon_is_refused_as_a_whole_and_repeats_nothing(monitor, endpoint, name):
    before = samples(monitor)
    reply = send(endpoint, HOSTILE[name])
    assert reply.status == 400
    assert len(reply.body) < 100
    assert reply.headers["Content-Type"].startswith("text/plain")
    after = samples(monitor)
    assert after.pop(("rearguard_exporter_beacons_total", "malformed")) == 1
    before.pop(("rearguard_exporter_beacons_total", "malformed"))
    assert after == before


def test_white_space_around_a_beacon_is_no_fault(monitor, endpoint):
    assert send(endpoint, b" \r\n\t" + json.dumps(GOOD).encode() + b"\n\t ").status == 204
    assert samples(monitor)[("rearguard_exporter_beacons_total", "taken")] == 1


def test_an_answer_repeats_no_word_of_a_beacon(endpoint):
    word = "<script>alert(1)</script>"
    for document in (word.encode(), {word: word}, GOOD | {"page": [word]}, GOOD | {"vitals": {"lcp": word}}):
        assert b"alert" not in send(endpoint, document).body


def test_keys_and_measurements_of_a_newer_script_are_left_out(monitor, endpoint):
    newer = GOOD | {"attribution": {"lcp": "img"}, "vitals": {"lcp": 1000, "tbt": "many"}}
    assert send(endpoint, newer).status == 204
    assert samples(monitor)[("browser_web_vital_lcp_seconds_sum", "/items/{id}", "navigate")] == 1
    assert not [name for name in samples(monitor) if "tbt" in str(name)]


def test_of_a_key_that_is_there_twice_the_last_counts_once(monitor, endpoint):
    assert send(endpoint, b'{"page":"/cart","navigation":"reload","vitals":{"lcp":1,"lcp":2000}}').status == 204
    shown = samples(monitor)
    assert shown[("browser_web_vital_lcp_seconds_count", "/cart", "reload")] == 1
    assert shown[("browser_web_vital_lcp_seconds_sum", "/cart", "reload")] == 2


NAVIGATIONS = 8  # six of OpenTelemetry, ours for calls, and _OTHER
ERRORS = 10  # nine and _OTHER


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.text(max_size=40), min_size=30, max_size=30))
def test_whatever_texts_come_they_make_no_further_series(texts):
    made = Monitor(
        "shop", "1", "test", vitals=Vitals(["/items/{id}", "/cart"], timings=["checkout_rendered"], rate=1e9)
    )
    endpoint = made._endpoints.beacons
    for text in texts:
        for page in (text, f"/{text}", f"/items/{text}"):
            document = {
                "page": page,
                "navigation": text,
                "vitals": {"lcp": 1},
                "timings": [[text, 1]],
                "errors": {text: 1},
            }
            assert send(endpoint, document).status == 204
    shown = samples(made)
    pages = {"/items/{id}", "/cart", "__unmatched__"}
    assert {key[1] for key in shown if "lcp" in key[0]} <= pages
    assert {key[1] for key in shown if "errors" in key[0]} <= pages
    assert len([key for key in shown if "lcp_seconds_count" in key[0]]) <= len(pages) * NAVIGATIONS
    assert len([key for key in shown if "errors" in key[0]]) <= len(pages) * ERRORS
    assert {key[1] for key in shown if "timing" in key[0]} <= {"checkout_rendered", "_OTHER"}
    made.close()


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda v: repr(v).encode())
)
def test_any_bytes_are_a_beacon_or_an_error(body):
    try:
        parse(body)
    except BeaconError:
        return


def test_the_worst_beacons_cost_bounded_time():
    pages = [f"/{{a}}/{{b}}/{{c}}/page{n}" for n in range(80)]
    made = Monitor("shop", "1", "test", vitals=Vitals(pages, rate=1e6))
    endpoint = made._endpoints.beacons
    worst = max(HOSTILE.values(), key=len)
    began = time.process_time()
    for _ in range(100):
        for body in (worst, HOSTILE["deep lists"], HOSTILE["a number of 8,000 digits"]):
            assert send(endpoint, body).status == 400
        assert send(endpoint, GOOD | {"page": "/" + "a/" * 999}).status == 204
    assert time.process_time() - began < 2.0  # 400 of them; about 0.1 s
    made.close()


def test_a_flood_is_refused_before_its_bodies_are_read_and_ends_with_itself(monitor):
    vitals = Vitals(["/cart"], rate=20)
    made = Monitor("shop", "1", "test", vitals=vitals)
    endpoint = made._endpoints.beacons
    answers = [endpoint.refused(Sender(content_type=TEXT, content_length="300")) for _ in range(1000)]
    refused = [answer.status for answer in answers if answer is not None]
    assert 900 <= len(refused) <= 960
    assert set(refused) == {429}
    assert samples(made)[("rearguard_exporter_beacons_total", "too_many")] == len(refused)
    deadline = time.monotonic() + 30
    while endpoint.refused(Sender(content_type=TEXT, content_length="300")) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    made.close()


@pytest.mark.parametrize(
    ("sender", "status"),
    [
        (Sender(content_type=TEXT), None),
        (Sender(content_type="application/json"), None),
        (Sender(content_type="Text/Plain"), None),
        (Sender(content_type=""), 415),
        (Sender(content_type="application/x-www-form-urlencoded"), 415),
        (Sender(content_type="multipart/form-data; boundary=x"), 415),
        (Sender(content_type=TEXT, content_length=str(MOST_BYTES)), None),
        (Sender(content_type=TEXT, content_length=str(MOST_BYTES + 1)), 413),
        (Sender(content_type=TEXT, content_length="9" * 5000), 413),
        (Sender(content_type=TEXT, content_length="-1"), 413),
        (Sender(content_type=TEXT, content_length="1e3"), 413),
        (Sender("https://shop.example", "shop.example", content_type=TEXT), None),
        (Sender("https://shop.example", "10.0.0.7:8000", "same-origin", TEXT), None),  # a proxy changed Host
        (Sender("https://shop.example", "10.0.0.7:8000", "cross-site", TEXT), 403),
        (Sender("https://evil.example", "shop.example", "cross-site", TEXT), 403),
        (Sender("https://www.example", "shop.example", "cross-site", TEXT), None),  # it is listed
        (Sender("http://www.example", "shop.example", "cross-site", TEXT), 403),
        (Sender("https://www.example.evil", "shop.example", "", TEXT), 403),
        (Sender("null", "shop.example", "", TEXT), 403),
        (Sender("http://[", "shop.example", "", TEXT), 403),
    ],
)
def test_who_may_send_what_is_seen_before_the_body_is_read(sender, status):
    made = Monitor("shop", "1", "test", vitals=Vitals(["/cart"], origins=["https://www.example"]))
    refused = made._endpoints.beacons.refused(sender)
    assert (None if refused is None else refused.status) == status
    made.close()


def test_only_a_listed_origin_is_told_that_it_may_send():
    made = Monitor("shop", "1", "test", vitals=Vitals(["/cart"], origins=["https://www.example"]))
    endpoint = made._endpoints.beacons
    listed, foreign = (
        Sender("https://www.example", content_type=TEXT),
        Sender("https://evil.example", content_type=TEXT),
    )
    good = json.dumps(GOOD).encode()

    def script(who):
        return endpoint.script(who, "")

    def taken(who):
        return endpoint.take(good, who)

    for answer in (endpoint.preflight, script, taken):
        assert "Access-Control-Allow-Origin" not in answer(foreign).headers
        allowed = answer(listed).headers
        assert allowed["Access-Control-Allow-Origin"] == "https://www.example"
        assert allowed["Access-Control-Allow-Credentials"] == "true"  # sendBeacon sends with credentials
        assert "Origin" in allowed["Vary"]  # or a cache gives it to another origin
    assert "Origin" in endpoint.preflight(foreign).headers["Vary"]
    assert endpoint.preflight(listed).headers["Access-Control-Allow-Methods"] == "POST"
    assert endpoint.preflight(listed).headers["Access-Control-Max-Age"] == "86400"
    made.close()


def test_a_body_without_end_is_read_no_further_than_a_beacon_may_be(monitor):
    async def unused(*_):
        raise AssertionError

    app = monitor.instrument_asgi(unused)
    pieces, sent = [], []

    async def receive():
        pieces.append(b"x" * 1000)
        return {"type": "http.request", "body": pieces[-1], "more_body": True}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", TEXT.encode())]
    path = "/api/monitoring/vitals"
    asyncio.run(app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send))
    assert sent[0]["status"] == 413
    assert len(pieces) == MOST_BYTES // 1000 + 1


class Endless:
    """An input whose server tells its end itself, and that has none."""

    def __init__(self):
        self.given = 0

    def read(self, size):
        self.given += size
        return b"x" * size


def test_a_body_without_a_length_is_read_no_further_behind_wsgi_either(monitor):
    def unused(*_):
        raise AssertionError

    told, source = [], Endless()
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/api/monitoring/vitals", "CONTENT_TYPE": TEXT,
        "wsgi.input": source, "wsgi.input_terminated": True,
    }  # fmt: skip
    monitor.instrument_wsgi(unused)(environ, lambda status, _: told.append(status))
    assert told == ["413 Request Entity Too Large"]
    assert source.given == MOST_BYTES + 1
