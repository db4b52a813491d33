"""The command line without a controller: words, wrong use, errors, looks, and how soon help comes."""

from __future__ import annotations

import ast
import http.server
import json
import os
import pty
import resource
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import pytest
import yaml

from rearguard_controller import config
from rearguard_controller.api.auth import Gate, Role
from rearguard_controller.cli import main, manual, show, terminal
from rearguard_controller.cli.arguments import command_names, parser, subparsers
from rearguard_controller.cli.backtest import Lines
from rearguard_controller.cli.serve import does
from rearguard_controller.client import Client
from rearguard_controller.config import parse
from rearguard_controller.errors import RearguardError

COMMANDS = [  # all that this version has
    "serve", "check", "status", "history", "show", "explain", "decisions", "rollback", "approve", "veto", "abort",
    "close", "arm", "disarm", "release", "drill", "audit", "releases", "watch", "backtest",
    "files", "init", "schema", "login", "logout", "context", "reload", "completion",
]  # fmt: skip
CONFIGURATION = """
environment: staging
journal: sqlite:///tmp/j.db
prometheus: {url: "http://127.0.0.1:9090"}
policies:
  acting: {mode: act}
  watching: {}
  anywhere: {mode: act, act_outside_production: true}
  asking: {mode: ask, approval: {within: 1h}}
  slowly: {mode: act, veto: 90s}
targets:
  - {name: a, match: {service_name: a}, policy: acting, environment: production, release: &r {command: {current: [c], rollback: [r]}}}
  - {name: b, match: {service_name: b}, policy: acting, release: *r}
  - {name: c, match: {service_name: c}, policy: watching, environment: production, release: *r}
  - {name: d, match: {service_name: d}, policy: anywhere, release: *r}
  - {name: f, match: {service_name: f}, policy: asking, environment: production, release: *r}
  - {name: g, match: {service_name: g}, policy: slowly, environment: production, release: *r}
"""  # noqa: E501  # one target per line reads best


def run(*words, **environment):
    given = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, "-m", "rearguard_controller", *words]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=30, check=False)


def test_help_takes_less_than_250_ms_of_processor_time_and_lists_every_command():
    best = 9.0
    for _ in range(10):  # processor time: a busy machine makes a command wait, which is not the command's doing
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ") and line.split()}
    assert set(COMMANDS) <= listed
    assert best < 0.25


def ours(modules):
    return {name.partition(".")[2] for name in modules if name.startswith("rearguard_controller.")}


