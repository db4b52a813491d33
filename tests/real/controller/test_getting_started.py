"""docs/getting-started.md, line by line: what it says to type leads to a true sentence within few words."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from local_stack.binaries import environment, find
from local_stack.process import Program, free_ports
from real.controller.test_init import pages

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "getting-started.md").read_text(encoding="utf-8")
MOST_WORDS = 1200  # that are read before the first true sentence
TYPED = [
    "python3 -m venv .venv",
    ".venv/bin/pip install '.[controller]'",
    ". .venv/bin/activate",
    "rearguard init --prometheus http://127.0.0.1:9090",
    'kill -HUP "$(pidof prometheus)"',
    "cd rearguard",
    "rearguard serve",
    ". ../.venv/bin/activate",
    "REARGUARD_TOKEN_FILE=tokens/operator rearguard status",
    "rearguard check --live",
]


def test_the_guide_is_short_and_has_these_lines():
    assert re.findall(r"^\$ (.+)$", GUIDE, re.MULTILINE) == TYPED
    before = GUIDE[: GUIDE.index("serves since")]
    assert len(before.split()) <= MOST_WORDS


def test_after_init_two_commands_of_ours_are_typed_and_no_file_is_written_by_hand():
    before = GUIDE[: GUIDE.index("serves since")]
    after = before[before.index("rearguard init") :]
    assert re.findall(r"^\$ (?:\S+=\S+ )?(rearguard \w+)", after, re.MULTILINE) == [
        "rearguard serve",
        "rearguard status",
    ]
    assert re.findall(r"^```(?!console|text)\w+|^\$ .*>", after, re.MULTILINE) == []


@pytest.fixture
def prometheus(tmp_path):
    """A Prometheus with one job, whose program can be told to read its file again."""
    port = free_ports(1)[0]
    with pages() as scraped:
        job = {
            "job_name": "orders",
            "metrics_path": "/orders",
            "scrape_interval": "1s",
            "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}],
        }
        file = tmp_path / "prometheus.yml"
        file.write_text(yaml.safe_dump({"scrape_configs": [job]}))
        words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
        program = Program(
            "prometheus",
            [find("prometheus"), *words],
            folder=tmp_path,
            log=tmp_path / "log",
            ready_url=f"http://127.0.0.1:{port}/-/ready",
            environment=environment(),
        )
        try:
            program.start()
            yield f"http://127.0.0.1:{port}", file, program
        finally:
            program.kill()


def test_its_commands_lead_to_the_first_true_sentence(prometheus, tmp_path):
    address, file, program = prometheus
    home, port = tmp_path / "clone", free_ports(1)[0]
    home.mkdir()
    deadline = time.monotonic() + 150
    where = {"PATH": os.environ["PATH"], "HOME": str(home), "REARGUARD_URL": f"http://127.0.0.1:{port}"}

    def typed(line, folder):
        """What a line of the guide answers; the port is one that is free here."""
        line = line.replace("http://127.0.0.1:9090", f"{address} --listen 127.0.0.1:{port}")
        line = re.sub(r"\brearguard (?=init|status|check)", f"'{sys.executable}' -m rearguard_controller ", line)
        return subprocess.run(["sh", "-c", line], cwd=folder, env=where, capture_output=True, text=True, check=False)

    init, status, live = TYPED[3], TYPED[8], TYPED[9]
    while (done := typed(init, home)).returncode:
        assert "shows no service" in done.stderr, done.stderr  # it was not scraped yet
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "orders" in done.stdout
    folder = home / "rearguard"
    mine, snippet = yaml.safe_load(file.read_text()), yaml.safe_load((folder / "prometheus-snippet.yml").read_text())
    mine["scrape_configs"] += snippet["scrape_configs"]
    file.write_text(yaml.safe_dump({**mine, "rule_files": snippet["rule_files"]}))
    os.kill(program.pid, signal.SIGHUP)
    with (tmp_path / "served").open("wb") as log:
        serving = subprocess.Popen(
            [sys.executable, "-m", "rearguard_controller", "serve"], cwd=folder, stdout=log, stderr=log, env=where
        )
    try:
        while True:
            done = typed(status, folder)
            said = " ".join(done.stdout.split())
            if "orders: v1 serves since" in said and "Measured now: " in said:
                break
            assert time.monotonic() < deadline, (done.stdout, done.stderr, (tmp_path / "served").read_text()[-2000:])
            time.sleep(0.5)
        assert "nothing is put back (mode observe)" in said
        assert "orders: Prometheus says that v1 serves." in typed(live, folder).stdout
    finally:
        serving.terminate()
        serving.wait(30)
