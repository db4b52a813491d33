"""`rearguard login`, contexts and `logout` against a real controller: what is kept, for whom, and what is asked."""

from __future__ import annotations

import io
import json
import os
import pty
import stat
import subprocess
import sys

import pytest

from real.controller.test_cli import serving, write
from rearguard_controller.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(folder):
    url = write(folder)
    with serving(folder, url):
        yield url


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command in this process, which saves a second each; its home holds the contexts of this test only."""

    def run(*words, typed="", code=0, **environment):
        with monkeypatch.context() as patched:
            for name in [each for each in os.environ if each.startswith("REARGUARD_")]:
                patched.delenv(name)
            for name, value in {"XDG_CONFIG_HOME": str(tmp_path / "config"), **environment}.items():
                patched.setenv(name, value)
            patched.setattr(sys, "stdin", io.StringIO(typed))
            found = main(words)
        out, err = capsys.readouterr()
        assert found == code, err
        assert "-token" not in out + err.replace("--token-file", "")  # no secret is ever shown
        return out if code == 0 else err

    run.file = tmp_path / "config" / "rearguard" / "contexts.json"
    return run


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_after_a_login_commands_ask_that_controller_with_that_token(cli, url, folder):
    assert url in cli("login", url, typed="ann:operator-token\n")
    assert (mode(cli.file), mode(cli.file.parent)) == (0o600, 0o700)
    assert "checkout" in cli("status")
    assert "disarmed" in cli("disarm", "checkout", "--reason", "try")
    assert "armed" in cli("arm", "checkout", REARGUARD_TOKEN_FILE=str(folder / "operator"))
    cli("logout")
    assert "9465" in cli("status", code=1)  # the usual address again


def test_a_token_that_the_controller_does_not_take_is_not_kept(cli, url, folder):
    assert "Nothing was kept" in cli("login", url, typed="nonsense\n", code=1)
    assert "Nothing was kept" in cli("login", url, "--token-file", str(folder / "sender"), code=1)
    assert "holds no token" in cli("login", url, typed="\n", code=1)
    assert not cli.file.exists()
    cli("login", url, "--token-file", str(folder / "viewer"))
    kept = cli.file.read_text()
    cli("login", url, typed="nonsense\n", code=1)
    assert cli.file.read_text() == kept


def test_several_contexts_are_told_apart_by_name(cli, url, folder):
    cli("login", url, "--token-file", str(folder / "operator"), "--context", "shop")
    cli("login", url, "--token-file", str(folder / "viewer"), "--context", "looking")
    listed = json.loads(cli("context", "--output", "json"))["contexts"]
    assert [(each["name"], each["current"]) for each in listed] == [("looking", True), ("shop", False)]
    assert "needs operator" in cli("arm", "checkout", code=1)
    assert "armed" in cli("arm", "checkout", "--context", "shop")
    cli("context", "shop")
    assert "armed" in cli("arm", "checkout")
    assert "Known: looking, shop" in cli("status", "--context", "shpo", code=1)
    cli("logout", "--context", "shop")
    assert "no context 'shop'" in cli("status", "--context", "shop", code=1)
    assert "checkout" in cli("status", "--context", "looking")
    cli("logout", "--all")
    assert json.loads(cli.file.read_text()) == {"current": None, "contexts": {}}


def test_the_environment_wins_and_a_kept_token_goes_to_no_other_address(cli, url, folder):
    cli("login", url, "--token-file", str(folder / "operator"))
    other = url.replace("127.0.0.1", "localhost")
    assert "needs a token" in cli("status", REARGUARD_URL=other, code=1)
    assert "checkout" in cli("status", REARGUARD_URL=other, REARGUARD_TOKEN_FILE=str(folder / "viewer"))
    assert "wins over --context" in cli("status", "--context", "default", REARGUARD_URL=other, code=2)


def test_a_file_that_others_may_read_is_refused_with_what_to_do(cli, url, folder):
    cli("login", url, "--token-file", str(folder / "viewer"))
    cli.file.chmod(0o640)
    assert f"chmod 600 {cli.file}" in cli("status", code=1)
    assert f"chmod 600 {cli.file}" in cli("login", url, "--token-file", str(folder / "viewer"), code=1)
    cli.file.chmod(0o600)
    cli.file.parent.chmod(0o777)
    assert f"chmod 700 {cli.file.parent}" in cli("status", code=1)
    cli.file.parent.chmod(0o700)
    other = cli.file.with_name("other")
    cli.file.rename(other)
    cli.file.symlink_to(other)
    assert "cannot be read" in cli("status", code=1)
    cli.file.unlink()
    for damaged in ("", "[]", '{"current": "a", "contexts": {"a": {"url": 5}}}', "[" * 100_000, '{"contexts": {}}'):
        cli.file.write_text(damaged)
        cli.file.chmod(0o600)
        assert "holds no contexts" in cli("status", code=1)


def test_on_a_terminal_the_token_is_asked_for_and_not_shown(cli, url):
    outer, inner = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(cli.file.parents[1])}
    command = [sys.executable, "-m", "rearguard_controller", "login", url]
    with subprocess.Popen(command, env=environment, stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
                          preexec_fn=lambda: os.open(os.ttyname(0), os.O_RDWR)) as process:  # fmt: skip  # noqa: PLW1509
        os.close(inner)
        shown = b""
        while b"Token:" not in shown:
            shown += os.read(outer, 1000)
        os.write(outer, b"operator-token\n")
        assert process.wait(60) == 0
    shown += os.read(outer, 4000)
    os.close(outer)
    assert b"operator-token" not in shown
    assert "checkout" in cli("status")


def test_a_reload_takes_over_the_configuration_or_says_what_is_wrong_with_it(tmp_path, cli):
    url = write(tmp_path)
    file = tmp_path / "rearguard.yaml"
    with serving(tmp_path, url):
        operator = {"REARGUARD_URL": url, "REARGUARD_TOKEN_FILE": str(tmp_path / "operator")}
        text = file.read_text()
        file.write_text(text.replace("name: checkout", "name: basket"))
        assert "read again" in cli("reload", **operator)
        assert "basket" in cli("status", **operator)
        file.write_text(text + "nonsense: 1\n")
        assert "nonsense" in cli("reload", code=1, **operator)
        assert "basket" in cli("status", **operator)