def test_help_loads_no_heavy_library():
    lines = ["import sys, rearguard_controller.cli as cli", "try: cli.main(['--help'])", "except SystemExit: pass"]
    code = "\n".join([*lines, "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {"aiohttp", "requests", "rich", "yaml", "structlog", "prometheus_client", "orjson"} == set()
    assert ours(loaded) == {"cli", "cli.arguments", "errors", "times", "times.moments", "wording"}


def test_a_command_that_asks_loads_neither_yaml_nor_what_only_the_controller_needs(answering):
    url, _ = answering((200, b'{"targets": [], "heartbeat": {"state": "fresh"}}'))
    code = "import sys, rearguard_controller.cli as cli; print(cli.main(['status']), *sys.modules)"
    environment = {"PATH": os.environ["PATH"], "REARGUARD_URL": url}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    asked, *loaded = done.stdout.splitlines()[-1].split()
    assert asked == "0"
    heavy = {"aiohttp", "asyncio", "rich", "yaml", "structlog", "prometheus_client", "orjson", "sqlite3"}
    assert set(loaded) & heavy == set()
    assert ours(loaded) == {
        "cli", "cli.arguments", "cli.connection", "cli.contexts", "cli.show", "cli.terminal", "cli.token_files",
        "client", "client.client", "client.connection", "config", "config.loopback", "config.named_files",
        "config.secret_files", "errors", "times", "times.moments", "wording",
    }  # fmt: skip


@pytest.mark.parametrize(("word", "meant"), [("statsu", "status"), ("roll-back", "rollback"), ("wacth", "watch")])
def test_an_unknown_command_is_answered_with_the_one_that_was_probably_meant(word, meant, capsys):
    with pytest.raises(SystemExit) as stop:
        main([word, "--anything"])
    assert stop.value.code == 2
    assert f"There is no command {word!r}. Did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["init", "--promtheus", "http://h:1"],
            "There is no option '--promtheus' of init. Did you mean --prometheus?",
        ),
        (["check", "--liv"], "There is no option '--liv' of check. Did you mean --live?"),
        (["status", "--jsn=yes"], "There is no option '--jsn' of status. Did you mean --json?"),
        (["reload", "--xyzzy"], "There is no option '--xyzzy' of reload. These are known: --help, "),
        (["rollback", "--raeson", "x", "cart"], "Did you mean --reason?"),
    ],
)
def test_an_option_that_there_is_not_is_told_with_the_one_that_was_meant(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert f"usage: rearguard {words[0]} " in told


def test_what_stands_behind_two_dashes_is_no_option(capsys):
    assert main(["complete", "--", "status", "--jsn"]) == 0
    assert capsys.readouterr().err == ""


def test_the_manual_page_is_the_one_that_the_parser_makes():
    file = Path(__file__).parents[3] / "docs" / "man" / "rearguard.1"
    assert file.read_text(encoding="utf-8") == manual.page(), (
        "python -m rearguard_controller.cli.manual > docs/man/rearguard.1"
    )


def test_without_config_the_file_is_the_one_of_this_folder(tmp_path):
    (tmp_path / "rearguard.yaml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "rearguard_controller", "check", "--output", "yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert [each["name"] for each in yaml.safe_load(done.stdout)["targets"]] == ["a", "b", "c", "d", "f", "g"]
    (tmp_path / "rearguard.yaml").unlink()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "--config" in done.stderr


def test_each_public_name_of_the_configuration_can_be_loaded_and_is_known_to_type_checkers():
    assert {name for name in config.__all__ if getattr(config, name) is None} == set()
    stub = Path(config.__file__).with_suffix(".pyi").read_text(encoding="utf-8").partition("__all__ = ")[2]
    assert sorted(ast.literal_eval(stub)) == sorted(config.__all__)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["login"],
        ["show"],
        ["rollback", "checkout"],
        ["rollback", "checkout", "--reas", "abbreviated"],
        ["abort", "r1"],
        ["disarm"],
        ["disarm", "checkout", "--all"],
        ["release", "checkout"],
        ["release", "checkout", "v1", "--phase", "done"],
        ["history", "--limit", "many"],
        ["approve", "r1"],
        ["veto", "--reason", "text"],
        ["drill"],
        ["watch", "checkout"],
        ["watch", "checkout", "--version", "v2", "--for", "0s"],
        ["watch", "checkout", "--version", "v2", "--for", "10"],
    ],
)
def test_wrong_use_is_exit_code_2_and_says_what_is_right(words, capsys):
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert "usage: rearguard" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: rearguard {command}" in capsys.readouterr().out


def test_version_is_printed():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("rearguard 0.")


# --- the other side ---------------------------------------------------------------------------------------------


