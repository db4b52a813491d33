"""The commands of `rearguard` against `rearguard serve`, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time

import requests

RELEASE = """#!/bin/sh
cd "$(dirname "$0")"
case "$1" in current) cat current ;; activate) echo "$2" > current; printf 'to \\033[31m%s\\n' "$2" ;; esac
"""
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:{port}
open: [metrics]
prometheus: {{url: "http://127.0.0.1:9", poll_interval: 1s}}
{tokens}
policies: {{standard: {{mode: act}}}}
targets:
  - name: checkout
    match: {{service_name: checkout}}
    release: {{command: {{current: [./release, current], rollback: [./release, activate, "{{to_version}}"]}}}}
"""
TOKENS = "tokens: {sender: sender, viewer: viewer, operator: operator}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(folder, tokens=TOKENS):
    release = folder / "release"
    release.write_text(RELEASE)
    release.chmod(0o755)
    (folder / "current").write_text("v2\n")
    for role in ("sender", "viewer", "operator"):
        (folder / role).write_text(f"ann:{role}-token\n")
    port = free_port()
    (folder / "rearguard.yaml").write_text(CONFIGURATION.format(folder=folder, port=port, tokens=tokens))
    return f"http://127.0.0.1:{port}"


def rearguard(*words, url=None, token=None, **more):
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TZ": "UTC"}
    if url is not None:
        environment["REARGUARD_URL"] = url
    if token is not None:
        environment["REARGUARD_TOKEN_FILE"] = str(token)
    command = [sys.executable, "-m", "rearguard_controller", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False, **more)


@contextlib.contextmanager
def serving(folder, url, *flags, limit=None):
    def restrict():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "rearguard_controller", "serve", "--config", str(folder / "rearguard.yaml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *flags],
            stdout=log,
            stderr=subprocess.STDOUT if limit is None else subprocess.DEVNULL,  # a log would meet the limit, too
            start_new_session=True,
            preexec_fn=restrict,  # noqa: PLW1509  # one thread here
        )
    try:
        deadline = time.monotonic() + 15
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(url + "/healthz", timeout=30).ok:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(15)


