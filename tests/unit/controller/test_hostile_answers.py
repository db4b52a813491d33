"""Whatever an answer holds, it is read or it is none: no fault of reading reaches who asked."""

import contextlib
import inspect
import json
import math
import random
import socket
import threading

import orjson
import pytest
import structlog.testing
from aiohttp import web

from rearguard_controller.adapters.actions import ActionContext, Actions, survivors
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.alertmanager import answers as of_alertmanager
from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.http_source.asking import BESIDE
from rearguard_controller.adapters.prometheus import Prometheus, figures
from rearguard_controller.adapters.prometheus import answers as of_prometheus
from rearguard_controller.config import AlertmanagerSettings, PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import CommandAction, HttpAction
from rearguard_controller.model.versions import is_version
from rearguard_controller.times import durations, moments
from unit.controller import factories as make
from unit.controller import hostile

SEED = 11  # of what is picked of all documents
PICKED = 25  # documents of each path that are sent over the wire


@pytest.fixture
async def wire():
    """A server that answers whatever a test says."""
    state = {"body": b"", "status": 200, "headers": {}}

    async def answer(request):
        return web.Response(body=state["body"], status=state["status"], headers=state["headers"])

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


def times_in(value):
    """Every time that a value of the adapters holds."""
    if isinstance(value, (tuple, list)):
        return [at for each in value for at in times_in(each)]
    names = ("at", "active_at", "starts_at", "ends_at")
    found = [getattr(value, name) for name in names if getattr(value, name, None) is not None]
    return found + [at for at, _ in getattr(value, "points", ())]


def lengths_in(value):
    """Every length of time that a value of the adapters holds."""
    if isinstance(value, dict):
        return list(value.values())
    rules = (*getattr(value, "alerting", ()), *getattr(value, "recording", ()))
    names = ("interval", "for_seconds", "keep_firing_for")
    return [getattr(rule, name) for rule in rules for name in names if hasattr(rule, name)]


@pytest.mark.parametrize("path", hostile.READERS)
def test_of_any_field_of_any_answer_a_hostile_value_is_read_or_the_answer_has_the_wrong_shape(path):
    read, good = hostile.READERS[path]
    assert read(good) is not None
    tried = 0
    for place, document in hostile.documents(path):
        tried += 1
        try:
            value = read(document)
        except ShapeError:
            continue
        assert all(moments.FIRST <= at <= moments.LAST for at in times_in(value)), place
        assert all(0 <= length <= durations.LONGEST for length in lengths_in(value)), place
    assert tried > 200


@pytest.mark.parametrize("module", [of_prometheus, of_alertmanager])
def test_every_reader_of_answers_is_a_decoder(module):
    own = [each for _, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__]
    readers = [each for each in own if not each.__name__.startswith("_")]
    assert readers
    assert [each.__name__ for each in readers if not hasattr(each, "__wrapped__")] == []


def asking(path, url):
    """The question that is answered at a path, as its adapter asks it."""
    if path.startswith("/api/v2"):
        edge = Alertmanager(AlertmanagerSettings((url,)))
        return edge, (edge.silences if path.endswith("silences") else lambda: edge.alerts(only_held=False))
    edge = Prometheus(PrometheusSettings((url,)))
    questions = {
        "/api/v1/alerts": edge.alerts,
        "/api/v1/rules": edge.rules,
        "/api/v1/query_range": lambda: edge.query_range("up", 1.0, 2.0, 1.0),
        "/api/v1/targets": edge.scrape_intervals,
    }
    return edge, questions.get(path, lambda: edge.query("up"))


@pytest.mark.parametrize("path", hostile.READERS)
async def test_over_the_wire_an_answer_that_cannot_be_read_is_a_source_error_and_nothing_else(wire, path):
    edge, ask = asking(path, wire["url"])
    documents = list(hostile.documents(path))
    for place, document in random.Random(SEED).sample(documents, PICKED):  # noqa: S311  # seeded, to repeat it
        data = document if path.startswith("/api/v2") else {"status": "success", "data": document}
        wire["body"] = json.dumps(data).encode()
        hint = "read"
        try:
            await ask()
        except SourceError as error:
            hint = error.hint
        assert hint, place
    await edge.close()


BODIES = [b"", b"[" * 100_000, b"\xff\xfe", b'"' * 1000, b'{"status":"success"}', b'{"status":[],"data":1}', b"1e400",
          b'{"status":"success","data":{"alerts":[1e400]}}', b'{"status":"success","data":{"alerts":[NaN]}}',
          b'{"status":"error","error":{"a":1},"errorType":[]}', b"null", b"7", b'"x"']  # fmt: skip
HEADERS = [{}, {"Content-Encoding": "gzip"}, {"Content-Type": "a/\xe9; charset=\xe9"}]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("status", [200, 400])
async def test_any_bytes_with_any_status_are_a_source_error_and_nothing_else(wire, status, headers):
    wire["status"], wire["headers"] = status, headers
    for path in ("/api/v1/alerts", "/api/v1/query", "/api/v2/silences"):
        edge, ask = asking(path, wire["url"])
        for wire["body"] in BODIES:
            with contextlib.suppress(SourceError):
                await ask()
        await edge.close()


