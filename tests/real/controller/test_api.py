"""The HTTP interface over real sockets: who may do what, deliveries, bad requests, what is seen."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import re
import time
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from deadline import in_time
from real.controller.served import (
    BASE,
    FIGURE,
    NOWHERE,
    OPERATOR,
    SENDER,
    VIEWER,
    alerts,
    evaluating,
    metrics,
    serving,
)
from rearguard_controller import api
from rearguard_controller.adapters.telemetry import OWN_FAMILIES, Telemetry
from rearguard_controller.api.door import Door
from rearguard_controller.api.operations import OPERATIONS
from rearguard_controller.api.warnings import Warnings
from rearguard_controller.config import Limits

RULES = (
    FIGURE
    + """
      - alert: TooManyErrors
        expr: vector(1)
        labels: {action: rollback, service_name: checkout, deployment_environment_name: production}
        annotations: {figure: figure, threshold: "> vector(0.1)"}
      - alert: Memory
        expr: vector(1)
        labels: {service_name: search, deployment_environment_name: production}
"""
)


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
def prometheus(tmp_path):
    """A real Prometheus with one trigger and one other alert that fire; its address."""
    with evaluating(tmp_path / "prometheus", RULES) as found:
        yield found


READING = [
    f"{BASE}/dashboard",
    f"{BASE}/rollback/status",
    f"{BASE}/rollback/history",
    f"{BASE}/decisions",
    f"{BASE}/audit",
]
CHANGING = [
    f"{BASE}/rollback/trigger",
    f"{BASE}/rollback/r1/approve",
    f"{BASE}/rollback/r1/veto",
    f"{BASE}/rollback/r1/abort",
    f"{BASE}/rollback/r1/close",
    f"{BASE}/targets/checkout/arm",
    f"{BASE}/targets/checkout/disarm",
    f"{BASE}/disarm",
    f"{BASE}/targets/checkout/releases",
]


# --- who may do what ---------------------------------------------------------------------------------------


async def test_every_route_asks_for_a_token_of_its_role(service):
    cases = [("GET", path, {SENDER: 403, VIEWER: 200, OPERATOR: 200}) for path in READING]
    cases += [("GET", f"{BASE}/rollback/r1", {SENDER: 403, VIEWER: 404, OPERATOR: 404})]
    cases += [("GET", f"{BASE}/decisions/d1", {SENDER: 403, VIEWER: 404, OPERATOR: 404})]
    cases += [("POST", path, {SENDER: 403, VIEWER: 403, OPERATOR: 415}) for path in CHANGING]
    cases += [("POST", "/webhook/alertmanager", {SENDER: 400, VIEWER: 403, OPERATOR: 403})]
    for method, path, expected in cases:
        for token, code in {None: 401, "Bearer other": 401, "Basic act-1": 401, **expected}.items():
            status, body, headers = await service.ask(method, path, token)
            assert status == code, (method, path, token, body)
            assert status == 200 or {"code", "message", "hint", "field"} == set(body["error"])
            assert ("WWW-Authenticate" in headers) == (code == 401)


async def test_probes_need_no_token_and_metrics_do_unless_they_are_open(service):
    assert (await service.get("/healthz", None))[0] == 200
    assert (await service.get("/readyz", None))[0] == 200
    assert (await service.get("/metrics", None))[0] == 401


async def test_the_role_is_checked_before_the_body_is_asked_for(service):
    host, port = service.url.removeprefix("http://").split(":")
    for token, expected in (("none", b"HTTP/1.1 401"), ("send-2", b"HTTP/1.1 100")):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(
                f"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert (await in_time(reader.readline(), 30)).startswith(expected)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


# --- the webhook ---------------------------------------------------------------------------------------------


async def test_a_delivery_is_answered_once_it_is_on_disk(service):
    status, body = await service.post("/webhook/alertmanager", alerts("A", "B", action="none"), SENDER)
    assert (status, body) == (202, {"accepted": 2})
    assert await service.post("/webhook/alertmanager", {"version": "4", "alerts": []}, "Bearer send-2") == (
        202,
        {"accepted": 0},
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe{}", "body"),
        (b"[" * 100_000, "body"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "body"),
        (b'{"version": "4", "alerts": 7}', "alerts"),
        (b'{"version": "4", "alerts": [NaN]}', "body"),
        (b'{"version":"4","alerts":[{"status":"firing","labels":{}}]}', "alerts[0].labels.alertname"),
        (b'{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"A","x":7}}]}', "alerts[0].labels.x"),
    ],
)
async def test_a_bad_delivery_is_a_400_that_names_the_place(service, body, field):
    status, answer, _ = await service.ask("POST", "/webhook/alertmanager", SENDER, data=body)
    assert (status, answer["error"]["code"], answer["error"]["field"]) == (400, "bad_request", field)
    assert "Traceback" not in answer["error"]["message"]


async def test_a_body_over_the_cap_is_a_413_whether_announced_or_not_or_compressed(service):
    big = b" " * (16 * 1024 * 1024 + 1)

    async def pieces():
        for start in range(0, len(big), 1 << 20):
            yield big[start : start + (1 << 20)]

    for data, headers in ((big, {}), (pieces(), {}), (gzip.compress(big), {"Content-Encoding": "gzip"})):
        status, body, _ = await service.ask("POST", "/webhook/alertmanager", SENDER, data=data, headers=headers)
        assert (status, body["error"]["code"]) == (413, "too_large")
    small = {"target": "x" * 70_000}
    assert (await service.post(f"{BASE}/rollback/trigger", small))[0] == 413


async def test_a_body_that_is_not_compressed_as_it_says_is_a_400(service):
    status, body, _ = await service.ask(
        "POST", "/webhook/alertmanager", SENDER, data=b"{}", headers={"Content-Encoding": "gzip"}
    )
    assert (status, body["error"]["code"]) == (400, "bad_request")


async def test_answers_to_deliveries_are_counted_by_status(service):
    await service.post("/webhook/alertmanager", alerts("A"), SENDER)
    await service.post("/webhook/alertmanager", alerts("A"), None)
    await service.ask("POST", "/webhook/alertmanager", SENDER, data=b"{")
    counted = {
        sample.labels["code"]: sample.value
        for sample in (await metrics(service))["rearguard_webhook_requests"].samples
        if sample.value
    }
    assert counted == {"202": 1, "401": 1, "400": 1}


# --- bad requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field", "named"),
    [
        ("/rollback/history?limit=0", "limit", "500"),
        ("/rollback/history?limit=501", "limit", "500"),
        ("/rollback/history?limit=٣", "limit", "500"),
        ("/rollback/history?limit=1e1", "limit", "500"),
        ("/rollback/history?outcome=great", "outcome", "recovered, not_recovered, completed"),
        ("/decisions?verdict=maybe", "verdict", "roll_back, ask, leave"),
        ("/decisions?outcome=failed", "outcome", "Unknown parameter"),
        ("/decisions?limit=1&limit=2", "limit", "more than once"),
        ("/rollback/history?target=%00", "target", "NUL"),
        ("/dashboard?x=1", "x", "Unknown parameter"),
    ],
)
async def test_a_bad_parameter_is_a_400_that_names_it(service, path, field, named):
    status, body = await service.get(BASE + path)
    assert (status, body["error"]["field"]) == (400, field)
    assert named in body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"reason": "r"}, 422, "target"),
        ({"target": "checkout"}, 422, "reason"),
        ({"target": "checkout", "reason": "  "}, 422, "reason"),
        ({"target": "checkout", "reason": ["r"]}, 422, "reason"),
        ({"target": "checkout", "reason": "r", "tagret": 1}, 422, "tagret"),
        ({"target": "checkout", "reason": "r", "force": "yes"}, 422, "force"),
        ({"target": "checkout", "reason": "r", "to_version": "--flag"}, 422, "to_version"),
        ({"target": "checkout", "reason": "r", "to_version": "$(rm -rf x)"}, 422, "to_version"),
        ({"target": "checkout", "reason": "r"}, 422, "to_version"),  # nothing has earned trust yet
        ([], 400, "body"),
        ("x", 400, "body"),
    ],
)
async def test_a_bad_trigger_is_refused_and_names_the_field(service, body, status, field):
    got, answer = await service.post(f"{BASE}/rollback/trigger", body)
    assert (got, answer["error"]["field"]) == (status, field)
    assert (await service.get(f"{BASE}/rollback/history"))[1] == {"rollbacks": [], "next": None}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 60_000, b'{"reason": 1e999}'])
async def test_a_command_that_is_no_json_is_a_400(service, data):
    headers = {"Content-Type": "application/json"}
    status, body, _ = await service.ask("POST", f"{BASE}/disarm", OPERATOR, data=data, headers=headers)
    assert (status, body["error"]["code"]) == (400, "bad_request")


async def test_a_form_that_another_site_could_send_is_refused(service):
    status, body, _ = await service.ask("POST", f"{BASE}/disarm", OPERATOR, data='{"reason": "r"}')
    assert (status, body["error"]["field"]) == (415, "Content-Type")


async def test_unknown_routes_and_methods_are_json_errors(service):
    status, body = await service.get("/no/such/thing")
    assert (status, body["error"]["code"]) == (404, "not_found")
    status, body, headers = await service.ask("DELETE", f"{BASE}/rollback/status", OPERATOR)
    assert (status, body["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in headers["Allow"]
    status, body = await service.post(f"{BASE}/targets/nowhere/arm", {"reason": "r"})
    assert status == 404
    assert "checkout" in body["error"]["hint"]


async def test_an_unforeseen_failure_is_a_500_that_shows_no_internals():
    async def fail(_request):
        raise RuntimeError("secret detail")

    around = api._around_each_request(Telemetry(()), Warnings(time.time), Door(Limits), None)
    broken = web.Application(middlewares=[around])
    broken.router.add_get("/fails", fail)
    server = web.AppRunner(broken, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{server.addresses[0][1]}/fails"
        async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as response:
            body = await response.text()
            assert (response.status, json.loads(body)["error"]["code"]) == (500, "internal")
            assert "secret" not in body
    finally:
        await server.cleanup()


HOSTILE = (
    None, True, 0, -1, 1e308, 2**63, "", " ", "v1", "\0", "\u202e", "; rm -rf x", "$(id)", "--flag", "../..",
    "a\nb", "x" * 5000, [], ["v1"], {}, {"a": {"b": []}}, "\ud7ff", "🦊", "%00", "2999-01-01T00:00:00Z",
)  # fmt: skip


async def test_no_field_parameter_or_path_that_a_client_can_send_is_a_failure_of_the_server(service):
    dice = random.Random(7)  # noqa: S311  # the same dice at every run
    names = (
        "target",
        "reason",
        "to_version",
        "force",
        "dry_run",
        "until",
        "version",
        "phase",
        "barrier",
        "good",
        "x",
    )
    for path in CHANGING * 12:
        body = {name: dice.choice(HOSTILE) for name in dice.sample(names, 4)} | {"reason": "r", "target": "checkout"}
        kept = [name for name in body if dice.random() < 0.8]
        status, answer = await service.post(path, {name: body[name] for name in kept})
        assert status < 500, (path, body, answer)
    for text in HOSTILE:
        word = quote(str(text)[:1000], safe="")
        for path in (
            "/rollback/{}",
            "/decisions/{}",
            "/decisions?before={}",
            "/rollback/history?before={}&target={}",
        ):
            status, answer = await service.get(BASE + path.replace("{}", word))
            assert status < 500, (path, text, answer)
        for path in ("/rollback/{}/abort", "/targets/{}/arm", "/targets/{}/releases"):
            status, answer = await service.post(BASE + path.replace("{}", word), {"reason": "r"})
            assert status < 500, (path, text, answer)


# --- what is seen ----------------------------------------------------------------------------------------------


async def test_without_prometheus_health_and_readiness_of_targets_are_unknown_not_good(service):
    _, body = await service.get(f"{BASE}/dashboard")
    assert (body["status"], body["prometheus_age_s"]) == ("unknown", None)
    assert [(each["name"], each["health"], each["figures"]) for each in body["targets"]] == [
        ("checkout", "unknown", []),
        ("search", "unknown", []),
    ]
    _, state = await service.get(f"{BASE}/rollback/status")
    assert [each["ready"] for each in state["targets"]] == [False, False]
    status, ready = await service.get("/readyz", None)
    assert (status, ready["status"], ready["prometheus_age_s"]) == (200, "ready", None)


async def test_every_promised_family_is_exposed_from_the_start(tmp_path):
    async with serving(tmp_path, more=f"notify: [{{url: '{NOWHERE}'}}]\n") as service:
        shown = await metrics(service)
    for family in OWN_FAMILIES:
        name = family.name.removesuffix("_total") if family.type == "counter" else family.name
        assert shown[name].type == family.type
        if name == "rearguard_other_prometheus_age_seconds":
            continue  # of `prometheus.others`, which are not here
        assert shown[name].samples, family.name
        labels = set().union(*(sample.labels for sample in shown[name].samples)) - {"le"}
        assert labels == set(family.labels), family.name


async def test_metrics_speak_openmetrics_when_asked(service):
    headers = {"Authorization": VIEWER, "Accept": "application/openmetrics-text; version=1.0.0"}
    async with service.session.get(service.url + "/metrics", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert response.headers["Content-Encoding"] in ("gzip", "deflate")
        assert (await response.text()).endswith("# EOF\n")


async def test_the_document_lists_every_route_with_its_role_and_every_family(service):
    document = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    served = {(route.method, route.resource.canonical) for route in service.controller.web.router.routes()}
    assert served >= OPERATIONS.keys()
    routes = served & OPERATIONS.keys()  # the others are the page, for people
    listed = set(re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", document, re.MULTILINE))
    assert listed == routes
    for family in OWN_FAMILIES:
        row = next(line for line in document.splitlines() if line.startswith(f"| `{family.name}` | {family.type} |"))
        assert all(f"`{label}`" in row for label in family.labels), family.name


async def test_what_fires_is_shown_with_its_figures_by_version(tmp_path, prometheus):
    async with serving(tmp_path, prometheus) as service:
        deadline = asyncio.get_running_loop().time() + 20
        targets = []
        while not all(target["firing"] for target in targets) or not targets:
            assert asyncio.get_running_loop().time() < deadline, targets
            await service.controller.parts.watcher.poll(service.controller.parts.intake)
            targets = (await service.get(f"{BASE}/dashboard"))[1]["targets"]
        checkout, search = targets
        assert (checkout["health"], search["health"]) == ("unhealthy", "degraded")
        assert [alert["name"] for alert in checkout["firing"]] == ["TooManyErrors"]
        assert checkout["figures"] == [
            {
                "alert": "TooManyErrors",
                "version": "2.0",
                "value": 0.3,
                "operator": ">",
                "threshold": 0.1,
                "past": True,
            }
        ]
        _, state = await service.get(f"{BASE}/rollback/status")
        triggers = [(trigger["target"], trigger["name"]) for trigger in state["active_triggers"]]
        assert triggers == [("checkout", "TooManyErrors")]
        assert (await service.get("/readyz", None))[1]["prometheus_age_s"] < 20
        page = {"decisions": []}
        while not page["decisions"]:  # judged beside the poll
            assert asyncio.get_running_loop().time() < deadline
            _, page = await service.get(f"{BASE}/decisions?target=checkout&verdict=leave")
        assert page["decisions"][0]["alert"]["name"] == "TooManyErrors"
        assert [each["code"] for each in page["decisions"][0]["reasons"] if each["blocks"]]