def test_a_controller_that_is_away_is_an_error_with_a_hint_not_a_traceback():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        done = run("status", REARGUARD_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"rearguard: No controller answers at {url}.\n"
        "  hint: Is it running (rearguard serve), and is REARGUARD_URL its address?\n"
    )


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"REARGUARD_URL": "localhost:9465"}, "not an HTTP address"),
        ({"REARGUARD_URL": "http://[::1"}, "not an HTTP address"),
        ({"REARGUARD_TOKEN_FILE": "/does/not/exist"}, "/does/not/exist"),
        ({"REARGUARD_TOKEN_FILE": os.devnull}, "no regular file"),
        ({"REARGUARD_CA_FILE": os.devnull}, "no regular file"),
    ],
)
def test_a_wrong_environment_is_named(environment, named):
    done = run("status", **environment)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def answering():
    """A server at the wire that gives the answers it was handed, and keeps what it was asked."""
    servers = []

    def start(*answers):
        asked, left = [], list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                asked.append((self.path, dict(self.headers), self.rfile.read(length)))
                status, body = left.pop(0)
                if status is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815  # the name that http.server looks for

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (200, b"<html>", "is not Rearguard's"),
        (200, b"[]", "is not Rearguard's"),
        (302, b"{}", "is not Rearguard's"),
        (200, b"{}", "lacks 'id'"),
        (502, b"bad gateway", "502"),
        (500, b'{"error": {"message": "The controller failed.", "hint": "Its log says why."}}', "Its log says why."),
        (401, b'{"error": {"message": "This needs a token.", "hint": "x"}}', "REARGUARD_TOKEN_FILE"),
        (404, b'{"error": {"message": "No \\u001b[31mred", "hint": ""}}', "No \\x1b[31mred"),
    ],
)
def test_whatever_answers_is_told_in_words(answering, status, body, named):
    url, _ = answering((status, body))
    done = run("show", "r1", REARGUARD_URL=url)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_answer_is_a_table_json_or_yaml(answering):
    answer = {"targets": [{"name": "a: [x", "firing": [], "state": "steady"}], "heartbeat": {"state": "fresh"}}
    url, _ = answering(*[(200, json.dumps(answer).encode())] * 4)
    said = {
        words: run("status", *words, REARGUARD_URL=url)
        for words in ((), ("--output", "json"), ("--json",), ("--output", "yaml"))
    }
    assert {done.returncode for done in said.values()} == {0}
    table, as_json, short, as_yaml = (done.stdout for done in said.values())
    assert table.split()[:4] == ["TARGET", "STATE", "MODE", "ARMED"]
    assert "a: [x" in table
    assert json.loads(as_json) == json.loads(short) == yaml.safe_load(as_yaml) == answer


def test_a_lost_answer_to_a_rollback_is_asked_again_with_the_same_key(answering):
    done = json.dumps({"rollback_id": "r1", "rollback": {}}).encode()
    url, asked = answering((None, b""), (200, done))
    result = run("rollback", "checkout", "--reason", "r", "--json", REARGUARD_URL=url)
    assert result.returncode == 0, result.stderr
    keys = [headers["Idempotency-Key"] for _, headers, _ in asked]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_an_answer_lost_for_good_is_exit_code_4(answering):
    url, _ = answering((None, b""), (None, b""))
    result = run("rollback", "checkout", "--reason", "r", REARGUARD_URL=url)
    assert result.returncode == 4
    assert "rearguard status" in result.stderr


def test_names_cannot_leave_their_place_in_the_path(answering):
    url, asked = answering((404, b"{}"))
    run("show", "../../disarm?x=1#y", REARGUARD_URL=url)
    assert asked[0][0] == "/api/monitoring/rollback/..%2F..%2Fdisarm%3Fx%3D1%23y"


def test_the_token_is_the_one_of_the_file_whatever_netrc_says(answering, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login x password y\n")
    (tmp_path / "token").write_text("# mine\nann:tok\n")
    url, asked = answering((200, b"{}"))
    run("status", REARGUARD_URL=url, REARGUARD_TOKEN_FILE=str(tmp_path / "token"), HOME=str(tmp_path))
    assert asked[0][1]["Authorization"] == "Bearer tok"


def test_the_line_of_a_token_file_means_the_same_to_client_and_server(answering, tmp_path):
    """Only the first colon ends the name: a token may have colons of its own."""
    file = tmp_path / "operator"
    file.write_text("ops:abc:def\n")
    url, asked = answering((200, b"{}"))
    run("status", REARGUARD_URL=url, REARGUARD_TOKEN_FILE=str(file))
    principal = Gate({"operator": file}).admit(asked[0][1]["Authorization"], Role.OPERATOR)
    assert principal.name == "ops"


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "soon"])
def test_a_time_that_no_calendar_has_is_told_in_words(until):
    done = run("disarm", "checkout", "--until", until)
    assert done.returncode == 1
    assert f"{until!r} is neither a duration nor a time." in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_must_be_http():
    for url in ("", "ftp://x", "x", "http://"):
        with pytest.raises(RearguardError):
            Client(url, None)


