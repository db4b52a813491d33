"""Commands and requests with real processes and a real HTTP server on loopback."""

import asyncio
import json
import os
import stat
import time
from dataclasses import replace

import pytest
from aiohttp import web

from real.controller.spawning import DEADLINE, alive, command, context, pids_in, script, until
from rearguard_controller.adapters.actions.process_groups import TERM_GRACE
from rearguard_controller.errors import SourceError
from rearguard_controller.model import CommandAction, HealthCheck, HttpAction
from rearguard_controller.model.versions import is_version


async def test_a_command_that_exits_zero_is_good_and_its_output_is_kept_together(actions, tmp_path):
    text = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    result = await actions.run(script(tmp_path, text), context())
    assert (result.ok, result.output, result.detail) == (True, "out\nerr\n", "exit code 0")
    assert not result.timed_out
    assert 0 < result.seconds < DEADLINE


async def test_a_command_that_exits_otherwise_is_a_failed_result_that_says_how(actions, tmp_path):
    assert (await actions.run(script(tmp_path, "raise SystemExit(3)"), context())).detail == "exit code 3"
    killed = await actions.run(script(tmp_path, "import os; os.kill(os.getpid(), 9)"), context())
    assert (killed.ok, killed.detail) == (False, "ended by SIGKILL")


