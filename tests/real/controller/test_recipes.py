"""The recipes of docs/recipes.md as they stand there: each is asked, and goes back.

Ansible is real. Nomad and Heroku are played by servers that answer as their public documentation says.
"""

import asyncio
import json
import os
import re
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deadline import in_time
from real.controller.served import BASE, NOWHERE, serving

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/recipes.md").read_text()
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {prometheus: "{address}", poll_interval: 1s}
tokens: {sender: sender, viewer: viewer, operator: operator}
policies: {standard: {mode: act}}
targets:
  - name: shop
    match: {service_name: shop}
"""


def recipe(heading):
    """The target's lines below a heading of the guide."""
    (part,) = re.findall(rf"^## {heading}$(.*?)^## ", GUIDE, re.MULTILINE | re.DOTALL)
    (found,) = re.findall(r"^```yaml\n(release:.*?)^```", part, re.MULTILINE | re.DOTALL)
    return found.replace("/opt/rearguard/", f"{ROOT}/deploy/recipes/")


def configuration(lines):
    whole = CONFIGURATION.replace("{prometheus: ", "{url: ") + "".join(f"    {line}\n" for line in lines.splitlines())
    doubled = whole.replace("{", "{{").replace("}", "}}")
    return doubled.replace("{{folder}}", "{folder}").replace("{{address}}", "{prometheus}")


async def serves(service, version):
    async with asyncio.timeout(120):
        while True:
            _, found = await service.get(f"{BASE}/targets/shop/releases")
            if found["serving_version"] == version:
                return
            await asyncio.sleep(0.1)


async def closed(service, rollback_id):
    """The rollback once it is over; a tool may need seconds for each question."""
    async with asyncio.timeout(150):
        while True:
            _, rollback = await service.get(f"{BASE}/rollback/{rollback_id}")
            if rollback["phase"] == "closed":
                return rollback
            await asyncio.sleep(0.2)


async def goes_back(folder, lines, *, first, second, deploy):
    """Deploy `second` after `first`, roll back by hand, and return the rollback when `first` serves again."""
    async with serving(folder, prometheus=NOWHERE, configuration=configuration(lines)) as service:
        await serves(service, first)
        await service.post(f"{BASE}/targets/shop/releases", {"version": first, "good": True})
        deploy()
        await serves(service, second)
        status, opened = await service.post(f"{BASE}/rollback/trigger", {"target": "shop", "reason": "slow"})
        assert status == 202, opened
        rollback = await closed(service, opened["rollback_id"])
        assert (rollback["outcome"], rollback["from_version"], rollback["to_version"]) == ("completed", second, first)
        await serves(service, first)


# --- Ansible -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """Two hosts that are folders of this machine, each with two releases, and the inventory that names them."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    inventory = tmp_path / "hosts.ini"
    lines = [f"{host} ansible_connection=local home={tmp_path / host}" for host in ("one", "two")]
    shared = f"tool={ROOT}/deploy/systemd/release\nunit=shop.service\nansible_python_interpreter={sys.executable}"
    inventory.write_text("[checkout]\n" + "\n".join(lines) + f"\n[checkout:vars]\n{shared}\n")
    for host in ("one", "two"):
        for version in ("1.4.1", "1.4.2"):
            (tmp_path / host / "releases" / version).mkdir(parents=True)
        (tmp_path / host / "current").symlink_to("releases/1.4.1")
    return tmp_path


def activate(folder, version):
    for host in ("one", "two"):
        (folder / host / "new").symlink_to(f"releases/{version}")
        (folder / host / "new").rename(folder / host / "current")


@pytest.mark.soak
async def test_ansible_goes_back_on_every_host(hosts, tmp_path):
    lines = recipe("Ansible").replace("/etc/ansible/hosts.ini", str(hosts / "hosts.ini"))
    place = tmp_path / "controller"
    place.mkdir()
    await goes_back(place, lines, first="1.4.1", second="1.4.2", deploy=lambda: activate(hosts, "1.4.2"))
    assert [str((hosts / host / "current").readlink()) for host in ("one", "two")] == ["releases/1.4.1"] * 2


async def ansible(hosts, *words):
    program = ROOT / "deploy/recipes/ansible/ansible_release.py"
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(program, hosts / "hosts.ini", *words, stdout=pipe, stderr=pipe)
    out, err = await in_time(child.communicate(), 120)
    return child.returncode, out.decode(), err.decode()


async def test_hosts_that_differ_are_named_and_a_version_that_one_lacks_changes_none(hosts):
    (hosts / "two/current").unlink()
    (hosts / "two/current").symlink_to("releases/1.4.2")
    code, out, err = await ansible(hosts, "current")
    assert (code, out) == (1, "")
    assert "one serves 1.4.1" in err
    assert "two serves 1.4.2" in err
    shutil.rmtree(hosts / "two/releases/1.4.1")
    code, _, err = await ansible(hosts, "activate", "1.4.1")
    assert code == 1
    assert "1.4.1 is not installed" in err
    assert [str((hosts / host / "current").readlink()) for host in ("one", "two")] == [
        "releases/1.4.1",
        "releases/1.4.2",
    ]