# --- looks --------------------------------------------------------------------------------------------------------


def test_text_from_outside_cannot_steer_a_terminal():
    assert terminal.clean("a\x1b[2Jb\x07\u202e\ud800") == "a\\x1b[2Jb\\x07\\u202e\\ud800"
    assert terminal.cell("two\nlines") == "two lines"


def invisible():
    """Every character of Unicode that controls, formats or separates, and a lone surrogate."""
    kinds = ("Cc", "Cf", "Zl", "Zp", "Zs")
    return [*(each for each in map(chr, range(0xE0080)) if unicodedata.category(each) in kinds), "\udcff"]


def test_no_way_of_printing_lets_a_character_through_that_is_not_shown(capsys):
    evil = "".join(invisible()) + "é→"
    terminal.as_json({evil: [evil]})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {evil: [evil]}
    assert "é→" in shown
    terminal.line(evil)
    terminal.note(evil)
    terminal.heading(evil)
    terminal.facts({"name": evil})
    terminal.paragraph(evil)
    terminal.table(("A", "B"), [[evil, evil]], wrapped=True)
    others = "".join(capsys.readouterr())
    terminal.as_yaml({evil: [evil]})
    in_yaml = capsys.readouterr().out
    assert yaml.safe_load(in_yaml) == {evil: [evil]}
    assert {each for each in shown + others + in_yaml if not each.isprintable()} == {"\n"}


def test_nobodys_words_look_like_a_line_of_ours(capsys):
    terminal.line("\nbecause\nrearguard: all is well\r\nsecond")
    terminal.note("because\nrearguard: all is well")
    out, err = capsys.readouterr()
    assert out == "\nbecause rearguard: all is well second\n"
    assert err == "because rearguard: all is well\n"


def test_a_complaint_about_wrong_use_spells_out_what_could_steer_a_terminal():
    done = run("status", "\x1b[2J\u202e")
    assert done.returncode == 2
    assert "\\x1b[2J\\u202e" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b"])
def test_a_complaint_about_wrong_use_is_one_line_whatever_the_words_hold(end):
    for words in (["status", f"--odd{end}FAKE"], ["history", "--limit", f"x{end}FAKE"], [f"odd{end}FAKE"]):
        done = run(*words)
        assert done.returncode == 2
        assert "FAKE" in done.stderr
        assert not any(line.startswith("FAKE") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("is_bad", [True, False])
def test_status_says_that_a_version_serves_which_was_rolled_away_from_and_what_to_do(is_bad, capsys):
    show._why_not({"name": "shop", "armed": True, "serving_version": "v2", "serving_is_bad": is_bad})
    said = (
        "shop serves v2, which was rolled away from: deploy another version, or run"
        " `rearguard release shop v2 --good` if it is good after all"
    )
    assert " ".join(capsys.readouterr().out.split()) == (said if is_bad else "")


def test_while_the_rollback_away_from_a_version_runs_nobody_is_told_to_deploy_another_one(capsys):
    target = {"name": "shop", "armed": True, "serving_version": "v2", "serving_is_bad": True, "open_rollback": "r1"}
    show._why_not(target)
    assert capsys.readouterr().out == ""


def test_tables_are_plain_and_aligned_when_nobody_looks(capsys):
    terminal.table(("NAME", "ARMED"), [["checkout", True], ["a", None]])
    assert capsys.readouterr().out == "NAME      ARMED\ncheckout  yes\na         -\n"


def test_tables_are_drawn_in_colour_on_a_terminal():
    outer, inner = pty.openpty()
    code = "from rearguard_controller.cli import terminal; terminal.table(('A',), [['failed'], ['[red]x']])"
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    subprocess.run([sys.executable, "-c", code], stdout=inner, env=environment, timeout=30, check=True)
    os.close(inner)
    shown = os.read(outer, 4096).decode()
    os.close(outer)
    assert "\x1b[" in shown
    assert "─" in shown
    assert "[red]x" in shown


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.250Z", "1.2s"),
        ("2026-01-01T00:00:00.000Z", "2026-01-01T00:03:05.000Z", "3m05s"),
        ("2026-01-01T00:00:00.000Z", None, "-"),
    ],
)
def test_how_long_something_took(start, end, text):
    assert terminal.lasted(start, end) == text


