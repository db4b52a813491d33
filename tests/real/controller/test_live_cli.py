"""The command line beside a running controller: status that follows, completion in real shells, pages that open."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_stack import binaries
from real.controller.test_cli import rearguard, serving, write
from rearguard_controller.cli import completion

PROGRAM = f'#!/bin/sh\nexec {sys.executable} -m rearguard_controller "$@"\n'
PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(folder):
    url = write(folder)
    with serving(folder, url):
        deadline = time.monotonic() + PATIENCE
        while "v2" not in rearguard("status", url=url, token=folder / "viewer").stdout:
            assert time.monotonic() < deadline
        yield url


@pytest.fixture(scope="module")
def environment(url, folder):
    program = folder / "bin" / "rearguard"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "REARGUARD_URL": url, "REARGUARD_TOKEN_FILE": str(folder / "operator")}


def until(stream, words, process):
    """Read until all words were seen; what was read."""
    seen, deadline = b"", time.monotonic() + PATIENCE
    while not all(word in seen for word in words):
        assert time.monotonic() < deadline, seen
        assert process.poll() is None, seen
        if select.select([stream], [], [], 0.5)[0]:
            seen += os.read(stream if isinstance(stream, int) else stream.fileno(), 65536)
    return seen


@contextlib.contextmanager
def watching(environment, *words, **more):
    command = ["rearguard", "status", "--watch", *words]
    process = subprocess.Popen(command, env=environment, start_new_session=True, **more)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(15)


def test_a_status_that_is_watched_appends_a_line_for_each_change_and_ends_well(environment, url, folder):
    with watching(environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = until(process.stdout, [b"checkout: ", b"v2 serves"], process)
        assert b"\x1b" not in first
        rearguard("disarm", "checkout", "--reason", "try", url=url, token=folder / "operator")
        assert until(process.stdout, [b"disarmed"], process).count(b"\n") == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        assert process.stderr.read() == b""
    rearguard("arm", "checkout", url=url, token=folder / "operator")


def test_a_change_is_seen_without_waiting_for_the_next_look(environment, url, folder):
    slow = (
        "from rearguard_controller.cli import follow, main; follow.LOOK_EVERY = 500;"
        " main(['status', '--watch', '--json'])"
    )
    command = [sys.executable, "-c", slow]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert json.loads(until(process.stdout, [b"\n"], process))["targets"][0]["armed"] is True
            deadline = time.monotonic() + PATIENCE
            words = itertools.cycle(["disarm", "arm"])
            while not select.select([process.stdout], [], [], 3)[0]:  # its events may begin after the first change
                assert time.monotonic() < deadline
                rearguard(next(words), "checkout", "--reason", "try", url=url, token=folder / "operator")
        finally:
            process.kill()
    rearguard("arm", "checkout", url=url, token=folder / "operator")


def test_on_a_terminal_the_status_is_drawn_anew_and_says_when_it_is_old(environment, tmp_path):
    url = write(tmp_path)
    outer, inner = pty.openpty()
    given = {**environment, "REARGUARD_URL": url, "TERM": "xterm"}
    with serving(tmp_path, url) as server, watching(given, stdin=inner, stdout=inner, stderr=inner) as process:
        os.close(inner)
        assert b"\x1b[2J" in until(outer, [b"checkout", b"Ctrl-C"], process)
        os.killpg(server.pid, signal.SIGKILL)
        until(outer, [b"No controller answers", b"is old"], process)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    os.close(outer)


def test_a_watched_status_ends_when_the_token_is_refused(environment, folder):
    given = {**environment, "REARGUARD_TOKEN_FILE": str(folder / "sender")}
    done = subprocess.run(
        ["rearguard", "status", "--watch"], env=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "needs viewer" in done.stderr


BASH = """
source <(rearguard completion bash)
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_rearguard
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rearguard stat", ["status"]),
        ("rearguard status --wat", ["--watch"]),
        ("rearguard history --target ''", ["checkout"]),
        ("rearguard arm che", ["checkout"]),
        ("rearguard arm checkout ''", [""]),
        ("rearguard show --output j", ["json"]),
        ("rearguard check --config ''", [""]),
        ("rearguard nonsense ''", [""]),
    ],
)
def test_bash_offers_commands_options_and_names(environment, words, offered):
    script = BASH.format(words=words).replace("_rearguard\n", "_rearguard 2>/dev/null\n", 1)
    done = subprocess.run(
        ["bash"], input=script, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == offered, done.stderr


def test_bash_itself_completes_a_line_when_tab_is_pressed(environment):
    outer, inner = pty.openpty()
    command = ["bash", "--norc", "--noprofile", "-i"]
    given = {**environment, "TERM": "dumb", "PS1": "> "}
    with subprocess.Popen(
        command, env=given, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    ) as process:
        os.close(inner)
        try:
            os.write(outer, b"source <(rearguard completion bash); echo rea''dy\n")
            until(outer, [b"\nready"], process)
            os.write(outer, b"rearguard arm che\t")
            until(outer, [b"checkout "], process)
        finally:
            process.kill()
    os.close(outer)


def shell_named(name):
    """This shell's path: installed, or fetched from Debian into `.local/`; not installed."""
    fetched = os.pathsep.join(str(binaries.LOCAL / folder) for folder in ("bin", "usr/bin"))
    for again in (False, True):
        found = shutil.which(name) or shutil.which(name, path=fetched)
        if found is not None:
            return found
        if not again:
            with binaries._one_at_a_time():
                binaries.fetch_packages([name])
    raise binaries.BinaryMissingError(f"{name} was fetched, but it is not where it should be.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_good_syntax_for_its_shell_and_a_broken_one_is_not(shell, tmp_path):
    program, given = shell_named(shell), binaries.environment() | {"HOME": str(tmp_path)}
    script = completion.SCRIPTS[shell]
    for text, is_good in ((script, True), (f"{script}\n( $(", False)):
        done = subprocess.run(
            [program, "-n"], input=text, env=given, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode == 0 and not done.stderr) is is_good, done.stderr


def test_no_name_that_a_shell_could_read_as_more_than_a_word_is_offered(monkeypatch):
    names = ["shop", "a/b", "$(reboot)", "`x`", "a;b", "a b", "-x", "~", "a*", "é"]
    monkeypatch.setattr(completion, "_known", lambda *_: names)
    assert completion.candidates(["arm"], "") == ["shop", "a/b"]


def test_a_decision_is_opened_by_the_browser_or_its_address_is_printed(environment, url, folder, tmp_path):
    operator = {"url": url, "token": folder / "operator"}
    rearguard("release", "checkout", "v1", "--good", **operator)
    begun = rearguard("rollback", "checkout", "--reason", "v2 is slow", "--json", **operator)
    decision = json.loads(begun.stdout)["decision_id"]
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    address = f"{url}/decisions/{decision}"
    words = ["rearguard", "explain", decision, "--open"]
    given = {**environment, "BROWSER": f"{browser} %s"}
    done = subprocess.run(words, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"Opened {address}\n", done.stderr
    assert Path(tmp_path / "opened").read_text() == f"{address}\n"
    done = subprocess.run(
        words,
        env=environment | {"PATH": f"{folder}/bin:/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"{address}\n", done.stderr
