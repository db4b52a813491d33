"""The benchmarks run: every part ends and prints its rows. What they measure is asked for on a quiet machine only.

A beacon and the workers' scrape are the exceptions: they are ratios of processor times, which hold on any machine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
ROWS = {  # figures with a goal that each part prints, and sections that they stand in
    "controller/accept": (6, 2),
    "controller/command": (1, 1),
    "controller/storm": (10, 2),
    "controller/history": (4, 1),
    "controller/failover": (1, 1),
    "controller/workloads": (4, 1),
    "controller/pages": (7, 3),
    "controller/fleet": (20, 2),
    "exporter/overhead": (11, 2),
    "exporter/apm": (0, 1),
    "exporter/queries": (3, 1),
    "exporter/exposition": (5, 2),
    "exporter/workers": (4, 2),
    "exporter/junk": (4, 2),
    "exporter/beacons": (3, 1),
}


def test_every_part_of_the_benchmarks_is_tried_here():
    parts = {
        f"{file.parent.name}/{file.stem}" for file in BENCH.glob("*/*.py") if "def run(report)" in file.read_text()
    }
    assert parts == set(ROWS)


@pytest.mark.soak
@pytest.mark.timeout(480)  # a machine under load only takes longer
@pytest.mark.parametrize("part", sorted(ROWS))
def test_a_part_of_the_benchmarks_ends_and_prints_its_rows(part):
    folder, name = part.split("/")
    done = subprocess.run(
        [sys.executable, BENCH / folder, "--brief", name],
        capture_output=True,
        text=True,
        timeout=470,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(BENCH.parent / "deploy/local"), str(BENCH.parent / "tests")]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    goals, sections = ROWS[part]
    assert sum("  goal " in line for line in lines) == goals, done.stdout
    assert sum(line.startswith("== ") for line in lines) == sections
    assert lines[-1].startswith(("every goal met", "not met: "))


@pytest.mark.soak
@pytest.mark.parametrize("framework", ["ASGI", "WSGI", "aiohttp, more than a bare 204"])
def test_a_beacon_is_answered_within_twenty_times_the_floor(framework):
    def ratio():
        command = [sys.executable, BENCH / "exporter/beacons.py", framework, "40"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    assert min(ratio() for _ in range(3)) < 20  # whatever else the machine does only makes it slower


@pytest.mark.soak
@pytest.mark.timeout(480)
def test_a_scrape_after_a_thousand_workers_were_replaced_is_no_slower_than_with_sixteen(tmp_path):
    command = [sys.executable, BENCH / "exporter/workers.py", "ours", tmp_path, json.dumps([16, 1000, 40])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=470, check=True)
    *_, alone, after = json.loads(done.stdout.splitlines()[-1])  # processor time, measured in turns
    assert after / alone < 1.1