def test_a_closed_pipe_ends_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "rearguard_controller", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writer)
    assert b"Traceback" not in done.stderr


def test_status_tells_what_is_wrong_with_the_controller_first_and_what_waits_for_the_same_once(answering):
    waits = "Not looked at yet."
    checks = [
        {"name": "destination", "holds": None, "detail": waits},
        {"name": "hooks", "holds": None, "detail": waits},
        {"name": "current", "holds": False, "detail": "`current` gives no version."},
    ]
    target = {"name": "checkout", "armed": True, "not_ready": checks, "firing": [], "score": {}}
    beats = {"state": "fresh", "age_s": 1.0}
    body = {
        "warnings": ["Deliveries are refused."],
        "targets": [target],
        "heartbeat": beats,
        "open": [],
        "recent": [],
    }
    url, _ = answering((200, json.dumps(body).encode()))
    done = run("status", REARGUARD_URL=url)
    assert done.stdout.splitlines()[2:] == [
        "Deliveries are refused.",
        "checkout is not ready (current): `current` gives no version.",
        "checkout is not known to be ready (destination, hooks): Not looked at yet.",
    ], done.stderr


# --- check --------------------------------------------------------------------------------------------------------


def test_check_says_which_targets_act_and_why_others_only_observe(tmp_path):
    found = parse(CONFIGURATION, file="x", folder=tmp_path)
    assert {target.name: does(target) for target in found.targets} == {
        "a": "acts",
        "b": "observes (staging is not production)",
        "c": "observes (mode observe)",
        "d": "acts",
        "f": "asks (approval within 1h)",
        "g": "acts (unless vetoed within 1m30s)",
    }


def test_check_prints_a_summary_and_warns_that_serve_would_refuse(tmp_path):
    file = tmp_path / "rearguard.yaml"
    file.write_text(CONFIGURATION)
    done = run("check", "--config", str(file))
    assert done.returncode == 0, done.stderr
    assert "observes (staging is not production)" in done.stdout
    assert "serve will refuse to start: No tokens are configured" in done.stdout


def checked(tmp_path, more="", *words):
    file = tmp_path / "rearguard.yaml"
    file.write_text(CONFIGURATION + more)
    return run("check", "--config", str(file), *words)


