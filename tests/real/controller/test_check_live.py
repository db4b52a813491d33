"""`rearguard check --live` of targets with commands: programs, hosts, receivers, and sources that are away."""

import json
import socket

from real.controller.test_cli import rearguard, write

HOOKS = """    hooks:
      before:
        - {name: drain, command: [./drain]}
        - {name: save, http: {method: POST, url: "http://127.0.0.1:9/save"}}
notify: [{name: chat, url: "http://127.0.0.1:9/"}]
alertmanager: {url: "http://127.0.0.1:9"}
"""


def findings(done):
    return [(each["weight"], each["about"], each["said"]) for each in json.loads(done.stdout)["live"]]


def test_everything_that_is_missing_is_told_at_once_and_the_exit_code_is_1(tmp_path):
    write(tmp_path)
    file = tmp_path / "rearguard.yaml"
    file.write_text(file.read_text() + HOOKS)
    (tmp_path / "release").chmod(0o644)
    done = rearguard("check", "--live", "--json", "--config", str(file))
    assert (done.returncode, done.stderr) == (1, "")
    found = findings(done)
    for weight, about, said in (
        ("blocks", "Prometheus", "Is Prometheus running, and prometheus.url right?"),
        ("blocks", "checkout", "`current` gives no version"),
        (
            "blocks",
            "checkout",
            "The rollback command could not be started: ./release is not there, or not executable",
        ),
        ("blocks", "checkout", "Hook drain: ./drain is not there"),
        ("blocks", "checkout", "Hook save: 127.0.0.1 cannot be connected to"),
        ("look", "Alertmanager", "Is Alertmanager running, and alertmanager.url right?"),
        ("look", "notify", "Notices to chat would not arrive"),
    ):
        assert any((weight, about) == each[:2] and said in each[2] for each in found), (said, found)
    assert len([each for each in found if each[1] == "Prometheus"]) == 1
    assert not (tmp_path / "journal.db").exists()


def test_a_check_without_live_asks_nobody_and_a_live_one_prints_lines_below_headings(tmp_path):
    write(tmp_path)
    file = tmp_path / "rearguard.yaml"
    plain = rearguard("check", "--config", str(file))
    assert plain.returncode == 0
    assert "Live" not in plain.stdout
    done = rearguard("check", "--live", "--config", str(file))
    assert done.returncode == 1
    assert done.stdout.startswith(plain.stdout.rstrip("\n"))
    assert "\nLive: in the way of a rollback\nPrometheus: " in done.stdout
    assert "\nLive: good\ncheckout: `current` says that v2 serves.\n" in done.stdout


def test_a_prometheus_that_never_answers_is_said_once_and_soon(tmp_path):
    write(tmp_path)
    file = tmp_path / "rearguard.yaml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file.write_text(file.read_text().replace("127.0.0.1:9", f"127.0.0.1:{silent.getsockname()[1]}"))
        done = rearguard("check", "--live", "--json", "--config", str(file))  # has 30 s
    said = [each for each in findings(done) if each[1] == "Prometheus"]
    assert len(said) == 1
    assert "did not answer within 5 s" in said[0][2]