# --- platforms that are played -----------------------------------------------------------------------------------


class Platform:
    """An HTTP server in this process; `answer(method, path, body)` gives status and document."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._reply("GET", None)

            def do_POST(self):
                self._reply("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _reply(self, method, body):
                status, document = answer(method, self.path, body, self.headers)
                told = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_words):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Nomad:
    """A job whose versions are numbered; a way back makes a new number, as Nomad does."""

    def __init__(self):
        self.versions, self.asked = [], []
        self.deploy("1.4.1")

    def deploy(self, tag, *, stable=True):
        tasks = [
            {"Name": "log", "Config": {"image": "shipper:9"}},
            {"Name": "web", "Config": {"image": f"r/shop:{tag}"}},
        ]
        self.versions.insert(0, {"Version": len(self.versions), "Stable": stable, "TaskGroups": [{"Tasks": tasks}]})

    def __call__(self, method, path, body, headers):
        self.asked.append((method, path, body))
        if headers["X-Nomad-Token"] != "secret":
            return 403, {"error": "Permission denied"}
        if path == "/v1/job/shop":
            return 200, self.versions[0]
        if path == "/v1/job/shop/versions":
            return 200, {"Versions": self.versions}
        assert (method, path) == ("POST", "/v1/job/shop/revert")
        if body["EnforcePriorVersion"] != self.versions[0]["Version"]:
            return 500, {"error": "Current job has version"}
        (old,) = [each for each in self.versions if each["Version"] == body["JobVersion"]]
        self.versions.insert(0, {**old, "Version": len(self.versions)})
        return 200, {"EvalID": "e"}


async def test_nomad_goes_back_to_the_newest_stable_version_with_the_tag(tmp_path, monkeypatch):
    nomad = Nomad()
    nomad.deploy("1.4.0")
    nomad.deploy("1.4.1")
    with Platform(nomad) as played:
        monkeypatch.setenv("NOMAD_ADDR", played.url)
        monkeypatch.setenv("NOMAD_TOKEN", "secret")
        await goes_back(
            tmp_path,
            recipe("Nomad"),
            first="1.4.1",
            second="1.4.2",
            deploy=lambda: nomad.deploy("1.4.2", stable=False),
        )
    (revert,) = [body for method, _, body in nomad.asked if method == "POST"]
    assert revert == {"JobID": "shop", "JobVersion": 2, "EnforcePriorVersion": 3}


class Heroku:
    """An application's releases; one that goes back has the slug of another."""

    def __init__(self):
        self.releases, self.asked = [], []
        self.deploy("slug-a")

    def deploy(self, slug, status="succeeded"):
        number = len(self.releases) + 1
        about = {"id": f"id-{number}", "version": number, "status": status, "slug": slug and {"id": slug}}
        self.releases.insert(0, about)

    def __call__(self, method, path, body, headers):
        self.asked.append((method, path, body))
        if headers["Authorization"] != "Bearer secret":
            return 401, {"id": "unauthorized"}
        assert path == "/apps/shop/releases"
        if method == "POST":
            (old,) = [each for each in self.releases if each["id"] == body["release"]]
            self.deploy(old["slug"]["id"])
        return 200, self.releases


async def test_a_platform_goes_back_to_the_release_that_brought_the_code(tmp_path, monkeypatch):
    heroku = Heroku()
    heroku.deploy("slug-a")  # only a setting changed
    (tmp_path / "token").write_text("secret\n")

    def deploy():
        heroku.deploy("slug-b")
        heroku.deploy("slug-c", status="failed")

    with Platform(heroku) as played:
        lines = recipe("A platform's API").replace("/etc/rearguard/heroku-token", f"{tmp_path}/token")
        lines = lines.replace("env: {", f'env: {{HEROKU_API: "{played.url}", ')
        await goes_back(tmp_path, lines, first="v1", second="v3", deploy=deploy)
    (back,) = [body for method, _, body in heroku.asked if method == "POST"]
    assert back == {"release": "id-2"}


@pytest.mark.parametrize("name", ["nomad_release.py", "heroku_release.py"])
async def test_a_platform_that_refuses_is_one_line_without_the_token(tmp_path, name):
    (tmp_path / "token").write_text("secret\n")
    with Platform(lambda *_: (403, {"error": "no"})) as played:
        given = {"NOMAD_ADDR": played.url, "NOMAD_TOKEN": "secret", "HEROKU_API": played.url}
        words = ["shop", "web", "current"] if name.startswith("nomad") else ["shop", "current"]
        child = await asyncio.create_subprocess_exec(
            ROOT / "deploy/recipes" / name,
            *words,
            env={**os.environ, **given, "HEROKU_TOKEN_FILE": str(tmp_path / "token")},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await in_time(child.communicate(), 60)
    assert child.returncode == 1
    assert said.decode().count("\n") == 1
    assert "refused" in said.decode()
    assert "secret" not in said.decode()
