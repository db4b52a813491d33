"""What the commands print and the log writes in the first hour: one clock, sentences of one colon, no zeros counted.

Asked in a far time zone, of a controller that rolled back once, was disarmed, and lacks almost everything else.
"""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from check.plain_words import nested
from real.controller.test_cli import rearguard, serving, write

MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(\S?)")
ZEROS = re.compile(r"\b0 (?:times|of them|changes|targets|services|releases)\b|, and 0 \w+")
COMMANDS = [
    ["status"],
    ["history"],
    ["decisions"],
    ["audit"],
    ["releases", "checkout"],
    ["explain", "checkout"],
    ["drill", "checkout", "--history"],
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each command printed, and the lines of the log."""
    folder = tmp_path_factory.mktemp("clock")
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"  # of the controller, which inherits it
    try:
        url = write(folder)
        with serving(folder, url):
            operator = folder / "operator"
            begun = rearguard(
                "rollback", "checkout", "--to", "v1", "--force", "--reason", "try", url=url, token=operator
            )
            assert begun.returncode == 0, begun.stderr
            until = f"{datetime.now(UTC) + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
            words = ("disarm", "checkout", "--until", until, "--reason", "a fix is on its way")
            done = rearguard(*words, url=url, token=operator)
            assert done.returncode == 0, done.stderr
            said = {" ".join(each): rearguard(*each, url=url, token=operator) for each in COMMANDS}
            said["rollback"], said["disarm"] = begun, done
        yield {name: each.stdout + each.stderr for name, each in said.items()}, (folder / "log").read_text()
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before


def test_every_time_is_in_utc_and_says_so(outputs):
    said, _ = outputs
    now = datetime.now(UTC)
    seen = 0
    for name, text in said.items():
        for found in MOMENT.finditer(text):
            seen += 1
            assert found[1] == "Z", (name, found[0])
            told = datetime.fromisoformat(found[0].removesuffix("Z")).replace(tzinfo=UTC)
            assert abs(told - now) < timedelta(hours=3), (name, found[0])  # Tokyo is nine away
    assert seen > len(COMMANDS)


def test_no_sentence_has_two_colons_and_none_counts_zeros(outputs):
    said, _ = outputs
    facts = re.compile(r"^\s*= .*$", re.MULTILINE)  # of explain: names and values, which are no sentence
    found = {name: nested(facts.sub("", text)) for name, text in said.items()}
    assert {name: sentences for name, sentences in found.items() if sentences} == {}
    assert {name: ZEROS.findall(text) for name, text in said.items() if ZEROS.search(text)} == {}


def test_the_log_is_json_where_it_goes_to_a_file(outputs):
    _, log = outputs
    lines = [json.loads(each) for each in log.splitlines()]
    assert lines
    assert all(each["@timestamp"].endswith("Z") for each in lines)


def test_the_log_is_text_on_a_terminal(tmp_path):
    write(tmp_path)
    master, terminal = pty.openpty()
    words = [sys.executable, "-m", "rearguard_controller", "serve", "--config", str(tmp_path / "rearguard.yaml")]
    process = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen, deadline = b"", time.monotonic() + 60
    try:
        while b"ready" not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([master], [], [], 1)[0]:
                seen += os.read(master, 65536)
    finally:
        process.terminate()
        process.wait(30)
        os.close(master)
    assert b"{" not in seen.partition(b"ready")[0]
    assert re.search(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", seen)