def test_a_rollback_by_hand_from_the_command_line_is_told_from_beginning_to_end(tmp_path):
    url = write(tmp_path)
    with serving(tmp_path, url) as process:

        def run(*words, role="operator", code=0):
            done = rearguard(*words, url=url, token=tmp_path / role)
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr
            assert "\033" not in done.stdout
            return done.stdout if code == 0 else done.stderr

        deadline = time.monotonic() + 10
        while "v2" not in run("status", role="viewer"):
            assert time.monotonic() < deadline
        assert "v1" in run("release", "checkout", "v1", "--good")
        assert "known_good_exists" in run("rollback", "checkout", "--reason", "try", "--dry-run")
        assert (tmp_path / "current").read_text() == "v2\n"
        answer = json.loads(run("rollback", "checkout", "--reason", "v2 is slow", "--json"))
        found = answer["rollback_id"]
        while json.loads(run("show", found, "--json", role="viewer"))["phase"] != "closed":
            assert time.monotonic() < deadline
        assert (tmp_path / "current").read_text() == "v1\n"
        shown = run("show", found, "--full", role="viewer")
        assert "completed" in shown
        assert "to \\x1b[31mv1" in shown
        assert found in run("history", "--target", "checkout", role="viewer")
        assert answer["decision_id"] in run("decisions", role="viewer")
        for name in (found, answer["decision_id"], "checkout"):
            told = json.loads(run("explain", name, "--json", role="viewer"))
            assert told["id"] == answer["decision_id"]
        told = run("explain", found, role="viewer")
        reasons = json.loads(run("explain", found, "--json"))["reasons"]
        order = [each["code"] for each in reasons if each["holds"] is not None]  # what applies to a person's request
        assert [
            line.split()[0] for line in told.splitlines() if line.split()[:1] and line.split()[0] in order
        ] == order
        assert "disarmed" in run("disarm", "--all", "--until", "2h", "--reason", "drill")
        assert "disarmed until" in run("status", role="viewer")
        assert "armed" in run("arm", "checkout")
        told = run("audit", "--subject", "checkout", "--limit", "3", role="viewer").splitlines()
        assert [line.split()[3] for line in told[1:4]] == ["arm", "disarm", "trigger"]
        assert "--before" in told[-1]  # the release that was marked is on the next page
        assert "v2 is slow" in told[3]
        kept = json.loads(run("audit", "--json", role="viewer"))["actions"]
        assert {each["operator"] for each in kept} == {"ann"}
        assert kept[-1]["reason"] == "v1: good"
        for late in ("approve", "veto", "abort"):
            assert "too late" in run(late, found, "--reason", "late", code=1)
        assert "needs operator" in run("arm", "checkout", role="viewer", code=1)
        assert "hint:" in run("explain", "nothing", code=1)
        assert "recovered, not_recovered" in run("history", "--outcome", "great", code=1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_a_missing_or_wrong_token_is_told_with_the_way_out(tmp_path):
    url = write(tmp_path)
    (tmp_path / "wrong").write_text("ann:other\n")
    with serving(tmp_path, url):
        for token in (None, tmp_path / "wrong"):
            done = rearguard("status", url=url, token=token)
            assert (done.returncode, done.stdout) == (1, "")
            assert "REARGUARD_TOKEN_FILE" in done.stderr


def test_without_tokens_it_serves_on_loopback_only_and_only_when_told_so(tmp_path):
    url = write(tmp_path, tokens="")
    file = str(tmp_path / "rearguard.yaml")
    refused = rearguard("serve", "--config", file)
    assert refused.returncode == 1
    assert "--insecure" in refused.stderr
    assert "Traceback" not in refused.stderr
    with serving(tmp_path, url, "--insecure"):
        assert rearguard("status", url=url).returncode == 0
    text = (tmp_path / "rearguard.yaml").read_text()
    (tmp_path / "rearguard.yaml").write_text(text.replace("listen: 127.0.0.1", "listen: 0.0.0.0"))
    refused = rearguard("serve", "--config", file, "--insecure")
    assert refused.returncode == 1
    assert "loopback" in refused.stderr


def test_an_address_that_is_taken_is_told_in_words(tmp_path):
    url = write(tmp_path)
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        done = rearguard("serve", "--config", str(tmp_path / "rearguard.yaml"))
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_port_0_the_ready_line_names_the_port_that_was_taken(tmp_path):
    write(tmp_path)
    file = tmp_path / "rearguard.yaml"
    file.write_text(re.sub(r"(listen: 127\.0\.0\.1):\d+", r"\1:0", file.read_text()))
    command = [sys.executable, "-m", "rearguard_controller", "serve", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            ready = next(json.loads(line) for line in process.stderr if "ready" in line)
            assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", ready["rearguard.listen"])
            assert requests.get(f"http://{ready['rearguard.listen']}/healthz", timeout=30).ok
        finally:
            process.terminate()
            process.communicate(timeout=15)


def test_a_full_disk_is_a_503_that_alertmanager_retries_and_the_service_lives_on(tmp_path):
    url = write(tmp_path)
    sender = {"Authorization": "Bearer sender-token"}
    padding = "x" * 60_000
    body = {
        "version": "4",
        "alerts": [{"status": "firing", "labels": {"alertname": f"A{number}", "x": padding}} for number in range(10)],
    }
    with serving(tmp_path, url, limit=4 << 20):
        codes = []
        while 503 not in codes:
            answer = requests.post(url + "/webhook/alertmanager", json=body, headers=sender, timeout=20)
            codes.append(answer.status_code)
            assert len(codes) < 100, "the limit was never met"
        assert codes[0] == 202
        assert answer.headers["Retry-After"] == "5"
        assert answer.json()["error"]["code"] == "unavailable"
        ready = requests.get(url + "/readyz", timeout=30)
        assert (ready.status_code, ready.json()["webhook_stored"]) == (503, False)
        assert requests.get(url + "/healthz", timeout=30).status_code == 200
        shown = requests.get(url + "/metrics", timeout=30).text.splitlines()
        assert 'rearguard_webhook_requests_total{code="503"} 1.0' in shown
        assert "rearguard_journal_errors_total 1.0" in shown
