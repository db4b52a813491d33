"""The example of docs/client.md: strictly typed, and right against a running controller."""

import os
import re
import subprocess
import sys

from check.documents import ROOT, table_after
from real.controller.running import controller
from real.controller.served import OPERATOR
from rearguard_controller.client import Client

PAGE = (ROOT / "docs/client.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs_against_a_controller(tmp_path):
    with controller(tmp_path) as url:
        environment = {**os.environ, "REARGUARD_URL": url, "REARGUARD_TOKEN": OPERATOR.removeprefix("Bearer ")}
        command = [sys.executable, "-c", EXAMPLE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        serves, plan, refused = done.stdout.splitlines()
        (target,) = Client(url, OPERATOR.removeprefix("Bearer ")).status()["targets"]
    assert re.fullmatch(r"checkout: (v2|an unknown version), (armed|disarmed)", serves)
    assert plan.startswith("in the way: [")
    assert refused.startswith("404 ")
    assert "checkout" in refused
    assert target["armed_reason"] == "the load test is over"


def test_the_example_and_a_mistake_in_it_are_checked_strictly(tmp_path):
    for name, text in (("good", EXAMPLE), ("bad", EXAMPLE.replace('["serving_version"]', '["serving_versoin"]'))):
        (tmp_path / f"{name}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        ROOT / ".mypy_cache/example",
        "--config-file=",
    ]
    environment = {**os.environ, "MYPYPATH": f"{ROOT / 'controller'}:{ROOT / 'exporter'}"}
    said = {}
    for name in ("good", "bad"):
        done = subprocess.run(
            [*command, tmp_path / f"{name}.py"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        said[name] = (done.returncode, done.stdout)
    assert said["good"][0] == 0, said["good"][1]
    assert said["bad"][0] == 1
    assert '"serving_versoin"' in said["bad"][1]


def test_the_page_names_each_method_with_its_arguments():
    rows = table_after(PAGE, "## Methods")
    named = {name for row in rows for name in re.findall(r"`(\w+)\(", row[0])}
    assert named == {name for name in vars(Client) if not name.startswith("_")} - {"address"}
