"""The typed client, against a real HTTP server that writes down what was asked."""

import http.server
import json
import socket
import threading
import uuid

import pytest

from rearguard_controller.api.operations import BASE, OPERATIONS
from rearguard_controller.client import Client, Event, RemoteError

OF_MACHINES = {"/webhook/alertmanager", "/integrations/slack", "/metrics", "/healthz", "/readyz", "/openapi.json"}
STREAM = (
    b'retry: 2000\nid: m0\n\n: a comment\n\nid: m1\nevent: decision\ndata: {"id": "d1"}\n\n'
    b"event: missed\ndata: {}\n\nid: m2\nevent: cut"
)  # fmt: skip
CALLS = {  # method of the client: its call, and the request that api.md documents
    "status": (lambda c: c.status(), "GET", "rollback/status", None),
    "dashboard": (lambda c: c.dashboard(), "GET", "dashboard", None),
    "history": (
        lambda c: c.history(target="a b", outcome="failed", limit=3, before="r9"),
        "GET",
        "rollback/history?target=a+b&outcome=failed&limit=3&before=r9",
        None,
    ),
    "rollback": (lambda c: c.rollback("r/1"), "GET", "rollback/r%2F1", None),
    "decisions": (
        lambda c: c.decisions(target="t", alert="A", verdict="leave", limit=1, before="d9"),
        "GET",
        "decisions?target=t&alert=A&verdict=leave&limit=1&before=d9",
        None,
    ),
    "decision": (lambda c: c.decision("d1"), "GET", "decisions/d1", None),
    "audit": (lambda c: c.audit(subject="t", limit=1, before="a9"), "GET", "audit?subject=t&limit=1&before=a9", None),
    "releases": (
        lambda c: c.releases("n/t", version="v", limit=1),
        "GET",
        "targets/n%2Ft/releases?version=v&limit=1",
        None,
    ),
    "judgement": (lambda c: c.judgement("t"), "GET", "targets/t/judgement", None),
    "drills": (lambda c: c.drills("t", limit=1, before="x"), "GET", "targets/t/drills?limit=1&before=x", None),
    "dry_run": (
        lambda c: c.dry_run("t", "why"),
        "POST",
        "rollback/trigger",
        {"target": "t", "reason": "why", "force": False, "dry_run": True},
    ),
    "trigger": (
        lambda c: c.trigger("t", "why", to_version="v1", force=True),
        "POST",
        "rollback/trigger",
        {"target": "t", "reason": "why", "to_version": "v1", "force": True, "dry_run": False},
    ),
    "approve": (lambda c: c.approve("r", "why"), "POST", "rollback/r/approve", {"reason": "why"}),
    "veto": (lambda c: c.veto("r", "why"), "POST", "rollback/r/veto", {"reason": "why"}),
    "abort": (lambda c: c.abort("r", "why"), "POST", "rollback/r/abort", {"reason": "why"}),
    "close": (lambda c: c.close("r", "why"), "POST", "rollback/r/close", {"reason": "why"}),
    "arm": (lambda c: c.arm("t", "why"), "POST", "targets/t/arm", {"reason": "why"}),
    "disarm": (
        lambda c: c.disarm("t", "why", until="2026-12-01T00:00:00Z"),
        "POST",
        "targets/t/disarm",
        {"reason": "why", "until": "2026-12-01T00:00:00Z"},
    ),
    "disarm_all": (lambda c: c.disarm_all("why"), "POST", "disarm", {"reason": "why"}),
    "announce": (
        lambda c: c.announce("t", "v1", phase="finished", barrier=True, good=False),
        "POST",
        "targets/t/releases",
        {"version": "v1", "phase": "finished", "barrier": True, "good": False},
    ),
    "drill": (lambda c: c.drill("t"), "POST", "targets/t/drill", {}),
    "reload": (lambda c: c.reload(), "POST", "/-/reload", {}),
    "events": (lambda c: list(c.events(after="m0")), "GET", "events", None),
}


@pytest.fixture
def asked():
    """A server that takes everything, and the requests that it got: method, path, body, headers."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            requests.append((self.command, self.path, json.loads(body) if body else None, dict(self.headers)))
            answer = STREAM if self.path.endswith("/events") else b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()


@pytest.mark.parametrize("name", CALLS)
def test_a_method_sends_the_request_that_the_api_documents(name, asked):
    url, requests = asked
    call, method, path, body = CALLS[name]
    call(Client(url + "/", "token-1"))
    (sent,) = requests
    assert sent[:3] == (method, path if path.startswith("/") else f"{BASE}/{path}", body)
    assert sent[3]["Authorization"] == "Bearer token-1"
    if "trigger" in path:
        assert uuid.UUID(sent[3]["Idempotency-Key"])


def test_each_route_for_people_has_a_method_and_each_method_a_route():
    names = {"r%2F1": "{id}", "/r/": "/{id}/", "/d1": "/{id}", "/t/": "/{name}/", "/n%2Ft/": "/{name}/"}
    reached = set()
    for _, method, path, _ in CALLS.values():
        whole = (path if path.startswith("/") else f"{BASE}/{path}").partition("?")[0]
        for given, name in names.items():
            whole = whole.replace(given, name)
        reached.add((method, whole))
    assert reached == {each for each in OPERATIONS if each[1] not in OF_MACHINES}
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public - {"address"} == CALLS.keys()


def test_events_come_one_by_one_with_the_id_to_go_on_after(asked):
    url, requests = asked
    events = list(Client(url).events(after="m0"))
    assert events == [Event("m1", "decision", {"id": "d1"}), Event("m1", "missed", {})]
    assert requests[0][3]["Last-Event-ID"] == "m0"
    assert "Authorization" not in requests[0][3]


def test_who_waits_less_is_told_sooner():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", patience=0.2)
        with pytest.raises(RemoteError, match="did not answer"):
            client.status()
