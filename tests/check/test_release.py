"""What somebody gets who installs a release: built here, installed in empty environments, every command tried.

`make release-check` runs this file. It never reads the tree through an installed program: an environment holds the
wheel and its dependencies, and programs run in a folder of their own.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tarfile
import time
import tomllib

import pytest
from packaging.metadata import Metadata

from check.installed import ROOT, TRACEBACK, Installation, build, contents, environment
from rearguard_controller.cli.arguments import command_names, parser

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
FOLDERS = {"rules": "rules", "alertmanager": "deploy/alertmanager", "grafana": "grafana", "schema": "docs/schema"}
LIBRARIES = "run: pip install 'rearguard[controller]'\n"
COMMANDS = {  # each with words that are right
    "init": ["--prometheus", "http://127.0.0.1:9"],
    "serve": ["--config", "rearguard.yaml", "--insecure"],
    "check": ["--config", "rearguard.yaml"],
    "backtest": ["--config", "rearguard.yaml", "--since", "1d"],
    "status": [],
    "history": [],
    "show": ["r1"],
    "explain": ["shop"],
    "decisions": [],
    "releases": ["shop"],
    "watch": ["shop", "--version", "v2"],
    "audit": [],
    "rollback": ["shop", "--reason", "text"],
    "approve": ["r1", "--reason", "text"],
    "veto": ["r1", "--reason", "text"],
    "abort": ["r1", "--reason", "text"],
    "close": ["r1", "--reason", "text"],
    "arm": ["shop"],
    "disarm": ["shop"],
    "release": ["shop", "v2"],
    "drill": ["shop"],
    "login": ["http://127.0.0.1:9"],
    "logout": [],
    "context": [],
    "reload": [],
}
ON_BASE = {"files": [], "completion": ["bash"], "schema": []}  # these need no library of an extra
SERVED = """\
environment: production
journal: sqlite://FOLDER/journal.db
listen: 127.0.0.1:0
prometheus: {url: "http://127.0.0.1:9"}
targets: [{name: shop, match: {service_name: shop}, release: {command: {current: [echo, v1], rollback: [echo]}}}]
"""
SCRAPED = """
import asyncio
from aiohttp import ClientSession, web

async def main():
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with ClientSession() as session:
        for path in ("/items/1", "/metrics"):
            async with session.get(base + path) as answer:
                print(await answer.text())
    await runner.cleanup()

asyncio.run(main())
"""
PLAIN_WSGI = """
from wsgiref.util import setup_testing_defaults
from rearguard_exporter import Monitor

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

monitor = Monitor(service="checkout", version="1.4.2", environment="production")
app = monitor.instrument_wsgi(hello)
for path in ("/", "/metrics"):
    environ = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    body = app(environ, lambda status, headers, failure=None: None)
    print(b"".join(body).decode())
    getattr(body, "close", bool)()
monitor.close()
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory):
    return Installation.of(tmp_path_factory.mktemp("base"), wheel)


@pytest.fixture(scope="module")
def full(wheel, tmp_path_factory):
    return Installation.of(tmp_path_factory.mktemp("full"), wheel, "[controller]")


def shipped():
    """Kind/path -> bytes of what the repository ships."""
    found = {}
    for kind, name in FOLDERS.items():
        for file in (ROOT / name).rglob("*"):
            path = file.relative_to(ROOT / name)
            if file.is_file() and path.parts[0] not in {"tests", "tools"}:
                found[f"{kind}/{path}"] = file.read_bytes()
    return found


# --- what is built ------------------------------------------------------------------------------------------------


def test_the_metadata_is_valid_and_says_what_pyproject_says(wheel):
    text = contents(wheel)[f"rearguard-{VERSION}.dist-info/METADATA"]
    metadata = Metadata.from_email(text, validate=True)
    assert str(metadata.version) == VERSION
    assert metadata.license_expression == PROJECT["license"]
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description.startswith("# Rearguard")
    assert set(metadata.provides_extra) == set(PROJECT["optional-dependencies"])
    required = {str(each) for each in metadata.requires_dist if each.marker is None}
    assert required == set(PROJECT["dependencies"])


def test_the_wheel_holds_both_packages_and_what_is_shipped_and_nothing_else(wheel):
    wanted = {f"rearguard_controller/shipped/{name}": content for name, content in shipped().items()}
    for package in ("exporter/rearguard_exporter", "controller/rearguard_controller"):
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                wanted[str(file.relative_to((ROOT / package).parent))] = file.read_bytes()
    own = {name: content for name, content in contents(wheel).items() if ".dist-info/" not in name}
    assert sorted(own) == sorted(wanted)
    assert own == wanted


def test_the_sdist_makes_the_same_wheel(dist, wheel, tmp_path):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = tmp_path / "again"
    again.mkdir()
    build(tmp_path / f"rearguard-{VERSION}", again, "wheel")
    assert contents(again / wheel.name) == contents(wheel)


def test_the_changelog_has_a_section_for_the_version_below_what_is_not_released():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[?([^\]\s]+)", text, flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert VERSION in sections
    groups = set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE))
    assert groups <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Not in this version"}


# --- base dependencies only ---------------------------------------------------------------------------------------


def test_every_command_is_tried():
    assert set(command_names(parser())) == COMMANDS.keys() | ON_BASE.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_libraries_is_one_sentence_and_exit_code_2(base, command):
    done = base.rearguard(command, *COMMANDS[command])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf"rearguard: This command needs the library \w+, which .*; {re.escape(LIBRARIES)}", done.stderr
    )