async def test_a_command_gets_a_clean_environment_and_the_decision_on_standard_input(actions, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_CONTROLLER", "x")
    monkeypatch.setenv("HANDED_ON", "yes")
    text = "import json, os, sys; print(json.dumps([dict(os.environ), os.getcwd(), json.load(sys.stdin)]))"
    action = script(tmp_path, text, env={"EXTRA": "1"}, pass_env=("HANDED_ON", "NOT_SET"))
    result = await actions.run(action, context(attempt=2, stdin=b'{"id": "d-1"}'))
    variables, folder, decision = json.loads(result.output)
    variables.pop("LC_CTYPE", None)  # Python sets it for itself
    expected = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    expected |= {"EXTRA": "1", "HANDED_ON": "yes", "REARGUARD_TARGET": "checkout", "REARGUARD_FROM_VERSION": "v2"}
    expected |= {"REARGUARD_TO_VERSION": "v1", "REARGUARD_ROLLBACK_ID": "r-1", "REARGUARD_STEP": "drain"}
    expected |= {"REARGUARD_ATTEMPT": "2"}
    assert len(variables.pop("REARGUARD_RUN")) == 16  # of this start alone
    assert variables == expected
    assert folder == str(tmp_path)
    assert decision == {"id": "d-1"}


async def test_a_command_that_never_reads_its_input_still_ends(actions, tmp_path):
    result = await actions.run(script(tmp_path, "print('done')"), context(stdin=b"x" * 1_000_000))
    assert (result.ok, result.output) == (True, "done\n")


async def test_a_program_is_looked_up_in_its_own_folder(actions, tmp_path):
    program = tmp_path / "release"
    program.write_text("#!/bin/sh\necho v7\n")
    program.chmod(0o755)
    assert (await actions.run(command(tmp_path, "./release"), context())).output == "v7\n"


FORKING = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN) if sys.argv[2] == "stubborn" else None
child = subprocess.Popen([sys.executable, "-c", "import signal, time; "
    + ("signal.signal(signal.SIGTERM, signal.SIG_IGN); " if sys.argv[2] == "stubborn" else "") + "time.sleep(60)"])
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()} {child.pid} ")
print("forked", flush=True)
time.sleep(60 if sys.argv[2] != "leave" else 0)
"""


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
async def test_a_command_that_times_out_dies_with_its_grandchildren(actions, tmp_path, family, manner):
    action = script(tmp_path, FORKING, str(family), manner, timeout=1.0)
    result = await actions.run(action, context())
    assert (result.ok, result.timed_out) == (False, True)
    assert result.detail == "timed out after 1s; its process group was ended"
    assert result.output == "forked\n"
    assert result.seconds < DEADLINE
    assert manner == "stubborn" or result.seconds < 1.0 + TERM_GRACE  # nobody waits for what is dead already
    assert len(pids_in(family)) == 2
    await until(lambda: not any(alive(pid) for pid in pids_in(family)))


async def test_a_cancelled_command_dies_with_its_grandchildren(actions, tmp_path, family):
    task = asyncio.ensure_future(actions.run(script(tmp_path, FORKING, str(family), "polite"), context()))
    await until(lambda: len(pids_in(family)) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(alive(pid) for pid in pids_in(family)))


async def test_cancelled_twice_a_stubborn_command_is_killed_at_once(actions, tmp_path, family):
    task = asyncio.ensure_future(actions.run(script(tmp_path, FORKING, str(family), "stubborn"), context()))
    await until(lambda: len(pids_in(family)) == 2)
    started = time.monotonic()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any(alive(pid) for pid in pids_in(family)))
    assert time.monotonic() - started < 2.0


async def test_a_process_left_behind_neither_blocks_the_result_nor_dies(actions, tmp_path, family):
    result = await actions.run(script(tmp_path, FORKING, str(family), "leave"), context())
    assert (result.ok, result.output) == (True, "forked\n")
    assert result.seconds < 5.0
    assert alive(pids_in(family)[1])


async def test_a_process_that_a_finished_command_left_behind_outlives_a_cancellation(actions, tmp_path, family):
    ended = tmp_path / "ended"
    text = FORKING + "import atexit; atexit.register(lambda: open(sys.argv[3], 'w').close())"
    task = asyncio.ensure_future(actions.run(script(tmp_path, text, str(family), "leave", str(ended)), context()))
    await until(lambda: ended.exists() and not alive(pids_in(family)[0]))
    task.cancel()  # while what was left behind holds the output open, and more of it is waited for
    with pytest.raises(asyncio.CancelledError):
        await task
    assert alive(pids_in(family)[1])


async def test_output_is_capped_and_says_how_much_was_left_out_while_reading_goes_on(actions, tmp_path):
    text = "import sys; sys.stdout.write('a' * 40_000 + 'b' * 1_000_000 + 'c' * 40_000)"
    result = await actions.run(script(tmp_path, text), context())
    assert result.ok
    assert result.output.startswith("a" * 32_768 + "\n[... 1014464 bytes left out ...]\n")
    assert result.output.endswith("c" * 32_768)
    assert len(result.output) < 66_000


async def test_undecodable_output_is_replaced(actions, tmp_path):
    result = await actions.run(script(tmp_path, "import sys; sys.stdout.buffer.write(b'a\\xff\\x00b')"), context())
    assert result.output == "a\ufffd\ufffdb"


async def test_values_of_passed_variables_are_not_kept_wherever_the_output_is_cut(actions, tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "s3cret-of-mine")
    monkeypatch.setenv("SHORT", "abc")
    monkeypatch.setenv("WHERE", f"/nowhere:{tmp_path}")
    passed = {"pass_env": ("KEY", "SHORT", "WHERE", "NOT_SET")}
    text = "import os, sys; e = os.environ; print(e['KEY'], e['SHORT'], e['WHERE'], file=sys.stderr); sys.exit(1)"
    result = await actions.run(script(tmp_path, text, **passed), context())
    assert result.output == f"*** abc /nowhere:{tmp_path}\n"
    with pytest.raises(SourceError) as caught:
        await actions.read_version(script(tmp_path, text, **passed), context())
    assert "s3cret" not in caught.value.message
    with pytest.raises(SourceError, match="no version") as caught:
        await actions.read_version(script(tmp_path, "import os; print('$', os.environ['KEY'])", **passed), context())
    assert "s3cret" not in caught.value.message
    text = "import os; k = os.environ['KEY']; print('a' * 32_760 + k + 'b' * 90_000 + k + 'c' * 32_760, end='')"
    result = await actions.run(script(tmp_path, text, **passed), context())
    assert result.output.startswith("a" * 32_760 + "***\n[...")
    assert result.output.endswith("]\n***" + "c" * 32_760)


async def test_a_version_may_be_the_value_of_a_passed_variable(actions, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVES", "release-2026-11")
    action = script(tmp_path, "import os; print(os.environ['SERVES'])", pass_env=("SERVES",))
    assert await actions.read_version(action, context()) == "release-2026-11"


HOSTILE = [
    "; touch x #",
    "$(touch x)",
    "`touch x`",
    "a\ntouch x",
    "it's",
    '"',
    "*",
    "~",
    "%s",
    "\u202etxt",
    "&& touch x",
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_text_arrives_as_one_inert_argument(actions, tmp_path, hostile):
    text = "import json, sys; open('argv', 'w').write(json.dumps(sys.argv[1:]))"
    action = script(tmp_path, text, "go", "--", "{target}", "pre-{target}")
    result = await actions.run(action, context(target=hostile))
    assert result.ok, result.detail
    assert json.loads((tmp_path / "argv").read_text()) == ["go", "--", hostile, f"pre-{hostile}"]
    assert not (tmp_path / "x").exists()


async def test_values_are_filled_once(actions, tmp_path):
    text = "import sys; print(sys.argv[1])"
    result = await actions.run(script(tmp_path, text, "{target}"), context(target="{to_version}"))
    assert result.output == "{to_version}\n"


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"target": "-rf"}, "option"),
        ({"target": "--kubeconfig=/x"}, "option"),
        ({"to_version": "--all-namespaces"}, "no version"),
        ({"to_version": "$(id)"}, "no version"),
        ({"to_version": "../../etc/passwd"}, "no version"),
        ({"to_version": "v1\n"}, "no version"),
        ({"to_version": "v" * 254}, "no version"),
        ({"from_version": "; rm -rf /"}, "no version"),
        ({"to_version": ""}, "no to_version"),
        ({"target": "a\x00b"}, "cannot be passed on"),
        ({"target": "\ud800"}, "cannot be passed on"),
        ({"target": "x" * 300_000}, "rgument list too long"),
        ({"step": "a\x00b"}, "cannot be passed on"),
    ],
)
async def test_values_that_no_command_may_get_are_refused_in_words(actions, tmp_path, values, part):
    result = await actions.run(command(tmp_path, "touch", "{target}", "{to_version}"), context(**values))
    assert not result.ok
    assert part in result.detail
    assert list(tmp_path.iterdir()) == []


async def test_a_program_that_cannot_be_started_is_a_failed_result(actions, tmp_path):
    missing = await actions.run(command(tmp_path, "./not-there"), context())
    assert (missing.ok, missing.detail) == (False, "./not-there could not be started (No such file or directory)")
    plain = tmp_path / "plain"
    plain.write_text("x")
    plain.chmod(stat.S_IRUSR)
    forbidden = await actions.run(command(tmp_path, "./plain"), context())
    assert forbidden.detail == "./plain could not be started (Permission denied)"
    nowhere = CommandAction(argv=("true",), timeout=1.0, cwd=str(tmp_path / "gone"))
    assert f"in {tmp_path / 'gone'} (No such file" in (await actions.run(nowhere, context())).detail


@pytest.mark.parametrize(
    "version", ["v1", "1.4.2+build.7", "sha256:0af1", "registry/app@sha256:1", "a" * 253, "a..b"]
)
def test_usual_identities_are_versions(version):
    assert is_version(version)


async def test_the_version_is_the_one_line_on_standard_output(actions, tmp_path):
    text = "import sys; print('warning: old config', file=sys.stderr); print(' v7 ')"
    assert await actions.read_version(script(tmp_path, text), context()) == "v7"


async def test_versions_keep_their_order(actions, tmp_path):
    assert await actions.read_versions(script(tmp_path, "print('v3\\nv2\\n\\nv1')"), context()) == ("v3", "v2", "v1")
    assert await actions.read_versions(script(tmp_path, "pass"), context()) == ()


async def test_an_odd_line_of_the_versions_takes_away_that_version_and_no_other(actions, tmp_path):
    text = "print('v3\\nfatal: not a tag\\nv2\\n-v1\\nv1')"
    assert await actions.read_versions(script(tmp_path, text), context()) == ("v3", "v2", "v1")
    with pytest.raises(SourceError, match="which is no version"):
        await actions.read_versions(script(tmp_path, "print('no versions here')"), context())


@pytest.mark.parametrize(("text", "way"), [("import sys; sys.exit(3)", "failed"), ("print('$')", "no version")])
async def test_a_sentence_about_a_command_names_it_on_one_line_and_without_secrets(
    actions, tmp_path, monkeypatch, text, way
):
    monkeypatch.setenv("KEY", "s3cr3t-of-ours")
    words = ("https://bot:hunter22@registry/v2?key=k1", "--key=s3cr3t-of-ours", "two\nlines\x1b[31m")
    action = script(tmp_path, text, pass_env=("KEY",))
    action = replace(action, argv=(*action.argv, *words))
    with pytest.raises(SourceError, match=way) as caught:
        await actions.read_versions(action, context())
    said = caught.value.message
    assert "https://registry/v2 --key=*** two\\nlines\\x1b[31m" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("pass", "printed nothing"),
        ("print('v1\\nv2')", "printed 2 lines"),
        ("print('$(reboot)')", "which is no version"),
        ("print('-v1')", "which is no version"),
        ("import sys; sys.exit('disk is away')", "disk is away"),
        ("import time; time.sleep(60)", "timed out after 500ms"),
    ],
)
async def test_a_version_that_cannot_be_read_is_a_source_error_that_says_why(actions, tmp_path, text, part):
    limit = 0.5 if "sleep" in text else DEADLINE
    with pytest.raises(SourceError) as caught:
        await actions.read_version(script(tmp_path, text, timeout=limit), context())
    assert part in caught.value.message
    assert caught.value.hint


# --- HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def server():
    """A real server: answers from a script of statuses, remembers requests."""
    state = {"seen": [], "statuses": [], "status": 200, "body": b"fine", "delay": 0.0}

    async def answer(request: web.Request) -> web.Response:
        state["seen"].append((request.method, request.raw_path, dict(request.headers), await request.read()))
        await asyncio.sleep(state["delay"])
        status = state["statuses"].pop(0) if state["statuses"] else state["status"]
        headers = {"Location": state["location"]} if "location" in state else {}
        return web.Response(status=status, reason=state.get("reason"), body=state["body"], headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    state["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


def post(server, path="/hook", timeout=DEADLINE, **more) -> HttpAction:
    return HttpAction("POST", server["url"] + path, timeout, **more)


async def test_a_2xx_answer_is_success_and_its_first_bytes_are_the_output(actions, server):
    server["body"] = b"x" * 5_000
    server["status"] = 204 - 3
    result = await actions.run(post(server, body='{"a": 1}', headers={"Content-Type": "application/json"}), context())
    assert result.ok
    assert result.output == "x" * 4_096
    assert result.detail == f"POST {server['url']}/hook answered 201 Created"
    method, path, headers, body = server["seen"][0]
    assert (method, path, headers["Content-Type"], body) == ("POST", "/hook", "application/json", b'{"a": 1}')


async def test_another_answer_is_a_failed_result_with_the_status(actions, server):
    server["status"], server["body"] = 503, b"no disk"
    result = await actions.run(post(server), context())
    assert (result.ok, result.output) == (False, "no disk")
    assert result.detail.endswith("answered 503 Service Unavailable")


async def test_redirects_are_not_followed(actions, server):
    server["status"], server["location"] = 307, server["url"] + "/elsewhere"
    result = await actions.run(post(server), context())
    assert not result.ok
    assert "redirects are not followed" in result.detail
    assert len(server["seen"]) == 1


async def test_an_answer_that_does_not_come_times_out(actions, server):
    server["delay"] = 5.0
    result = await actions.run(post(server, timeout=0.3), context())
    assert (result.ok, result.timed_out) == (False, True)
    assert result.detail.endswith("timed out after 300ms")


async def test_a_server_that_is_away_is_a_failed_result(actions, unused_tcp_port):
    result = await actions.run(HttpAction("GET", f"http://127.0.0.1:{unused_tcp_port}/", 2.0), context())
    assert not result.ok
    assert "failed" in result.detail


async def test_headers_of_the_file_are_read_at_each_use(actions, server, tmp_path):
    file = tmp_path / "headers"
    for token in ("one", "two"):
        file.write_text(f"# secret\n\nAuthorization: Bearer {token}\nX-Team: a:b\n")
        assert (await actions.run(post(server, headers_file=str(file)), context())).ok
    assert [seen[2]["Authorization"] for seen in server["seen"]] == ["Bearer one", "Bearer two"]
    assert server["seen"][0][2]["X-Team"] == "a:b"


async def test_headers_of_the_file_that_an_answer_repeats_are_not_kept(actions, server, tmp_path):
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer s3cret-token\nX-Key: s3cret key\nX-Team: shop\n")
    server["body"] = b"Bearer s3cret-token, or s3cret-token, s3cret key, shop" + b"x" * 4036 + b"s3cret-token"
    result = await actions.run(post(server, headers_file=str(file)), context())
    assert result.output == "***, or ***, ***, shop" + "x" * 4036 + "***"
    server["status"], server["reason"] = 403, "Not with s3cret-token"
    assert (await actions.run(post(server, headers_file=str(file)), context())).detail.endswith("403 Not with ***")


async def test_a_headers_file_that_cannot_be_used_is_a_failed_result_that_names_it(actions, server, tmp_path):
    missing = await actions.run(post(server, headers_file=str(tmp_path / "gone")), context())
    assert "gone cannot be read" in missing.detail
    (tmp_path / "bad").write_text("nonsense\n")
    assert "line 1" in (await actions.run(post(server, headers_file=str(tmp_path / "bad")), context())).detail
    assert server["seen"] == []


async def test_placeholders_in_an_address_are_percent_encoded(actions, server):
    action = post(server, "/versions/{to_version}?t={target}")
    assert (await actions.run(action, context(to_version="app@sha256:1/2", target="a b&c"))).ok
    assert server["seen"][0][1] == "/versions/app@sha256:1%2F2?t=a%20b%26c"


async def test_credentials_of_an_address_stay_out_of_the_sentence(actions, server):
    url = server["url"].replace("http://", "http://user:secret@") + "/x?key=hidden"
    detail = (await actions.run(HttpAction("GET", url, 2.0), context())).detail
    assert "secret" not in detail
    assert "hidden" not in detail


async def test_healthy_means_consecutive_good_answers(actions, server):
    server["statuses"] = [200, 200, 500, 200, 200, 200]
    check = HealthCheck(server["url"] + "/healthz", successes=3, interval=0.01, timeout=DEADLINE)
    result = await actions.health(check, context())
    assert result.ok
    assert len(server["seen"]) == 6
    assert "3 good answers in a row" in result.detail


async def test_a_target_that_stays_sick_is_not_healthy_when_the_time_is_up(actions, server):
    server["status"] = 503
    check = HealthCheck(server["url"] + "/healthz", successes=2, interval=0.05, timeout=0.5)
    result = await actions.health(check, context())
    assert (result.ok, result.timed_out) == (False, True)
    assert "not healthy within 500ms" in result.detail
    assert "503" in result.detail
    assert 0.4 < result.seconds < 3.0