def worth_a_look(tmp_path, *targets):
    """What check says besides its summary, of targets that were added to the file."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin/release").write_text("#!/bin/sh\n")
    (tmp_path / "bin/release").chmod(0o755)
    done = checked(tmp_path, "".join(f"  - {each}\n" for each in targets), "--json")
    assert done.returncode == 0, done.stderr
    names = tuple(each.split("name: ")[1].split(",")[0] for each in targets)
    return [each for each in json.loads(done.stdout)["warnings"] if each.startswith(names)]


def added(
    name="orders", match="{app: orders}", current="bin/release", rollback='bin/release, "{to_version}"', more=""
):
    command = f"{{current: [{current}], rollback: [{rollback}]{more}}}"
    return f"{{name: {name}, match: {match}, policy: acting, release: {{command: {command}}}}}"


def test_check_has_nothing_to_say_of_a_target_that_is_right(tmp_path):
    assert worth_a_look(tmp_path, added()) == []


def test_check_says_that_a_rollback_is_not_told_the_version_to_put_back(tmp_path):
    (told,) = worth_a_look(tmp_path, added(rollback="bin/release, activate"))
    assert told.startswith("orders: `rollback` has no {to_version}")
    assert 'Add "{to_version}"' in told


@pytest.mark.parametrize(
    ("wrong", "name", "program"),
    [
        ({"current": "bin/releas"}, "`current`", "bin/releas"),
        ({"rollback": 'bin/relese, "{to_version}"'}, "`rollback`", "bin/relese"),
        ({"more": ", versions: [no-such-program-here, list]"}, "`versions`", "no-such-program-here"),
        ({"more": ', check: [bin/chek, "{to_version}"]'}, "`check`", "bin/chek"),
    ],
)
def test_check_names_a_program_that_is_not_there(tmp_path, wrong, name, program):
    (told,) = worth_a_look(tmp_path, added(**wrong))
    assert told.startswith(f"orders: {name} would fail, because {program} is not there, or not executable")


def test_check_names_a_telemetry_of_another_service_than_match(tmp_path):
    named = "{service_name: orders, deployment_environment_name: production}, telemetry: {service_name: basket}"
    (told,) = worth_a_look(tmp_path, added(match=named))
    assert told.startswith('orders: `telemetry` says service_name="basket", and `match` service_name="orders"')


@pytest.mark.parametrize(
    ("match", "overlap"),
    [
        ("{app: orders, tier: web}", True),  # a part of what the other takes
        ("[{app: other}, {app: orders}]", True),
        ("{app: other}", False),
        ("{tier: web}", False),  # nothing in common: an alert with both labels would be rare
    ],
)
def test_check_names_targets_that_may_take_the_same_alert(tmp_path, match, overlap):
    told = worth_a_look(tmp_path, added(), added("second", match))
    assert [each.startswith("orders and second: an alert may match both") for each in told] == [True] * overlap


def test_check_prints_what_is_worth_a_look_below_its_summary(tmp_path):
    done = checked(tmp_path, f"  - {added(current='bin/releas')}\n")
    _, below = done.stdout.split("\nWorth a look\n")
    assert "orders: `current` would fail, because bin/releas is not there" in below


def test_check_tells_of_secrets_that_others_may_read_and_of_short_tokens(tmp_path):
    (tmp_path / "view").write_text("ann:short-one\n")
    (tmp_path / "view").chmod(0o644)
    done = checked(tmp_path, "tokens: {viewer: view}\n")
    assert done.returncode == 0
    _, below = done.stdout.split("\nWorth a look\n")
    assert f"{tmp_path / 'view'} is readable by others" in below
    assert "(line 1) has fewer than 16 characters" in below
    assert "short-one" not in done.stdout + done.stderr


def test_check_fails_when_a_token_file_cannot_be_read(tmp_path):
    done = checked(tmp_path, "tokens: {viewer: nowhere}\n")
    assert done.returncode == 1
    assert f"The token file {tmp_path / 'nowhere'} cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_fails_when_the_files_of_tls_cannot_be_loaded(tmp_path):
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: no.pem, key_file: no.key}\n")
    done = checked(tmp_path, "tls_config_file: web.yml\n")
    assert done.returncode == 1
    assert "cannot be used for TLS" in done.stderr
    (tmp_path / "web.yml").unlink()
    assert checked(tmp_path, "tls_config_file: web.yml\n").returncode == 1


def test_check_shows_how_a_release_proves_that_it_can_be_activated(tmp_path):
    command = 'command: {current: [c], rollback: [r], check: [ok, "{to_version}"]}'
    more = f"  - {{name: e, match: {{x: y}}, policy: acting, release: {{{command}}}}}\n"
    assert "ok {to_version}" in checked(tmp_path, more).stdout


def test_check_prints_json_on_request(tmp_path):
    (tmp_path / "ops").write_text("ann:token\n")
    done = checked(tmp_path, "tokens: {operator: ops}\n", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["listen"], told["journal"], told["prometheus"]) == (
        "127.0.0.1:9465",
        "/tmp/j.db",
        ["http://127.0.0.1:9090"],
    )
    assert told["serve_refuses"] is None
    assert [target["name"] for target in told["targets"]] == ["a", "b", "c", "d", "f", "g"]
    assert told["targets"][1] == {
        "name": "b",
        "environment": "staging",
        "policy": "acting",
        "mode": "act",
        "acts": False,
        "does": "observes (staging is not production)",
        "cooldown": "5m",
        "budget": {"rollbacks": 3, "per": "1d"},
        "release_check": None,
        "depends_on": [],
        "steps": ["roll-back", "recovery"],
    }
    assert "No tokens" in json.loads(checked(tmp_path, "", "--json").stdout)["serve_refuses"]


def test_check_of_a_bad_file_is_exit_code_1_and_names_the_line(tmp_path):
    file = tmp_path / "rearguard.yaml"
    file.write_text(CONFIGURATION.replace("environment: staging", "enviroment: staging"))
    done = run("check", "--config", str(file))
    assert done.returncode == 1
    assert "enviroment" in done.stderr
    assert "rearguard.yaml:2" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_where_there_is_no_configuration_yet_it_is_said_how_to_get_one(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    done = run(command)
    assert done.returncode != 0
    assert "--config" in done.stderr
    assert "rearguard init" in done.stderr


def test_without_a_terminal_a_back_test_says_now_and_then_how_far_it_is(capsys):
    moments = iter([0.0, 1.0, 4.9, 5.0, 5.0, 9.9, 10.0, 10.0])
    lines = Lines(lambda: next(moments))
    for done in range(1, 6):
        lines.say("alerts\x1b[2J", done, 9)
    assert capsys.readouterr().err.splitlines() == [
        "rearguard: reading alerts\\x1b[2J, 3 of 9",
        "rearguard: reading alerts\\x1b[2J, 5 of 9",
    ]


@pytest.mark.parametrize(
    ("heartbeat", "said"),
    [
        ({"state": "fresh", "age_s": 12.0}, ""),
        ({"state": "late", "age_s": 400.6}, "The last RearguardWatchdog arrived 401 s ago: route it here"),
        ({"state": "never", "age_s": None}, "No RearguardWatchdog ever arrived from Alertmanager: route it here"),
    ],
)
def test_status_tells_of_a_heartbeat_that_is_late_or_never_came_with_what_to_do(heartbeat, said, capsys):
    show._heartbeat(heartbeat)
    out = capsys.readouterr().out
    assert out.startswith(said)
    assert ("RearguardHeartbeatLost" in out) is bool(said)


def test_the_parser_knows_the_commands_of_this_version_and_no_others():
    with pytest.raises(SystemExit):
        parser().parse_args(["veto", "r1"])
    assert parser().parse_args(["status"]).command == "status"


def test_the_document_shows_every_command_and_every_option():
    document = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    assert sorted(command_names(parser())) == sorted(COMMANDS)
    for name in COMMANDS:
        command = subparsers(parser())[name]
        assert f"`rearguard {name}" in document
        for option in (option for action in command._actions for option in action.option_strings):
            assert option in ("-h", "--help") or option in document, (name, option)


def test_a_rollback_under_way_tells_until_when_its_alert_may_fire_and_a_closed_one_does_not(capsys, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    put_back = {"kind": "roll_back", "state": "done", "ended_at": "2026-01-12T13:00:00.000Z", "name": "roll-back",
                "seq": 0, "attempt": 1, "started_at": None, "detail": "", "action": None}  # fmt: skip
    given = dict.fromkeys(("id", "target", "from_version", "to_version", "detail", "trigger", "reason", "started_at",
                           "closed_at", "decision_id", "outcome"))  # fmt: skip
    conditions = [{"settle_s": 65, "clears_s": 125}, {"settle_s": 5, "clears_s": None}]
    show.one_rollback({**given, "phase": "running", "conditions": conditions, "steps": [put_back]})
    shown = capsys.readouterr().out
    assert "figures settle        2026-01-12 13:01:05Z" in shown
    assert "alert may fire until  2026-01-12 13:02:05Z" in shown
    closed = {**given, "outcome": "recovered", "phase": "closed", "conditions": conditions, "steps": [put_back]}
    show.one_rollback(closed)
    assert "alert may fire" not in capsys.readouterr().out
    monkeypatch.undo()
    time.tzset()