@pytest.mark.parametrize("command", [*COMMANDS, *ON_BASE])
def test_help_needs_no_library(base, command):
    done = base.rearguard(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: rearguard {command}")


def test_the_module_is_the_same_command(base):
    done = base.run(base.python, "-m", "rearguard_controller", "status")
    assert done.returncode == 2
    assert done.stderr.endswith(LIBRARIES)


def test_version_and_wrong_use_need_no_library(base):
    assert base.rearguard("--version").stdout == f"rearguard {VERSION}\n"
    for words in ([], ["fly"], ["show"]):
        done = base.rearguard(*words)
        assert done.returncode == 2
        assert "usage: rearguard" in done.stderr
        assert TRACEBACK not in done.stderr


def test_the_stand_alone_exporter_without_its_libraries_is_one_sentence_and_exit_code_2(base):
    done = base.run(base.home / "bin/rearguard-exporter", "--config", "exporter.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "rearguard-exporter: the library yaml is not installed; run: pip install 'rearguard[standalone]'\n"
    )


def test_what_is_shipped_is_found_and_written_without_a_clone(base, tmp_path):
    listed = json.loads(base.rearguard("files", "--json").stdout)["files"]
    assert {f"{each['kind']}/{each['path']}" for each in listed} == shipped().keys()
    assert all(each["at"].startswith(str(base.home)) for each in listed)
    assert base.rearguard("files", "--to", tmp_path).returncode == 0
    written = {str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert written == shipped()
    assert base.rearguard("files", "rules", "--to", tmp_path / "rules").returncode == 0  # the same again


def test_the_exporter_measures_an_application_of_no_framework(base):
    done = base.run(base.python, "-c", PLAIN_WSGI)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hello\n")
    assert re.search(r"^http_server_request_duration_seconds_count\{.*\} 1$", done.stdout, flags=re.MULTILINE)


@pytest.mark.parametrize("library", ["aiohttp", "sqlalchemy", "asyncpg", "psycopg"])
def test_the_exporter_says_which_extra_a_library_comes_with(base, library):
    code = f"from rearguard_exporter import Monitor; Monitor(service='shop').instrument_{library}(None)"
    last = base.run(base.python, "-c", code).stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ")
    assert last.endswith(f"run: pip install 'rearguard[{library}]'")


# --- with the controller's libraries --------------------------------------------------------------------------------


def test_the_example_of_the_documentation_passes_check(full):
    document = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    (full.folder / "rearguard.yaml").write_text(re.search(r"```yaml\n(.*?)```", document, flags=re.DOTALL)[1])
    for name in ("tokens/sender", "tokens/viewer", "tokens/operator", "notify/chat", "notify/headers"):
        (full.folder / name).parent.mkdir(exist_ok=True)
        (full.folder / name).write_text(f"{name.rpartition('/')[2]}:a-token-of-this-test\n")
    (full.folder / "notify/chat").write_text("https://chat.example.com/hook\n")
    done = full.rearguard("check", "--config", "rearguard.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "checkout" in done.stdout


def test_a_journal_in_postgresql_asks_for_its_driver(full):
    (full.folder / "postgres.yaml").write_text(SERVED.replace("sqlite://FOLDER/journal.db", "postgresql://r@h/r"))
    done = full.rearguard("serve", "--insecure", "--config", "postgres.yaml")
    assert done.returncode == 2
    assert done.stderr.endswith("run: pip install 'rearguard[postgres]'\n")


def test_a_controller_starts_and_every_question_is_answered(full):
    file = full.folder / "serve.yaml"
    file.write_text(SERVED.replace("FOLDER", str(full.folder)))
    log = full.folder / "log"
    with log.open("w") as lines:
        command = [full.program, "serve", "--insecure", "--config", str(file)]
        process = subprocess.Popen(command, cwd=full.folder, env=environment(), stderr=lines)
    try:
        url = f"http://{_listening(process, log)}"
        for words in (["status"], ["history"], ["decisions"], ["audit"], ["releases", "shop"], ["arm", "shop"]):
            done = full.rearguard(*words, REARGUARD_URL=url)
            assert (done.returncode, done.stderr) == (0, ""), words
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _listening(process, log):
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r'"rearguard\.listen": ?"([^"]+)"', log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


ASK_NOBODY = {"init", "serve", "check", "backtest", "logout", "context"}  # which ask no controller


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ASK_NOBODY])
def test_a_command_that_reaches_no_controller_is_a_sentence(full, command):
    token = full.folder / "token"
    token.write_text("ann:0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    more = {"watch": ["--start-within", "1s", "--for", "1s"], "login": ["--token-file", str(token)]}.get(command, [])
    done = full.rearguard(command, *COMMANDS[command], *more, REARGUARD_URL="http://127.0.0.1:9")
    assert done.returncode in (1, 4)
    assert TRACEBACK not in done.stderr
    assert "answer" in done.stdout + done.stderr


def test_the_first_example_of_the_exporter_works_as_it_stands(full):
    document = (ROOT / "exporter/README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", document, flags=re.DOTALL)[1]
    done = full.run(full.python, "-c", example + SCRAPED)
    assert (done.returncode, done.stderr) == (0, "")
    assert '{"id": "1"}' in done.stdout
    assert 'http_route="/items/{id}"' in done.stdout
    assert 'service_version="1.4.2"' in done.stdout
