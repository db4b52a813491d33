"""What a hostile or careless peer may try, over real sockets: limits, audit, secrets, hostile labels."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import time

import aiohttp
import psutil
import pytest
from aiohttp import web

from deadline import in_time
from local_stack.process import Program, free_ports
from real.controller.hosted import hosted
from real.controller.served import BASE, CONFIGURATION, OPERATOR, SENDER, VIEWER, alerts
from rearguard_controller.api.limits import MAX_HEADERS
from rearguard_controller.service import logs

MIB = 1024 * 1024
TRIGGER = {"action": "rollback", "service_name": "checkout", "deployment_environment_name": "production"}


class Caller:
    """Asks one controller."""

    def __init__(self, session, port):
        self.session, self.url = session, f"http://127.0.0.1:{port}"

    async def ask(self, method, path, token=OPERATOR, **more):
        headers = {"Authorization": token, **more.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            return response.status, await response.json(), response.headers

    async def post(self, path, body, token=OPERATOR, **more):
        return (await self.ask("POST", path, token, json=body, **more))[:2]

    async def get(self, path, token=VIEWER):
        return (await self.ask("GET", path, token))[:2]


@contextlib.asynccontextmanager
async def calling(folder, more="", **options):
    """A hosted controller, and who asks it."""
    async with (
        hosted(folder, more, **options) as (controller, port),
        aiohttp.ClientSession(trust_env=False) as session,
    ):
        yield controller, Caller(session, port)


async def raw(port, data, *, seconds=5.0):
    """What comes back for bytes that were written by hand; the connection is closed by the peer, or None."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await in_time(reader.read(), seconds)
    except TimeoutError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# --- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"a" * 9000,
        b"\r\n".join(b"X-%d: a" % n for n in range(MAX_HEADERS + 1)),
        b"X" * 9000 + b": a",
        b"Broken header",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
    ],
)  # fmt: skip
async def test_headers_that_are_too_long_too_many_or_ambiguous_are_a_400_and_end_the_connection(tmp_path, head):
    async with hosted(tmp_path) as (_, port):
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"
        answer = await raw(port, request)
        assert answer is not None
        assert answer.split(b" ")[1] == b"400", answer[:200]


