"""What one trace shows with the vendors' real SDKs: WebSockets and why they ended, database operations, exemplars."""

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from real import postgres
from real.exporter.apm.running import Shop

REASON = "websocket.close_reason"


def talk(shop, word):
    """One socket to its end: a word, its echo, and a closing handshake, unless the handler fails before."""
    with connect(f"ws://{shop.address}/ws/3") as socket:
        socket.send(word)
        try:
            assert socket.recv(10) == word
        except ConnectionClosed:
            assert word == "boom"


@pytest.mark.parametrize("framework", ["fastapi", "aiohttp"])
def test_a_socket_is_one_trace_with_the_reason_of_its_end_and_its_handlers_error_arrives_once(
    framework, sentry, agent, tmp_path
):
    service = f"sockets-{framework}"
    with Shop(tmp_path, framework, SENTRY_DSN=sentry.dsn, DD_TRACE_AGENT_URL=agent.url, SERVICE=service) as shop:
        talk(shop, "hello")
        talk(shop, "boom")
        transactions = sentry.wait("transaction", 2)
        (event,) = sentry.wait("event", 1)
        assert [value["type"] for value in event["exception"]["values"]] == ["ShopError"]
        assert [(item["transaction"], item["tags"][REASON]) for item in transactions] == [
            ("/ws/{item}", "clean"),
            ("/ws/{item}", "error"),
        ]

        def spans():
            found = [span for trace in agent.traces(service) for span in trace]
            return [span for span in found if span["name"] == "websocket.connection"]

        deadline = time.monotonic() + 20
        while len(spans()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {(span["meta"][REASON], span["error"], span["meta"].get("error.type")) for span in spans()} == {
            ("clean", 0, None),
            ("error", 1, "__main__.ShopError"),
        }
        assert {span["resource"] for span in spans()} == {"websocket /ws/{item}"}
        failed = [span for trace in agent.traces(service) for span in trace if span["error"]]
        assert len(failed) == 1


def check_statements(sentry, agent, service, statements):
    transaction = sentry.wait("transaction", 1)[0]
    told = [span["description"] for span in transaction["spans"] if span["op"] == "db"]
    assert sorted(text for text in told if text.startswith("select")) == statements
    (trace,) = agent.wait(service, 1)
    shown = sorted(span["resource"] for span in trace if span["resource"].startswith("select"))
    assert shown == statements
    root = [span for span in trace if not span["parent_id"]]
    assert len(root) == 1


@pytest.mark.parametrize("order", ["ours", pytest.param("before", marks=pytest.mark.soak)])
def test_a_statement_is_one_span_at_each_vendor(order, sentry, agent, tmp_path):
    service = f"database-{order}"
    own = {} if order == "ours" else {"OWN_SENTRY": sentry.dsn, "OWN_DATADOG": "1"}
    own |= {"SENTRY_DSN": sentry.dsn, "DD_TRACE_AGENT_URL": agent.url, "SERVICE": service}
    with (
        postgres.running() as server,
        Shop(tmp_path, "fastapi", order, POSTGRES=server.url("postgres"), **own) as shop,
    ):
        assert shop.get("/query")[0] == 200
        check_statements(sentry, agent, service, ["select 'orders'", "select 'stock'"])


@pytest.mark.parametrize("order", ["ours", pytest.param("before", marks=pytest.mark.soak)])
def test_a_statement_of_asyncpg_is_one_span_at_each_vendor_and_a_failing_one_is_an_error(
    order, sentry, agent, tmp_path
):
    service = f"asyncpg-{order}"
    own = {} if order == "ours" else {"OWN_SENTRY": sentry.dsn, "OWN_DATADOG": "1"}
    own |= {"SENTRY_DSN": sentry.dsn, "DD_TRACE_AGENT_URL": agent.url, "SERVICE": service}
    with (
        postgres.running() as server,
        Shop(tmp_path, "fastapi", order, POSTGRES=server.url("postgres"), **own) as shop,
    ):
        assert shop.get("/shelf")[0] == 200
        good, bad = "select 'shelf'", "select 1 / 0"
        check_statements(sentry, agent, service, [good, bad])
        spans = {span["resource"]: span for span in agent.wait(service, 1)[0]}
        assert (spans[good]["error"], spans[bad]["error"]) == (0, 1)
        assert "DivisionByZero" in spans[bad]["meta"]["error.type"]
        assert shop.complaints() == []


@pytest.mark.parametrize("vendor", ["sentry", "datadog"])
def test_exemplars_name_the_traces_that_the_vendor_gets(vendor, sentry, agent, tmp_path):
    service = f"exemplars-{vendor}"
    address = {"SENTRY_DSN": sentry.dsn} if vendor == "sentry" else {"DD_TRACE_AGENT_URL": agent.url}
    with Shop(tmp_path, "fastapi", SERVICE=service, **address) as shop:
        assert shop.get("/items/3")[0] == 200
        if vendor == "sentry":
            sent = {sentry.wait("transaction", 1)[0]["contexts"]["trace"]["trace_id"]}
        else:
            (trace,) = agent.wait(service, 1)
            high = next(span["meta"]["_dd.p.tid"] for span in trace if "_dd.p.tid" in span["meta"])
            sent = {f"{high}{trace[0]['trace_id']:016x}"}
        body = shop.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")[1].decode()
    named = {
        sample.exemplar.labels["trace_id"]
        for family in parse(body)
        for sample in family.samples
        if sample.exemplar is not None and sample.name == "http_server_request_duration_seconds_bucket"
    }
    assert named == sent
