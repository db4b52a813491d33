"""Whatever a warning of the log says of a target, status, API and page say in the same words."""

import ast
import html
import io
import json
import subprocess
import sys

import aiohttp
import pytest
import requests
import structlog

from check.test_warnings_of_targets import ABOUT, CONTROLLER, LEVELS
from local_stack.process import wait_until
from real.controller.running import TOKENS, controller
from real.controller.served import BASE, VIEWER, listening, serving
from real.controller.test_newcomers import poll, until, warnings
from real.controller.test_page import Browser
from rearguard_controller.api import logged
from rearguard_controller.cli import show
from rearguard_controller.service import logs
from unit.controller.factories import MATCH


def lines_of_the_code():
    """Each warning that names a target, with the names of its fields, from the code."""
    for path in sorted(CONTROLLER.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            of, fields = ast.unparse(call.func.value), [each.arg for each in call.keywords if each.arg]
            noted = of.endswith("_faults") and call.func.attr == "note"
            if ((of == "log" and call.func.attr in LEVELS) or noted) and ABOUT & set(fields):
                first = call.args[0]
                assert isinstance(first, ast.Constant), f"{path}:{call.lineno}"
                yield first.value, (*fields, *(["exc_info"] if noted else []))


LINES = sorted(set(lines_of_the_code()))


@pytest.fixture
def told(monkeypatch):
    """A log whose lines are remembered; the lines, and the memory."""
    before = structlog.get_config()
    memory, out = logged.Logged(lambda: 1_795_615_200.0), io.StringIO()
    logs.configure(stream=out, as_json=True, also=memory.note)
    yield memory, out
    structlog.configure(**before)


def values(fields, number):
    made = {name: f"the {name} {number}, <told> & kept" for name in fields if name not in ABOUT}
    if "exc_info" in made:
        made["exc_info"] = ValueError(f"a fault of ours {number}")
    return made


def words(value):
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else value


def batches(lines, size):
    return [lines[start : start + size] for start in range(0, len(lines), size)]


async def test_every_warning_of_a_target_is_told_by_status_page_and_api(told, tmp_path, capsys):
    memory, _ = told
    log = structlog.get_logger("test")
    lines = [each for each in LINES if each[0] not in logged.BY_A_CHECK]
    assert len(lines) > 15
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        serving(tmp_path, logged=memory) as service,
        aiohttp.ClientSession(cookie_jar=jar, trust_env=False) as session,
    ):
        browser = Browser(service, session)
        await browser.log_in("read-1")
        for several in batches(lines, logged.MOST_OF_ONE):
            wanted = []
            for number, (event, fields) in enumerate(several):
                made = values(fields, number)
                about = next(each for each in fields if each in ABOUT)
                log.warning(event, **{about: ["checkout"] if about == "targets" else "checkout"}, **made)
                wanted.append((event, [words(value) for value in made.values()]))
            _, status = await service.get(f"{BASE}/rollback/status")
            assert status["targets"][1]["logged"] == []
            show._status(status)
            printed = " ".join(capsys.readouterr().out.split())
            newest = status["targets"][0]["logged"][: len(wanted)]
            for (event, said), sentence in zip(wanted, reversed(newest), strict=True):
                assert sentence.startswith(f"Logged at 2026-11-25T14:00:00Z as {event}")
                assert [each for each in said if each not in sentence or each not in printed] == []
            for path in ("/", "/targets/checkout"):
                _, page = await browser.get(f"{path}?fresh={wanted[0][0]}")  # one that was asked for lately is kept
                page = html.unescape(page)
                assert [each for _, said in wanted for each in said if each not in page] == []


async def test_what_was_logged_is_told_for_an_hour_and_once_however_often_it_came():
    now = [1_795_615_200.0]
    memory = logged.Logged(lambda: now[0])
    for _ in range(3):
        memory.note("warning", {"event": "storm", "targets": ["a", "b"], "most": 3})
    memory.note("info", {"event": "started", "target": "a"})
    assert memory.of("a") == memory.of("b") == ["Logged at 2026-11-25T14:00:00Z as storm (most=3)"]
    assert memory.of("c") == []
    now[0] += 3601
    assert memory.of("a") == []


def test_what_a_running_controller_warns_of_stands_in_its_status(tmp_path):
    with controller(tmp_path, tokens=TOKENS) as url:
        (tmp_path / "release").write_text("#!/bin/sh\necho no such host >&2\nexit 3\n")
        requests.post(f"{url}/-/reload", headers={"Authorization": "Bearer act-1"}, timeout=30)

        def lines():
            found = [json.loads(each) for each in (tmp_path / "log").read_text().splitlines()]
            about = [each for each in found if each.get("rearguard.target") and each["log.level"] in LEVELS]
            return [each for each in about if each["message"] != "target_not_ready"]  # its why is of one moment

        wait_until(lambda: any(each["message"] == "target_unreadable" for each in lines()), within=60, what="it")
        seen = lines()
        answer = requests.get(f"{url}{BASE}/rollback/status", headers={"Authorization": VIEWER}, timeout=30).json()
        done = subprocess.run(
            [sys.executable, "-m", "rearguard_controller", "status"],
            env={"PATH": "/usr/bin:/bin", "REARGUARD_URL": url, "REARGUARD_TOKEN_FILE": str(tmp_path / "viewer")},
            cwd=CONTROLLER.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        printed, api = " ".join(done.stdout.split()), json.dumps(answer, ensure_ascii=False)
        for line in seen:
            why = line.get("error.message") or line.get("rearguard.why")
            assert json.dumps(why, ensure_ascii=False)[1:-1] in api
            assert " ".join(why.split()) in printed


async def test_trigger_alerts_of_no_target_are_told_while_they_fire(tmp_path):
    labels = {**MATCH, "alertname": "HighErrorRate", "service_name": "nobody", "action": "rollback"}
    firing = [{"labels": labels, "annotations": {}, "state": "firing", "activeAt": "2026-11-25T14:00:00Z"}]
    async with listening(firing) as (address, _), serving(tmp_path, prometheus=address) as service:

        async def is_told():
            await poll(service)
            return await warnings(service)

        await until(is_told)
        (said,) = await warnings(service)
        assert said.startswith(
            'A trigger alert fires and matches no target: HighErrorRate (service_name="nobody",'
            ' deployment_environment_name="production") since 2026-11-25T14:00:00Z.'
        )
        assert "Add a target whose `match` fits" in said
        firing.clear()

        async def is_over():
            await poll(service)
            return not await warnings(service)

        await until(is_over)