async def test_headers_that_never_end_are_cut_off_and_work_goes_on(tmp_path):
    async with hosted(tmp_path, "limits: {idle_timeout: 500ms}\n") as (_, port):
        began = time.monotonic()
        slow = [raw(port, b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nX: ", seconds=10) for _ in range(5)]
        assert set(await asyncio.gather(*slow)) == {b""}
        assert time.monotonic() - began < 5


async def test_a_body_that_never_ends_is_a_408(tmp_path):
    async with hosted(tmp_path, "limits: {body_timeout: 300ms}\n") as (_, port):
        head = (
            f"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nAuthorization: {SENDER}\r\nContent-Length: 99\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + b'{"version"')
        assert (await in_time(reader.readline(), 30)).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_of_too_many_connections_the_idlest_are_closed_and_the_others_served(tmp_path):
    async with calling(tmp_path, "limits: {connections: 5}\n") as (_, caller):
        port = int(caller.url.rpartition(":")[2])
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        ends = [asyncio.create_task(reader.read()) for reader, _ in pairs]
        deadline = time.monotonic() + 10
        while sum(end.done() for end in ends) < 15:
            assert time.monotonic() < deadline, [end.done() for end in ends]
            await asyncio.sleep(0.05)
        assert (await caller.get("/healthz"))[0] == 200
        for (_, writer), end in zip(pairs, ends, strict=True):
            end.cancel()
            writer.close()
        await asyncio.gather(*ends, return_exceptions=True)


@pytest.mark.parametrize(
    ("token", "announced", "answers", "most"),
    [("Bearer nobody", True, {401}, 60), (SENDER, False, {413, 503}, 120)],
)
def test_memory_stays_bounded_when_many_send_much(tmp_path, token, announced, answers, most):
    """50 clients with 16 MiB and a little more each (800 MiB in all): without a token, or in chunks by a sender.

    What is not announced is refused at 16 MiB; 64 MiB in all are being read at once, each held once and buffered.
    """
    port = free_ports(1)[0]
    for name, own in (("sender", SENDER), ("viewer", VIEWER), ("operator", f"Bearer ann:{OPERATOR[7:]}")):
        (tmp_path / name).write_text(own.removeprefix("Bearer ") + "\n")
    text = CONFIGURATION.format(folder=tmp_path, prometheus="http://127.0.0.1:9")
    (tmp_path / "rearguard.yaml").write_text(text.replace(":9465", f":{port}"))
    program = Program(
        "rearguard",
        [sys.executable, "-m", "rearguard_controller", "serve", "--config", "rearguard.yaml"],
        folder=tmp_path,
        log=tmp_path / "log",
        ready_url=f"http://127.0.0.1:{port}/healthz",
        environment=dict(os.environ),
    )
    try:
        program.start()
        process = psutil.Process(program.pid)
        before = process.memory_info().rss
        statuses, held = asyncio.run(_flood(port, process, token, announced=announced))
    finally:
        program.stop()
    assert statuses == answers
    assert held - before < most * MIB, (before // MIB, held // MIB)


async def _flood(port, process, token, *, announced):
    most, size = 0, 17 * MIB

    async def pieces():
        nonlocal most
        for _ in range(size // MIB):
            yield bytes(MIB)
            most = max(most, process.memory_info().rss)

    async def one(session):
        headers = {"Authorization": token, **({"Content-Length": str(size)} if announced else {})}
        url = f"http://127.0.0.1:{port}/webhook/alertmanager"
        async with session.post(url, data=pieces(), headers=headers) as response:
            return response.status

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        statuses = set(await asyncio.gather(*(one(session) for _ in range(50))))
    return statuses, max(most, process.memory_info().rss)


async def test_beyond_the_bound_of_waiting_alerts_deliveries_are_put_off_with_503(tmp_path):
    async with calling(tmp_path, "limits: {waiting_alerts: 3}\n") as (_, caller):
        status, body, headers = await caller.ask("POST", "/webhook/alertmanager", SENDER, json=alerts(*"ABCDE"))
        assert (status, body["error"]["code"]) == (503, "unavailable")
        assert int(headers["Retry-After"]) > 0
        assert (await caller.post("/webhook/alertmanager", alerts("A"), SENDER))[0] == 202
        assert (await caller.get("/readyz"))[0] == 200  # it could be stored: only too much waits


async def test_an_operator_who_triggers_in_a_loop_is_slowed_down_and_others_and_deliveries_are_not(tmp_path):
    async with calling(tmp_path, "limits: {triggers_per_minute: 3}\n") as (_, caller):
        wish = {"target": "nowhere", "reason": "r"}
        path = f"{BASE}/rollback/trigger"
        assert [(await caller.post(path, wish))[0] for _ in range(4)] == [404, 404, 404, 429]
        status, body, headers = await caller.ask("POST", path, json=wish)
        assert (status, body["error"]["code"]) == (429, "too_many")
        assert 0 < int(headers["Retry-After"]) <= 60
        assert (await caller.post(path, wish, "Bearer act-2"))[0] == 404
        for _ in range(10):
            assert (await caller.post("/webhook/alertmanager", alerts("A"), SENDER))[0] == 202


async def test_many_scrapes_at_once_hold_up_nothing_else(tmp_path):
    """Scrapers that gave up leave their requests behind; they must not starve what keeps the lease, or deliveries."""
    head, _, targets = CONFIGURATION.partition("targets:\n")
    one = targets.partition("  - name: search")[0]
    many = "".join(one.replace("checkout", f"shop-{number}") for number in range(60))
    async with calling(tmp_path, text=f"{head}targets:\n{many}") as (_, caller):

        async def scrape():
            async with caller.session.get(caller.url + "/metrics", headers={"Authorization": VIEWER}) as response:
                assert response.status == 200
                return len(await response.read())

        began = time.monotonic()
        assert await scrape() > 10_000
        alone = time.monotonic() - began
        began = time.monotonic()
        scrapes = asyncio.gather(*(scrape() for _ in range(40)))
        assert (await caller.ask("GET", "/healthz"))[0] == 200
        await scrapes
        assert time.monotonic() - began < 10 * alone + 2


# --- the audit -----------------------------------------------------------------------------------------------------


async def test_every_act_of_an_operator_is_kept_with_who_when_and_why(tmp_path):
    async with calling(tmp_path) as (controller, caller):

        async def told():
            return (await caller.get(f"{BASE}/rollback/{rollback}"))[1]

        began = time.time()
        checkout, bob = f"{BASE}/targets/checkout", "Bearer act-2"
        assert (await caller.post(f"{checkout}/releases", {"version": "v1", "good": True}, bob))[0] == 200
        (tmp_path / "hold").touch()
        path = f"{BASE}/rollback/trigger"
        status, body = await caller.post(path, {"target": "checkout", "reason": "slow"})
        assert status == 202
        rollback = body["rollback_id"]
        deadline = time.monotonic() + 20
        while not any(step["state"] == "started" for step in (await told())["steps"]):  # or an abort ends it at once
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert (await caller.post(f"{BASE}/rollback/{rollback}/abort", {"reason": "wrong one"}, bob))[0] == 200
        assert (await caller.post(f"{BASE}/rollback/{rollback}/close", {"reason": "now"}))[0] == 200
        (tmp_path / "hold").unlink()
        deadline = time.monotonic() + 20
        while (await told())["phase"] != "closed":  # its close disarms
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert (await caller.post(f"{checkout}/disarm", {"reason": "sale"}, bob))[1]["armed_by"] == "bob"
        assert (await caller.post(f"{checkout}/arm", {"reason": "over"}))[1]["armed_by"] == "ann"
        _, body = await caller.post(f"{BASE}/disarm", {"reason": "drill"})
        assert [each["armed_by"] for each in body["targets"]] == ["ann", "ann"]
        assert (await caller.post("/-/reload", {}, bob))[0] == 200
        kept = [(each.operator, each.action, each.subject, each.reason)
                for each in await controller.journal.operator_actions()]  # fmt: skip
        assert kept == [
            ("bob", "reload", "configuration", ""),
            ("ann", "disarm", "search", "drill"),
            ("ann", "disarm", "checkout", "drill"),
            ("ann", "arm", "checkout", "over"),
            ("bob", "disarm", "checkout", "sale"),
            ("ann", "close", rollback, "now"),
            ("bob", "abort", rollback, "wrong one"),
            ("ann", "trigger", "checkout", "slow"),
            ("bob", "release", "checkout", "v1: good"),
        ]
        assert all(began <= each.at <= time.time() for each in await controller.journal.operator_actions())
        status, page = await caller.get(f"{BASE}/audit")
        assert (status, page["next"]) == (200, None)
        keys = ("operator", "action", "subject", "reason")
        assert [tuple(each[key] for key in keys) for each in page["actions"]] == kept
        assert all(each["at"].endswith("Z") for each in page["actions"])
        _, page = await caller.get(f"{BASE}/audit?subject=checkout&limit=2")
        assert [(each["action"], each["reason"]) for each in page["actions"]] == [
            ("disarm", "drill"),
            ("arm", "over"),
        ]
        assert (await caller.get(f"{BASE}/audit?subject=nobody"))[1] == {"actions": [], "next": None}
        assert [(await caller.get(f"{BASE}/audit?{wrong}"))[0] for wrong in ("limit=0", "target=x")] == [400, 400]
        _, shown = await caller.get(f"{BASE}/rollback/{rollback}")
        assert [(each["operator"], each["action"], each["reason"]) for each in shown["actions"]] == [
            ("ann", "trigger", "slow"),
            ("bob", "abort", "wrong one"),
            ("ann", "close", "now"),
        ]
        _, status = await caller.get(f"{BASE}/rollback/status")
        assert {each["name"]: each["armed_by"] for each in status["targets"]} == {"checkout": "ann", "search": "ann"}


# --- secrets -------------------------------------------------------------------------------------------------------

SECRETIVE = """
environment: production
journal: sqlite://{folder}/journal.db
prometheus:
  url: ["http://127.0.0.1:9/Base", "{prometheus}"]
  poll_interval: 1h
  token_file: prometheus-token
  http_headers: {{X-Scope-OrgID: {{files: [prometheus-tenant]}}}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act}}}}
notify: [{{url_file: notify-url, headers_file: headers, events: [alert, decided, started, finished]}}]
targets:
  - name: checkout
    match: {{service_name: checkout, deployment_environment_name: production}}
    release:
      command:
        current: [./release, current]
        versions: [./release, list]
        rollback: [./release, activate, "{{to_version}}"]
        env: {{APP_KEY: Secret-env}}
        pass_env: [TEST_PASSED]
    hooks:
      before:
        - name: away
          http: {{url: "http://u:Secret-hook-pw@127.0.0.1:9/a?token=Secret-hook-query#Secret-hook-part",
                  headers: {{X-Key: Secret-header}}, headers_file: headers, body: Secret-body}}
          undo: {{http: {{url: "http://u:Secret-undo-pw@127.0.0.1:9/u?token=Secret-undo-query"}}, when: healthy}}
        - {{name: refused, http: {{url: "http://{hook}/no?token=Secret-refused-query", headers_file: headers}}}}
        - {{name: broken, http: {{url: "http://{hook}/broken?token=Secret-broken-query", headers_file: bad-headers}}}}
        - {{name: failing, command: [sh, -c, "exit 3"], env: {{HOOK_KEY: Secret-hook-env}}}}
    verify:
      health: {{url: "http://u:Secret-health-pw@127.0.0.1:9/h?t=Secret-health-query", timeout: 300ms, interval: 99ms}}
"""
IN_FILES = {
    "sender": "am:Secret-sender\n",
    "viewer": "dora:Secret-viewer\n",
    "operator": "ann:Secret-operator\n",
    "prometheus-token": "Secret-prom-token\n",
    "prometheus-tenant": "Secret-prom-tenant\n",
    "headers": "Authorization: Bearer Secret-headers-file\n",
    "bad-headers": "Secret-without-colon\n",
    "notify-url": "http://u:Secret-notify-pw@{hook}/Secret-notify-path?token=Secret-notify-query\n",
}


@contextlib.asynccontextmanager
async def refusing():
    """A server that says no to every request; its address."""
    app = web.Application()

    async def refuse(_request):
        raise web.HTTPForbidden

    app.router.add_route("*", "/{any:.*}", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _stored(folder):
    """Everything that lies in the journal's files, and in the folder beside it."""
    return b"".join(file.read_bytes() for file in folder.glob("journal.db*") if file.is_file()).decode(
        "latin-1"
    ) + "".join(file.read_text("latin-1") for file in folder.glob("journal.db*/**/*") if file.is_file())


async def test_no_secret_shows_in_logs_metrics_answers_or_the_journal_whatever_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_PASSED", "Secret-passed")
    written = io.StringIO()
    logs.configure(stream=written, level="debug", as_json=True)
    viewer, operator = "Bearer Secret-viewer", "Bearer Secret-operator"
    seen = []
    async with refusing() as hook:
        text = SECRETIVE.replace("{hook}", hook)
        async with calling(tmp_path, text=text, prometheus=f"http://{hook}") as (controller, caller):
            for name, content in IN_FILES.items():
                (tmp_path / name).write_text(content.replace("{hook}", hook))
            version = {"version": "v1", "good": True}
            seen.append(await caller.ask("POST", f"{BASE}/targets/checkout/releases", operator, json=version))
            wish = {"target": "checkout", "reason": "r"}
            seen.append(
                await caller.ask("POST", f"{BASE}/rollback/trigger", operator, json={**wish, "dry_run": True})
            )
            seen.append(await caller.ask("POST", f"{BASE}/rollback/trigger", operator, json=wish))
            rollback = seen[-1][1]["rollback_id"]
            deadline = time.monotonic() + 20
            while (shown := await caller.ask("GET", f"{BASE}/rollback/{rollback}", viewer))[1]["phase"] != "closed":
                assert time.monotonic() < deadline, shown
                await asyncio.sleep(0.05)
            seen.append(shown)
            states = {step["name"]: step["state"] for step in shown[1]["steps"]}
            assert {states["away"], states["refused"], states["broken"], states["failing"]} == {"failed"}
            delivery = alerts(
                "A", action="rollback", service_name="checkout", deployment_environment_name="production"
            )
            seen.append(await caller.ask("POST", "/webhook/alertmanager", "Bearer Secret-sender", json=delivery))
            deadline = time.monotonic() + 20
            while not (made := await caller.ask("GET", f"{BASE}/decisions?verdict=leave", viewer))[1]["decisions"]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            seen += [made, await caller.ask("POST", "/webhook/alertmanager", viewer, json=delivery)]
            for path in ("/rollback/status", "/dashboard", "/rollback/history", "/decisions"):
                seen.append(await caller.ask("GET", BASE + path, viewer))
            (tmp_path / "rearguard.yaml").write_text("policies: [Secret-broken-yaml")
            seen.append(await caller.ask("POST", "/-/reload", operator))
            head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer Secret-operator\x00\r\n\r\n"
            await raw(int(caller.url.rpartition(":")[2]), head)
            metrics = controller._telemetry.render(None)[0].decode()
            stored = _stored(tmp_path)
    readable = [file.name for file in tmp_path.glob("journal.db*") if file.is_file() and file.stat().st_mode & 0o077]
    assert readable in ([], ["journal.db.reserve"])  # the reserve holds nothing
    seen_text = json.dumps([each[1] for each in seen])
    assert "127.0.0.1:9/a" in seen_text  # the address itself is shown
    log = written.getvalue()
    assert "unreadable request" in log
    assert log.count("notice_not_sent") >= 5  # the alert, two decisions, started, finished
    assert [each for each in (seen_text, metrics, log) if "Secret" in each] == []
    for secret in ("sender", "viewer", "operator", "prom-token", "headers-file", "passed", "prom-pw", "prom-query",
                   "without-colon", "notify-path", "notify-query", "notify-pw"):  # fmt: skip
        assert f"Secret-{secret}" not in stored, secret


# --- hostile alerts and triggers -----------------------------------------------------------------------------------

HOSTILE = [
    "'; touch pwned #", "$(touch pwned)", "`touch pwned`", "a\ntouch pwned", "-rf", "--kubeconfig=x", "../../x",
    "\u202epwned", "x" * 20_000, "--all-namespaces", "-f", "() { :; }; touch pwned", "%0atouch", "{to_version}",
    '"} or {a="',
]  # fmt: skip
RECORDING = """
environment: production
journal: sqlite://{folder}/journal.db
prometheus: {{url: "{prometheus}", poll_interval: 1h}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act}}}}
targets:
  - name: checkout
    match: {{service_name: checkout}}
    environment: production
    release:
      command:
        current: [./record, current, "{{target}}"]
        rollback: [./record, activate, "{{to_version}}", "--", "{{target}}", "{{from_version}}"]
"""
RECORD = f"""#!{sys.executable}
import json, os, sys
with open("ran", "a") as file:
    file.write(json.dumps([sys.argv[1:], sorted(os.environ)]) + "\\n")
if sys.argv[1] == "current":
    print(open("current").read().strip())
else:
    open("current", "w").write(sys.argv[2])
"""


async def test_hostile_labels_and_versions_reach_commands_as_inert_data_or_are_refused_on_record(tmp_path):
    record = tmp_path / "record"
    record.write_text(RECORD)
    record.chmod(0o755)
    async with calling(tmp_path, "limits: {triggers_per_minute: 1000}\n", text=RECORDING) as (controller, caller):
        for text in HOSTILE:
            labels = {"action": "rollback", "service_name": "checkout", "service_version": text, "pod": text}
            delivery = alerts(text, **labels)
            delivery["alerts"][0]["annotations"] = {"summary": text, "figure": text, "threshold": text}
            assert (await caller.post("/webhook/alertmanager", delivery, SENDER))[0] == 202
            for wish in ({"to_version": text, "force": True}, {"target": text}):
                body = {"target": "checkout", "reason": text[:4000], **wish}
                status, answer = await caller.post(f"{BASE}/rollback/trigger", body)
                assert status in (404, 422), (text, answer)
        assert (await caller.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "\0"}))[0] == 422
        deadline = time.monotonic() + 20
        while await controller.journal.unjudged(1):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        _, made = await caller.get(f"{BASE}/decisions?limit=500&verdict=leave")
        assert set(HOSTILE) <= {each["alert"]["name"] for each in made["decisions"] if each["alert"]}
        wish = {"target": "checkout", "reason": "$(touch pwned)", "to_version": "v1@sha256:aa/bb", "force": True}
        status, body = await caller.post(f"{BASE}/rollback/trigger", wish)
        assert status == 202, body
        while (await caller.get(f"{BASE}/rollback/{body['rollback_id']}"))[1]["phase"] != "closed":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    ran = [json.loads(line) for line in (tmp_path / "ran").read_text().splitlines()]
    assert {tuple(argv) for argv, _ in ran} == {
        ("current", "checkout"),
        ("activate", "v1@sha256:aa/bb", "--", "checkout", "v2"),
    }
    fixed = {"PATH", "HOME", "LANG", "LC_CTYPE"}  # the last is Python's own doing
    assert all(name in fixed or name.startswith("REARGUARD_") for _, names in ran for name in names)
    assert not list(tmp_path.rglob("*pwned*"))


async def test_the_answer_to_a_delivery_is_about_acceptance_only(tmp_path):
    """A command that fails must not make Alertmanager send again, and so run it again."""
    async with calling(tmp_path) as (_, caller):
        (tmp_path / "release").write_text("#!/bin/sh\nexit 7\n")
        delivery = alerts("A", **TRIGGER)
        assert await caller.post("/webhook/alertmanager", delivery, SENDER) == (202, {"accepted": 1})
        deadline = time.monotonic() + 20
        while not (made := (await caller.get(f"{BASE}/decisions"))[1]["decisions"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert made[0]["verdict"] == "leave"


async def test_a_poisoned_record_is_set_aside_and_the_others_are_judged_also_after_a_restart(tmp_path):
    for turn in ("A", "B"):
        async with calling(tmp_path) as (controller, caller):
            if turn == "A":
                await controller.journal._write(
                    lambda connection: connection.execute(
                        "insert into inbox (received_at, body) values (1, '{\"name\": [')"
                    )
                )
            assert (await caller.post("/webhook/alertmanager", alerts(turn, **TRIGGER), SENDER))[0] == 202
            deadline = time.monotonic() + 20
            names = set()
            while turn not in names:
                assert time.monotonic() < deadline, names
                names = {each["alert"]["name"] for each in (await caller.get(f"{BASE}/decisions"))[1]["decisions"]}
                await asyncio.sleep(0.05)


def test_without_tokens_it_does_not_start(tmp_path):
    text = CONFIGURATION.format(folder=tmp_path, prometheus="http://127.0.0.1:9")
    (tmp_path / "rearguard.yaml").write_text("\n".join(line for line in text.splitlines() if "tokens:" not in line))
    command = [sys.executable, "-m", "rearguard_controller", "serve", "--config", "rearguard.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "anybody could roll back" in done.stderr
