"""Reading the configuration again: all of it or nothing, and open rollbacks go on as they were planned."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import requests
from aiohttp import web

from local_stack.process import free_ports, wait_until
from real.controller.served import BASE, CONFIGURATION, NOWHERE, OPERATOR, RELEASE, VIEWER, metrics, serving
from rearguard_controller.errors import RearguardError
from rearguard_controller.service import process

THIRD = """  - name: basket
    match: {service_name: basket, deployment_environment_name: production}
    release: {command: {current: [./release, current], rollback: [./release, activate, "{to_version}"]}}
"""


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path) as service:
        yield service


def rewrite(service, change):
    file = service.folder / "rearguard.yaml"
    file.write_text(change(file.read_text()))


async def reloaded(service):
    return await service.post("/-/reload", None)


async def names(service):
    _, status = await service.get(f"{BASE}/rollback/status")
    return [target["name"] for target in status["targets"]]


async def sample(service, family, **labels):
    found = (await metrics(service))[family]
    return [each.value for each in found.samples if labels.items() <= each.labels.items()]


async def test_a_target_that_was_added_is_served_and_measured_at_once(service):
    rewrite(service, lambda text: text + THIRD)
    assert await reloaded(service) == (200, {"reloaded": True})
    assert await names(service) == ["checkout", "search", "basket"]
    assert await sample(service, "rearguard_rollback_in_progress", target="basket") == [0]
    assert await sample(service, "rearguard_config_reload_success") == [1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda text: text + "\nnonsense: [", "rearguard.yaml:"),
        (lambda text: text.replace("mode: act", "mode: attack"), "attack"),
        (lambda text: text.replace("journal.db", "other.db"), "journal"),
        (lambda text: text.replace("127.0.0.1:9465", "127.0.0.1:9466"), "listen"),
        (lambda text: text.replace("operator: operator", "operator: nowhere"), "nowhere"),
    ],
    ids=["no yaml", "a wrong value", "another journal", "another address", "no token file"],
)
async def test_what_cannot_be_used_changes_nothing_and_says_so(service, change, word):
    rewrite(service, lambda text: change(text + THIRD))
    status, answer = await reloaded(service)
    assert status == 422, answer
    assert word in str(answer["error"])
    assert await names(service) == ["checkout", "search"]
    assert await sample(service, "rearguard_config_reload_success") == [0]
    rewrite(service, lambda _: CONFIGURATION.format(folder=service.folder, prometheus=NOWHERE) + THIRD)
    assert (await reloaded(service))[0] == 200
    assert await sample(service, "rearguard_config_reload_success") == [1]


async def test_only_an_operator_may_reload(service):
    status, _, _ = await service.ask("POST", "/-/reload", "Bearer read-1")
    assert status == 403


async def test_new_tokens_count_from_then_on(service):
    (service.folder / "others").write_text("eve:act-9\n")
    rewrite(service, lambda text: text.replace("operator: operator", "operator: others"))
    assert (await reloaded(service))[0] == 200
    assert (await service.post(f"{BASE}/targets/checkout/disarm", {"reason": "x"}))[0] == 401
    assert (await service.post(f"{BASE}/targets/checkout/disarm", {"reason": "x"}, token="Bearer act-9"))[0] == 200


async def test_an_open_rollback_ends_as_it_was_planned_though_its_target_is_gone(service):
    (service.folder / "hold").touch()
    body = {"target": "checkout", "reason": "by hand", "to_version": "v1", "force": True}
    status, answer = await service.post(f"{BASE}/rollback/trigger", body)
    assert status == 202, answer
    rewrite(
        service, lambda text: text.replace("name: checkout", "name: till").replace("[./release, activate", "['false'")
    )
    assert (await reloaded(service))[0] == 200
    assert await names(service) == ["till", "search"]
    (service.folder / "hold").unlink()
    rollback = await service.closed(answer["rollback_id"])
    assert rollback["outcome"] == "completed"
    assert (service.folder / "current").read_text() == "v1\n"


async def test_reloads_side_by_side_leave_one_working_configuration(service):
    answers = await asyncio.gather(*(reloaded(service) for _ in range(5)))
    assert {status for status, _ in answers} == {200}
    assert await names(service) == ["checkout", "search"]


async def status_of(service, path, token=None):
    headers = {"Authorization": token} if token else {}
    async with service.session.get(service.url + path, headers=headers) as response:
        return response.status


async def roles(service):
    _, document = await service.get("/openapi.json")
    return [document["paths"][path]["get"]["x-role"] for path in ("/metrics", "/openapi.json")]


async def test_what_is_open_without_a_token_follows_a_reload_both_ways(service):
    closed = [401, 401]
    assert [await status_of(service, path) for path in ("/metrics", "/openapi.json")] == closed
    assert await roles(service) == ["viewer", "viewer"]
    rewrite(service, lambda text: text + "open: [metrics, openapi]\n")
    assert (await reloaded(service))[0] == 200
    assert [await status_of(service, path) for path in ("/metrics", "/openapi.json")] == [200, 200]
    assert await roles(service) == [None, None]
    rewrite(service, lambda text: text.replace("open: [metrics, openapi]", "open: []"))
    assert (await reloaded(service))[0] == 200
    assert [await status_of(service, path) for path in ("/metrics", "/openapi.json")] == closed
    assert [await status_of(service, path, VIEWER) for path in ("/metrics", "/openapi.json")] == [200, 200]
    assert await roles(service) == ["viewer", "viewer"]


async def test_of_two_reloads_that_overlap_the_younger_file_wins(service):
    """The older file is long, so that reading it takes longer than reading the younger one."""
    file = service.folder / "rearguard.yaml"
    young = file.read_text() + THIRD
    old = file.read_text() + "".join(THIRD.replace("basket", f"old-{number}") for number in range(50))
    for _ in range(3):
        file.write_text(old)
        first = asyncio.create_task(service.controller.reload())
        await asyncio.sleep(0.01)  # it reads
        (service.folder / "younger").write_text(young)
        (service.folder / "younger").rename(file)
        await asyncio.gather(first, service.controller.reload())
        assert await names(service) == ["checkout", "search", "basket"]


async def test_no_connection_to_a_prometheus_of_before_is_left(tmp_path):
    before = web.AppRunner(web.Application(), access_log=None)
    await before.setup()
    try:
        await web.TCPSite(before, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{before.addresses[0][1]}"
        async with serving(tmp_path, url) as service:
            used = service.controller._prometheus.of(
                "checkout"
            )  # somebody may still hold it: a recovery that is being proved
            await wait_for(lambda: before.server.connections, what="it was asked")
            rewrite(service, lambda text: text.replace(url, NOWHERE))
            assert (await reloaded(service))[0] == 200
            await wait_for(lambda: not before.server.connections, what="its connections are closed")
            with pytest.raises(RearguardError):  # it may still be asked: 404
                await used.rules()
            await wait_for(lambda: not before.server.connections, what="and closed again")
    finally:
        await before.cleanup()


async def wait_for(condition, *, what, within=5.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.02)


async def test_a_reload_by_signal_that_fails_in_an_unforeseen_way_is_logged_and_shown(service, capsys, monkeypatch):
    loop, start = asyncio.get_running_loop(), threading.Thread.start

    def without_memory(thread):
        if thread.name == "named-files":
            raise MemoryError
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", without_memory)
    process._signals(service.controller)
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        shown = service.controller._telemetry.registry
        await wait_for(
            lambda: shown.get_sample_value("rearguard_config_reload_success") == 0, what="the metric says so"
        )
    finally:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    assert "not_reloaded" in capsys.readouterr().out
    with pytest.raises(MemoryError):
        await service.controller.reload()
    monkeypatch.undo()
    assert (await reloaded(service))[0] == 200
    assert shown.get_sample_value("rearguard_config_reload_success") == 1


def test_a_hang_up_signal_reloads_a_running_controller(tmp_path):
    (port,) = free_ports(1)
    for role in ("sender", "viewer", "operator"):
        (tmp_path / role).write_text(f"{role}-1\n")
    (tmp_path / "current").write_text("v1\n")
    (tmp_path / "release").write_text(RELEASE)
    (tmp_path / "release").chmod(0o755)
    file = tmp_path / "rearguard.yaml"
    text = CONFIGURATION.format(folder=tmp_path, prometheus=NOWHERE).replace(":9465", f":{port}")
    file.write_text(text)
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": "Bearer viewer-1"}

    def targets():
        try:
            answer = requests.get(f"{url}{BASE}/rollback/status", headers=headers, timeout=2).json()
        except requests.RequestException:
            return []
        return [target["name"] for target in answer["targets"]]

    process = subprocess.Popen(
        [sys.executable, "-m", "rearguard_controller", "serve", "--config", file],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: targets() == ["checkout", "search"], within=20, what="the controller serves")
        file.write_text(text + THIRD)
        os.kill(process.pid, signal.SIGHUP)
        wait_until(lambda: "basket" in targets(), within=20, what="the new target is served")
        file.write_text("rubbish")
        os.kill(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


async def test_a_request_that_a_reload_overtakes_ends_by_the_configuration_that_it_began_with(service):
    """Its target is gone when the rest of its body comes; the next request does not find it any more."""
    body, path = b'{"reason": "it fails"}', f"{BASE}/targets/search/disarm"
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Authorization: {OPERATOR}", "Content-Type: application/json"]
    head += [f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close", "", ""]
    writer.write("\r\n".join(head).encode())
    async with asyncio.timeout(10):
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # it is inside, and waits for its body
        rewrite(service, lambda text: text.replace("name: search", "name: basket"))
        assert (await reloaded(service))[0] == 200
        assert await names(service) == ["checkout", "basket"]
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    assert (await service.post(path, {"reason": "it fails"}))[0] == 404
