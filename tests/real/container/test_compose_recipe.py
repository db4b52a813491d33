"""The recipe of docs/recipes.md for compose, with real podman and podman-compose."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from real.container.engine import base_name
from real.controller.test_recipes import goes_back, recipe

pytestmark = pytest.mark.soak
COMPOSE = """
services:
  shop:
    image: localhost/rearguard-recipe:${SHOP_VERSION}
    command: [sleep, infinity]
    network_mode: host
    stop_grace_period: 0s
"""


@pytest.fixture
def project(engine, tmp_path, monkeypatch):
    """A compose project of one service whose version 1.4.1 runs, and two images of it."""
    with engine.alone():
        engine.make_base()
    for tag in ("1.4.1", "1.4.2"):
        engine.run("tag", base_name(), f"localhost/rearguard-recipe:{tag}")
    tools = tmp_path / "tools"
    tools.mkdir()
    real = shutil.which("podman")
    words = shlex.join(map(str, engine.command()[1:]))
    (tools / "podman").write_text(f'#!/bin/sh\nexec {real} {words} "$@"\n')
    (tools / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CONTAINERS_CONF", str(engine.settings))
    folder = tmp_path / f"shop-{tmp_path.name}"
    folder.mkdir()
    (folder / "compose.yaml").write_text(COMPOSE)
    yield folder
    subprocess.run(
        ["podman-compose", "down", "--timeout=0"], cwd=folder, check=False, capture_output=True, timeout=120
    )


def deploy(folder, version):
    (folder / ".env").write_text(f"KEPT=1\nSHOP_VERSION={version}\n")
    subprocess.run(["podman-compose", "up", "-d"], cwd=folder, check=True, capture_output=True, timeout=120)


async def test_a_compose_service_goes_back_and_the_rest_of_its_settings_stay(project, tmp_path):
    deploy(project, "1.4.1")
    lines = recipe("Compose").replace("/srv/shop", str(project))
    lines += (
        f"    env: {{ENGINE: podman, COMPOSE: podman-compose, CONTAINERS_CONF: {os.environ['CONTAINERS_CONF']}}}\n"
    )
    place = tmp_path / "controller"
    place.mkdir()
    await goes_back(place, lines, first="1.4.1", second="1.4.2", deploy=lambda: deploy(project, "1.4.2"))
    assert (project / ".env").read_text() == "KEPT=1\nSHOP_VERSION=1.4.1\n"


def test_what_cannot_be_started_is_refused_and_changes_nothing(project):
    deploy(project, "1.4.1")
    program = Path(__file__).resolve().parents[3] / "deploy/recipes/compose_release"
    environment = {**os.environ, "ENGINE": "podman", "COMPOSE": "podman-compose"}
    for version in ("1.5.0", "", "-rf", "a/b"):
        words = [program, project, "shop", "SHOP_VERSION", "activate", version]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode in {1, 2}
        assert done.stderr.startswith("compose_release: ")
    assert (project / ".env").read_text() == "KEPT=1\nSHOP_VERSION=1.4.1\n"
