"""The examples as a person meets them: `make example NAME=...` starts one, status tells the truth, Ctrl-C ends it."""

import os
import re
import signal
import subprocess
import time

import pytest
import yaml

from local_stack.binaries import ROOT
from local_stack.example import names

STARTS, SPEAKS, ENDS = 180, 240, 60  # seconds; the machine may be busy
MAKE = ["make", "--silent", "-o", ".venv/.ready", "example"]


def asked(*words):
    return subprocess.run([*MAKE, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=STARTS)


def test_the_three_frameworks_have_a_short_folder_each():
    assert set(names()) >= {"django", "fastapi", "flask"}
    for name in names():
        folder = ROOT / "examples" / name
        assert len((folder / "README.md").read_text().splitlines()) <= 25
        (policy,) = yaml.safe_load((folder / "rearguard.yaml").read_text())["policies"].values()
        assert policy["mode"] == "observe"


@pytest.mark.parametrize("words", [["NAME=rails"], []])
def test_a_wrong_name_says_which_examples_exist(words):
    done = asked(*words)
    assert done.returncode != 0
    for name in names():
        assert name in done.stderr


def printed(program, file, pattern):
    """The match in what a program has printed so far, as soon as there is one."""
    deadline = time.monotonic() + STARTS
    while not (found := re.search(pattern, file.read_text(), re.DOTALL)):
        assert program.poll() is None, file.read_text()
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.2)
    return found


def told(lines, service, deadline):
    """What status says of a service, once something of it was measured."""
    while True:
        done = subprocess.run(["sh", "-c", lines], capture_output=True, text=True, check=False, timeout=60)
        said = " ".join(done.stdout.split())
        if done.returncode == 0 and f"{service}: " in said and "Measured now: ReleaseDown" in said:
            return said
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(1)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "service", "version"),
    [("fastapi", "orders", "1.0.0"), ("flask", "cart", "2026-11-30"), ("django", "catalogue", "3f9c2e1")],
)
def test_an_example_starts_speaks_the_truth_and_ends(name, service, version, tmp_path):
    file = tmp_path / "printed"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with file.open("w") as out:
        program = subprocess.Popen(
            [*MAKE, f"NAME={name}"], cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        lines = printed(program, file, r"(export REARGUARD_URL=.*?status)\s*\n")[1]
        said = told(lines, service, time.monotonic() + SPEAKS)
        assert f"{service}: {version} serves since" in said
        assert "Measured now: ReleaseDown 1 (threshold < 1)" in said, "its one instance is up"
        assert "nothing is put back (mode observe)" in said
    finally:
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does it
        code = program.wait(timeout=ENDS)
    assert code in {0, 2, -signal.SIGINT}, file.read_text()  # make says that it was interrupted
    assert not list(tmp_path.glob("rearguard-example-*"))
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert left.stdout == "", "no process is left"
