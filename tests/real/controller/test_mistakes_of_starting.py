"""What somebody is told whose controller does not start, or who asks the wrong one: by the program itself.

The other mistakes of the first hour stand in `test_forty_mistakes.py` and `test_newcomers.py`.
"""

import contextlib
import socket

import pytest

from check.plain_words import nested
from local_stack.binaries import environment, find
from local_stack.process import Program, free_ports
from real.controller.test_cli import TOKENS, rearguard, serving, write
from real.prometheus import running

HASHED = "$2b$04$Lqw/QB7mKjBCoOIouIA0febviJ2I5vLaMMr90aGvTsDq3YsA4SX/q"  # bcrypt of `letmein`


def refused(done):
    """What a command that failed says, in one line: no trace, and no sentence of two colons."""
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    assert nested(done.stdout + done.stderr) == []
    return " ".join((done.stdout + done.stderr).split())


def served(folder, *flags):
    return refused(rearguard("serve", "--config", str(folder / "rearguard.yaml"), *flags))


def changed(folder, before, after):
    file = folder / "rearguard.yaml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))


def test_a_journal_that_another_controller_uses(tmp_path):
    url = write(tmp_path)
    with serving(tmp_path, url):
        changed(tmp_path, url.rpartition(":")[2], str(free_ports(1)[0]))
        said = served(tmp_path)
    assert f"Another controller uses the journal {tmp_path}/journal.db" in said
    assert "Stop it first, or give this one a journal of its own; several replicas need PostgreSQL" in said


def test_a_port_that_another_program_uses(tmp_path):
    url = write(tmp_path)
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        said = served(tmp_path)
    assert "address already in use" in said
    assert "Is another one running, and is `listen` right?" in said


def test_a_journal_in_a_folder_that_is_not_there(tmp_path):
    write(tmp_path)
    changed(tmp_path, f"{tmp_path}/journal.db", f"{tmp_path}/nowhere/journal.db")
    said = served(tmp_path)
    assert f"{tmp_path}/nowhere" in said
    assert "Its folder must exist and belong to the controller's user" in said


def test_no_tokens_and_an_address_that_everybody_reaches(tmp_path):
    write(tmp_path, tokens="")
    said = served(tmp_path)
    assert "No tokens are configured, so anybody could roll back every target" in said
    assert "Set tokens.sender, tokens.viewer and tokens.operator" in said
    changed(tmp_path, "listen: 127.0.0.1", "listen: 0.0.0.0")
    said = served(tmp_path, "--insecure")
    assert "--insecure is for loopback addresses only, and 0.0.0.0 is not one" in said
    assert "Listen on 127.0.0.1, or configure tokens" in said


def test_a_file_that_is_not_there(tmp_path):
    for word in ("serve", "check"):
        said = refused(rearguard(word, cwd=tmp_path))
        assert "rearguard.yaml: the configuration cannot be read: No such file or directory" in said
        assert "`rearguard init` writes a first one" in said


def test_a_token_of_the_wrong_role_and_names_that_there_are_not(tmp_path):
    url = write(tmp_path, TOKENS)
    with serving(tmp_path, url):
        viewer, operator = tmp_path / "viewer", tmp_path / "operator"
        said = refused(rearguard("arm", "checkout", "--reason", "x", url=url, token=viewer))
        assert "The token of ann is for viewer; this needs operator" in said
        assert "Use a token from the operator file of the configuration" in said
        said = refused(rearguard("rollback", "chekout", "--reason", "x", url=url, token=operator))
        assert "chekout" in said
        assert "checkout" in said.replace("chekout", "")
        said = refused(rearguard("history", "--outcome", "recoverd", url=url, token=viewer))
        assert "outcome must be one of: recovered, " in said


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A Prometheus that scrapes nothing."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    with running(folder) as address:
        yield address


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["history"],
        ["explain", "checkout"],
        ["drill", "checkout"],
        ["arm", "checkout", "--reason", "x"],
        ["rollback", "checkout", "--reason", "x"],
        ["status", "--json"],
    ],
)
def test_the_address_of_prometheus_instead_of_the_controllers(prometheus, tmp_path, words):
    (tmp_path / "token").write_text("secret-token\n")
    said = refused(rearguard(*words, url=prometheus, token=tmp_path / "token"))
    assert f"{prometheus} answered 404" in said
    assert "which is not Rearguard's" in said
    assert "is REARGUARD_URL its address?" in said


def test_a_prometheus_that_shows_nothing(prometheus, tmp_path):
    said = refused(rearguard("init", "--prometheus", prometheus, cwd=tmp_path))
    assert "Prometheus shows no service that can be observed" in said
    assert "exporter/README.md" in said
    said = refused(rearguard("backtest", "--prometheus", prometheus, cwd=tmp_path))
    assert "Prometheus shows no service with a version now" in said
    assert "rearguard init --prometheus URL says what is wrong" in said
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def started(folder, *options, ready):
    """The address of a Prometheus with more options than usual; `ready` is asked until it answers."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    (folder / "web.yml").write_text(f"basic_auth_users: {{rearguard: '{HASHED}'}}\n")
    port = free_ports(1)[0]
    words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    program = Program(
        "prometheus",
        [find("prometheus"), *words, *options],
        folder=folder,
        log=folder / "log",
        ready_url=ready.format(port=port),
        environment=environment(),
    )
    try:
        program.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        program.kill()


PROTECTED = {  # option, what is asked to know that it is there; cause; the cure for a file, and that for flags
    "user and password": (
        "--web.config.file=web.yml",
        "http://rearguard:letmein@127.0.0.1:{port}/-/ready",
        "answered 401",
        "set prometheus.basic_auth with username and password_file",
        "set --username and --password-file",
    ),
    "a path prefix": (
        "--web.external-url=http://example.com/prometheus",
        "http://127.0.0.1:{port}/prometheus/-/ready",
        "answered 404",
        "Does it have a path prefix (--web.external-url, --web.route-prefix)? prometheus.url must have it, too",
        "Does it have a path prefix (--web.external-url, --web.route-prefix)? --prometheus must have it, too",
    ),
}


@pytest.mark.parametrize("by", PROTECTED)
def test_a_prometheus_that_needs_more_than_its_address(tmp_path, by):
    option, ready, cause, key, flag = PROTECTED[by]
    with started(tmp_path / "prometheus", option, ready=ready) as address:
        write(tmp_path)
        changed(tmp_path, "http://127.0.0.1:9", address)
        said = refused(rearguard("check", "--live", "--config", str(tmp_path / "rearguard.yaml")))
        assert cause in said
        assert key in said
        for word in ("init", "backtest"):
            (tmp_path / "empty").mkdir(exist_ok=True)
            said = refused(rearguard(word, "--prometheus", address, cwd=tmp_path / "empty"))
            assert cause in said
            assert flag in said
            assert "prometheus." not in said  # keys of a file that is not there
