"""Traces of OpenTelemetry's real SDK in OpenMetrics expositions, read back by the official parser."""

import pytest
from aiohttp import web
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from sqlalchemy import create_engine, text

from rearguard_exporter import Monitor
from rearguard_exporter.traffic.lanes import Lanes
from rearguard_exporter.traffic.request import MeasuredRequest

BUCKET = "http_server_request_duration_seconds_bucket"
TRACER = TracerProvider().get_tracer("test")


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def expose(monitor):
    made = monitor._endpoints.metrics.render("application/openmetrics-text; version=1.0.0", "")
    return list(parse_openmetrics(made.body.decode()))


def exemplars(monitor, bucket=BUCKET):
    return {
        (sample.labels.get("http_route"), float(sample.labels["le"])): sample.exemplar
        for family in expose(monitor)
        for sample in family.samples
        if sample.name == bucket and sample.exemplar is not None
    }


async def ask(app, path="/", tracer=TRACER):
    """One request to an ASGI application that is served inside a tracing middleware; the span's context."""
    seen = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_):
        pass

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    with tracer.start_as_current_span("GET") as span:
        seen.append(span.get_span_context())
        await app(scope, receive, send)
    return seen[0]


async def answer(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_the_last_trace_of_a_bucket_is_in_openmetrics_and_not_in_the_text_format(monitor):
    app = monitor.instrument_asgi(answer)
    await ask(app)
    context = await ask(app)
    (((_, bound), exemplar),) = exemplars(monitor).items()
    assert exemplar.labels == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    assert 0 <= exemplar.value <= bound
    assert exemplar.timestamp.sec > 1_700_000_000
    plain = monitor._endpoints.metrics.render("text/plain", "").body.decode()
    assert "trace_id" not in plain
    counts = [
        s.value for f in parse_text(plain) for s in f.samples if s.name.endswith("request_duration_seconds_count")
    ]
    assert counts == [2]
    await monitor._lifecycle.leave()


class RecordOnly(Sampler):
    """Spans are recorded for local processors, and sent nowhere."""

    def should_sample(self, *_, **__):
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self):
        return "record only"


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, RecordOnly()])
async def test_traces_that_nobody_will_find_are_no_exemplars(monitor, sampler):
    app = monitor.instrument_asgi(answer)
    await ask(app, tracer=TracerProvider(sampler=sampler).get_tracer("off"))
    assert exemplars(monitor) == {}
    await monitor._lifecycle.leave()


def test_an_exemplar_stands_with_the_bucket_that_its_value_fell_into(monitor):
    slots, key = monitor._instruments.http_duration, ("GET", "/", "200", "")
    with TRACER.start_as_current_span("GET"):
        for seconds in (0.05, 0.3, 99.0):
            slots.observe(key, seconds)
            monitor._instruments.exemplars.note(slots, key, seconds)
    shown = {bound: exemplar.value for (_, bound), exemplar in exemplars(monitor).items()}
    assert shown == {0.05: 0.05, 0.5: 0.3, float("inf"): 99.0}


async def test_exemplars_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("REARGUARD_EXEMPLARS", "off")
    for monitor in (Monitor("shop", "1.0", "test"), Monitor("shop", "1.0", "test", exemplars=False)):
        await ask(monitor.instrument_asgi(answer))
        assert exemplars(monitor) == {}
        await monitor._lifecycle.leave()


async def test_aiohttp_sees_the_span_of_a_middleware_inside_it(monitor, serve):
    contexts = []

    @web.middleware
    async def tracing(request, handler):
        with TRACER.start_as_current_span("GET") as span:
            contexts.append(span.get_span_context())
            return await handler(request)

    async def hello(_):
        return web.Response(text="hello")

    app = web.Application(middlewares=[tracing])
    app.router.add_get("/hello", hello)
    monitor.instrument_aiohttp(app)
    site = await serve(app)
    assert (await site.get("/hello"))[0] == 200
    (exemplar,) = exemplars(monitor).values()
    assert exemplar.labels["trace_id"] == f"{contexts[0].trace_id:032x}"


def test_wsgi_sees_the_span_in_which_the_response_starts(monitor):
    contexts = []

    def traced(_environ, start_response):
        with TRACER.start_as_current_span("GET") as span:
            contexts.append(span.get_span_context())
            start_response("200 OK", [])
        return iter([b"ok"])

    app = monitor.instrument_wsgi(traced)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    assert b"".join(app(environ, lambda *_: None)) == b"ok"
    (exemplar,) = exemplars(monitor).values()
    assert exemplar.labels["trace_id"] == f"{contexts[0].trace_id:032x}"


def test_a_query_inside_a_request_has_the_requests_trace(monitor):
    engine = create_engine("sqlite://")
    monitor.instrument_sqlalchemy(engine)
    with TRACER.start_as_current_span("GET") as span, engine.connect() as connection:
        connection.execute(text("select 1"))
    (exemplar,) = exemplars(monitor, "db_client_operation_duration_seconds_bucket").values()
    assert exemplar.labels["span_id"] == f"{span.get_span_context().span_id:016x}"
    engine.dispose()


def test_an_exemplar_of_a_folded_route_stays_with_the_overflow():
    monitor = Monitor("shop", "1.0", "test", series_limit=1)
    for number in range(3):
        with TRACER.start_as_current_span("GET"):
            request = _request(monitor, f"/r{number}")
            request.end()
    routes = {route for route, _ in exemplars(monitor)}
    assert routes == {"/r0", "__overflow__"}
    monitor.close()


def _request(monitor, route):
    request = MeasuredRequest(Lanes(monitor._instruments).open("GET"))
    request.route, request.status = route, 200
    return request


def test_a_tracing_library_that_fails_costs_no_request(monitor, monkeypatch):
    import opentelemetry.trace  # noqa: PLC0415 - what is broken here

    def broken():
        raise RuntimeError

    monkeypatch.setattr(opentelemetry.trace, "get_current_span", broken)
    request = _request(monitor, "/")
    request.end()
    assert exemplars(monitor) == {}
