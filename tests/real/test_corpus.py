"""A cell of the published corpus of judgement comes out as the documents say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"waits to be switched to": "waits to be switched to (a warning is right)"}  # where the output says more
TABLE = ROOT / "docs" / "judgement.md"


def judged(*words):
    paths = os.pathsep.join([str(ROOT / "deploy" / "local"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "judgement", *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def published(kind):
    """Incidents, right, and seconds to decision (median, worst), as the table has them."""
    row = next(line for line in TABLE.read_text().splitlines() if line.startswith(f"| {kind} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:4]


def test_incidents_of_two_kinds_are_judged_as_the_table_says():
    """One kind of bad releases, and one of innocent ones that a controller without memory blamed."""
    for kind in ("one instance of four", "dependency fails, then one is gone"):
        told = next(line for line in judged("--kind", kind).splitlines() if line.startswith(kind))
        assert re.split(r" {2,}", told.removeprefix(kind).strip())[0:3][0:2] == published(kind)[0:2]
        times = re.search(r"(\d+, \d+)", told.removeprefix(kind))
        assert (times[1] if times else "") == published(kind)[2]


@pytest.mark.parametrize("kind", ["crash loop", "falls silent", "slow answers, x2 at 5/s", "waits to be switched to"])
def test_incidents_that_the_rules_find_are_found_as_the_table_says(kind):
    told = next(line for line in judged("--kind", KINDS.get(kind, kind)).splitlines() if line.startswith(kind))
    numbers = re.split(r" {2,}", told.removeprefix(KINDS.get(kind, kind)).strip())
    assert [*numbers, ""][:3] == published(kind)


def test_an_unknown_kind_is_told_with_those_that_there_are():
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "judgement", "--kind", "none"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'deploy/local'}{os.pathsep}{ROOT / 'tests'}"},
    )
    assert done.returncode == 1
    assert "There are: errors, " in done.stderr
