"""Why a source cannot be asked is told with the key to set: at the wire, with answers of what stands before it."""

import asyncio
import json
import time

import pytest
from aiohttp import web

from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.prometheus import Prometheus, answers
from rearguard_controller.config import AlertmanagerSettings, PrometheusSettings
from rearguard_controller.config.http_config import Header, HttpConfig, TlsConfig
from rearguard_controller.errors import SourceError

PAGE = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
async def wire():
    """A server that answers whatever a test says; remembers the headers that it got."""
    state = {"status": 200, "body": b"", "headers": {}, "seen": []}

    async def answer(request: web.Request) -> web.Response:
        state["seen"].append(request.headers.copy())
        headers = {name: value.replace("HOST", request.host) for name, value in state["headers"].items()}
        return web.Response(status=state["status"], body=state["body"], headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


async def refused(edge, ask):
    with pytest.raises(SourceError) as caught:
        await ask(edge)
    await edge.close()
    return caught.value


async def told(wire, path="", http=None):
    """What both sources say of the same answer."""
    http, urls = http or HttpConfig(), (wire["url"] + path,)
    one = await refused(Prometheus(PrometheusSettings(urls, http=http)), lambda edge: edge.query("up"))
    other = await refused(Alertmanager(AlertmanagerSettings(urls, http)), lambda edge: edge.silences())
    same = other.hint.replace("Alertmanager", "Prometheus").replace("alertmanager", "prometheus")
    assert same.replace("/api/v2", "/api/v1").replace("an Prometheus", "a Prometheus") == one.hint
    return one


@pytest.mark.parametrize(
    ("status", "headers", "body", "path", "hint"),
    [
        (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"Unauthorized", "", "prometheus.basic_auth with username"),
        (401, {"WWW-Authenticate": "Bearer"}, b"", "", "prometheus.authorization with credentials_file"),
        (401, {}, b"no org id", "", "X-Scope-OrgID"),
        (401, {}, b'{"status":"error","error":"x"}', "", "prometheus.basic_auth (username, password_file)"),
        (403, {}, b"", "", "prometheus.basic_auth or prometheus.authorization"),
        (404, {}, b"404 page not found", "", "path prefix (--web.external-url, --web.route-prefix)"),
        (404, {}, b"", "/prom", "Is /prom the path prefix"),
        (302, {"Location": "https://sso.example.com/oauth2/auth?state=s3cret"}, b"", "", "login page for people"),
        (302, {"Location": "/login?next=/api"}, b"", "", "login page for people"),
        (301, {"Location": "https://127.0.0.1/api"}, b"", "", "Write https:// in prometheus.url"),
        (307, {"Location": "/graph"}, b"", "", "with its path prefix"),
        (308, {}, b"", "", "without saying where"),
        (400, {}, b"Client sent an HTTP request to an HTTPS server.\n", "", "write https://"),
        (200, PAGE, b"<!doctype html><title>Sign in</title>", "", "no login page in between"),
        (200, {}, b"  <html>", "", "no login page in between"),
        (407, {}, b"", "", "proxy"),
        (429, {}, b"", "", "poll_interval"),
        (502, PAGE, b"<html>502 Bad Gateway</html>", "", "running"),
    ],
)
async def test_the_hint_names_what_to_set(wire, status, headers, body, path, hint):
    wire["status"], wire["headers"], wire["body"] = status, headers, body
    error = await told(wire, path)
    assert hint in error.hint
    assert "s3cret" not in error.message + error.hint
    assert "<" not in error.message


@pytest.mark.parametrize("api", ["/api/v1/query", "/api/v2/silences"])
async def test_a_redirect_to_the_api_elsewhere_names_the_address_to_write(wire, api):
    wire["status"], wire["headers"] = 308, {"Location": f"http://HOST/prom{api}"}
    ask, edge = (
        (lambda one: one.query("up"), Prometheus(PrometheusSettings((wire["url"],))))
        if "v1" in api
        else (lambda one: one.silences(), Alertmanager(AlertmanagerSettings((wire["url"],))))
    )
    error = await refused(edge, ask)
    assert f"Write {wire['url']}/prom in " in error.hint


async def test_who_says_who_it_is_and_is_refused_is_told_to_look_at_that(wire, tmp_path):
    (tmp_path / "password").write_text("hunter22\n")
    wire["status"], wire["headers"] = 401, {"WWW-Authenticate": "Basic"}
    error = await told(wire, http=HttpConfig(tmp_path / "password", "ann", "Basic", "basic_auth"))
    assert "prometheus.basic_auth names is refused" in error.hint
    (tmp_path / "token").write_text("ann:hunter22\n")
    error = await told(wire, http=HttpConfig(tmp_path / "token"))
    assert "prometheus.basic_auth with username" in error.hint
    wire["status"] = 403
    error = await told(wire, http=HttpConfig(tmp_path / "token"))
    assert "prometheus.token_file names may not read" in error.hint
    assert "hunter22" not in error.message + error.hint


async def test_what_is_configured_is_sent_and_read_again_at_each_use(wire, tmp_path):
    secret, key = tmp_path / "secret", tmp_path / "key"
    wire["body"] = b'{"status":"success","data":{"alerts":[]}}'
    headers = {"X-Scope-OrgID": Header(("shop", "till")), "X-Key": Header((), (key,))}
    for http, sent in [
        (HttpConfig(secret, "ann", "Basic", "basic_auth", headers=headers), "Basic YW5uOm9uZQ=="),
        (HttpConfig(secret, "", "Token", "authorization", headers=headers), "Token one"),
    ]:
        edge = Prometheus(PrometheusSettings((wire["url"],), http=http))
        secret.write_text("one\n")
        for word in ("first", "second"):
            key.write_text(word + "\n")
            await edge.alerts()
            got = wire["seen"][-1]
            assert (got["Authorization"], got["X-Key"]) == (sent, word)
            assert got.getall("X-Scope-OrgID") == ["shop", "till"]
        for text in ("", "a\nb"):
            secret.write_text(text)
            with pytest.raises(SourceError, match="no single line"):
                await edge.alerts()
        secret.unlink()
        with pytest.raises(SourceError, match="cannot be read") as caught:
            await edge.alerts()
        assert http.said_by in caught.value.hint
        await edge.close()


async def test_tls_where_nobody_speaks_it_and_a_certificate_that_is_none_are_told(wire, tmp_path):
    edge = Prometheus(PrometheusSettings((wire["url"].replace("http:", "https:"),)))
    assert "write http://" in (await refused(edge, lambda one: one.alerts())).hint
    (tmp_path / "c").write_text("no certificate")
    http = HttpConfig(tls=TlsConfig(None, tmp_path / "c", tmp_path / "c"))
    edge = Prometheus(PrometheusSettings((wire["url"],), http=http))
    assert "tls_config.cert_file" in (await refused(edge, lambda one: one.alerts())).hint


async def test_a_large_answer_is_read_beside_the_event_loop(wire):
    entry = b'{"metric":{"instance":"10.0.0.1:9464","job":"shop"},"value":[1,"1"]}'
    body = b'{"status":"success","data":{"resultType":"vector","result":[' + b",".join([entry] * 40_000) + b"]}}"
    began = time.perf_counter()
    assert len(answers.samples(json.loads(body)["data"])) == 40_000
    takes = time.perf_counter() - began
    wire["body"], edge, late = body, Prometheus(PrometheusSettings((wire["url"],))), []

    async def tick():
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            late.append(time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    assert len(await edge.query("up")) == 40_000
    ticking.cancel()
    await edge.close()
    assert max(late) < takes / 2  # the loop never stands still for as long as reading the answer takes