@pytest.mark.parametrize("size", [0, BESIDE])
async def test_a_fault_of_ours_in_a_reader_makes_the_answer_none_and_its_traceback_is_logged_once(wire, size):
    wire["body"] = json.dumps({"status": "success", "data": "x" * size}).encode()
    edge = Prometheus(PrometheusSettings((wire["url"],)))

    def broken(_):
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            with pytest.raises(SourceError, match=r"/api/v1/query: it cannot be read \(ZeroDivisionError\)"):
                await edge.ask("GET", "/api/v1/query", {}, broken)
    await edge.close()
    [entry] = [each for each in said if each["event"] == "answer_unreadable"]
    assert isinstance(entry["exc_info"], ZeroDivisionError)
    assert (entry["source"], entry["path"]) == ("Prometheus", "/api/v1/query")


@pytest.mark.parametrize("text", ["250y", "", "9" * 20 + "y", "x", "1m 5s", 7, None, [], "NaN"])
def test_a_target_whose_interval_cannot_be_read_hides_that_of_no_other(text):
    odd = {"labels": {"job": "odd", "instance": "i"}, "scrapeInterval": text}
    good = {"labels": {"job": "j", "instance": "i"}, "scrapeInterval": "15s"}
    found = of_prometheus.scrape_intervals({"activeTargets": [odd, good]})
    assert found["j", "i"] == 15.0
    assert found.get(("odd", "i")) in (None, durations.LONGEST)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15.0), ("1m30s", 90.0), ("250ms", 0.25), ("0", 0.0), ("0s", 0.0), ("15", 15.0), ("1.5", 1.5),
        ("1.5h", 5400.0), ("1m0.5s", 60.5), ("250y", durations.LONGEST), ("9" * 5000 + "s", durations.LONGEST),
        ("9" * 5000, durations.LONGEST), ("", None), ("-5s", None), ("s", None), ("1s1s", None), ("1e3", None),
        ("1s1m", None), ("٣s", None), (" 15s", None), ("15s\n", None), ("NaN", None), ("+Inf", None),
    ],
)  # fmt: skip
def test_a_duration_of_any_prometheus_is_read_within_bounds(text, seconds):
    assert durations.of_answer(text) == seconds


@pytest.mark.parametrize("name", ["figure", "threshold", "comparable"])
def test_of_any_annotation_a_hostile_text_is_a_condition_or_none(name):
    for text in hostile.VALUES:
        if isinstance(text, str):
            alert = {**hostile.ALERT, "annotations": {**hostile.ALERT["annotations"], name: text}}
            rule = {**hostile.RULE, "annotations": alert["annotations"]}
            [found] = of_prometheus.alerts({"alerts": [alert]})
            rules = of_prometheus.rules({"groups": [{"name": "g", "rules": [rule]}]})
            condition = figures.condition_of(found, rules, make.target())
            assert condition is None or math.isfinite(condition.settle or 0.0)


PRINTED = [
    b"",
    b"\xff\xfe\n",
    b"v1\x00\n",
    b"\x1b[2J",
    b"v1\nv2\n",
    b"--force\n",
    b"../..\n",
    b"v" * 254,
    b"\r\n",
    "v1٣".encode(),
    b"v1;rm\n",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8v1",
    b"x\n" * 20_000,
    b"{}",
    b"NaN",
]


@pytest.mark.parametrize("printed", PRINTED)
async def test_whatever_a_command_prints_is_versions_or_a_source_error(tmp_path, printed):
    (tmp_path / "printed").write_bytes(printed)
    action, context, actions = CommandAction(("cat", "printed"), 5.0, str(tmp_path)), ActionContext("t"), Actions()
    for read in (actions.read_version, actions.read_versions):
        found, said = (), ""
        try:
            found = await read(action, context)
        except SourceError as error:
            said = error.message
        assert said.isprintable()
        assert all(map(is_version, [found] if isinstance(found, str) else found))
    kept = await actions.run(action, context)
    assert orjson.dumps([kept.output, kept.detail])


REPLIES = [
    b"HTTP/1.1 200 \xff\xfe\x1b[31m\r\n\r\n",
    b"HTTP/1.1 999 x\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 99_999,
    b"HTTP/1.1 200 OK\r\n\r\n\xed\xa0\x80\x00",
    b"HTTP/1.1 \xed\xa0\x80 \xed\xa0\x80\r\n\r\n",
]


@pytest.mark.parametrize("reply", REPLIES)
async def test_whatever_a_hooks_address_answers_is_a_result_that_the_journal_can_keep(reply):
    with socket.create_server(("127.0.0.1", 0)) as server:
        actions = Actions()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        served = _reply_once(server, reply)
        result = await actions.run(HttpAction("POST", url, 5.0), ActionContext("t"))
        served.join()
        await actions.close()
    assert orjson.dumps([result.output, result.detail])
    assert "\x1b" not in result.detail


def _reply_once(server, reply):
    def work():
        taken, _ = server.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(reply)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"7", b"{}", b"\xff", b"[" * 5000, b'{"world":1,"controller":"x"}']
    + [
        json.dumps({"world": "w", "controller": 1, "pid": 1, "began": 1, "until": 1.0, name: value}).encode()
        for name in ("world", "controller", "pid", "began", "until")
        for value in ("x", [], {}, True)
        if (name, value) != ("world", "x")
    ],
)
def test_a_lock_file_that_a_command_wrote_over_says_nothing(tmp_path, text):
    file = tmp_path / "lock"
    file.write_bytes(text)
    with file.open("rb") as opened:
        assert survivors._read(opened.fileno()) is None
