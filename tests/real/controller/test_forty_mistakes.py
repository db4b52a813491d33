"""The usual mistakes of the first hour, one row each: whoever makes one is told the cause and the cure.

Those that show only while a controller runs (a `current` that hangs, a refused delivery, a failed reload) stand in
`test_newcomers.py`.
"""

import contextlib
import json
import time
from pathlib import Path

import pytest
import yaml

from check.plain_words import nested
from real.controller.test_init import JOBS, pages
from real.prometheus import running
from rearguard_controller.cli import main

RULES = Path(__file__).resolve().parents[3] / "rules"
HEAD = """\
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}"}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies:
  standard: {{mode: act, known_good_after: 1m}}
targets:
  - name: orders
    match: {{service_name: orders, deployment_environment_name: production}}
    release:
      command:
        current: [./release, current]
        rollback: [./release, activate, "{{to_version}}"]
"""
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def folder(tmp_path):
    """A folder in which the file above is right."""
    (tmp_path / "release").write_text("#!/bin/sh\necho v1\n")
    (tmp_path / "release").chmod(0o755)
    for role in ("sender", "viewer", "operator"):
        (tmp_path / role).write_text(f"ann:{role}-0123456789abcdef\n")
        (tmp_path / role).chmod(0o600)
    return tmp_path


def told(folder, capsys, text, *words):
    (folder / "rearguard.yaml").write_text(text)
    code = main(["check", *words, "--config", str(folder / "rearguard.yaml")])
    done = capsys.readouterr()
    assert nested(done.out + done.err) == []
    return code, " ".join((done.out + done.err).split())


def test_without_a_mistake_nothing_is_told(folder, capsys):
    code, said = told(folder, capsys, HEAD.format(folder=folder, prometheus=NOWHERE))
    assert code == 0
    assert "Worth a look" not in said
    assert "hint" not in said


SECOND = """\
  - name: b
    match: {service_name: orders}
    release: {command: {current: [./release, current], rollback: [./release, "{to_version}"]}}
"""
# mistake -> what stands in the right file, what is written instead, the cause, the cure
IN_THE_FILE = {
    "indentation": (
        "    match:",
        "   match:",
        ":10: this is not YAML",
        "Put as many blanks before this line as before those",
    ),
    "a tab": ("    match:", "\tmatch:", ":10: this is not YAML", "Write blanks where a tab stands"),
    "a key misspelt": ("    match:", "    macth:", ":10: targets[0].macth: unknown key", "did you mean 'match'?"),
    "a value misspelt": ("mode: act", "mode: akt", ":7: policies.standard.mode", "it must be observe or ask or act"),
    "a unit": ("known_good_after: 1m", "known_good_after: 1min", ":7: policies.standard.known_good_after", "1m"),
    "no unit": (
        "known_good_after: 1m",
        "known_good_after: 60",
        ":7: policies.standard.known_good_after",
        "60s or 60m?",
    ),
    "a placeholder misspelt": (
        "{to_version}",
        "{version}",
        ":14: targets[0].release.command.rollback",
        "did you mean 'to_version'?",
    ),
    "an unquoted number": (
        "service_name: orders",
        "service_name: 7",
        ":10: targets[0].match.service_name",
        "quotes",
    ),
    "a command as text": (
        "current: [./release, current]",
        "current: ./release current",
        ":13: targets[0].release.command.current",
        "[",
    ),
    "a key twice": (
        "  - name: orders\n",
        "  - name: orders\n    name: shop\n",
        ":10: targets[0]: the key 'name' stands twice",
        "keep one of them",
    ),
    "no rollback in act": (
        '        rollback: [./release, activate, "{to_version}"]\n',
        "",
        "can only be observed, and the mode of policy standard is act",
        "set `mode: observe`",
    ),
    "user and password in the address": (
        f'"{NOWHERE}"',
        '"http://ann:secret@127.0.0.1:9"',
        ":4: prometheus.url: user and password do not belong into an address",
        "basic_auth: {username: ..., password_file: ...}",
    ),
    "basic auth on one line": (
        f'"{NOWHERE}"',
        f'"{NOWHERE}", username: ann',
        ":4: prometheus.username",
        "basic_auth",
    ),
    "no tokens": (
        "tokens: {sender: sender, viewer: viewer, operator: operator}\n",
        "",
        "No tokens are configured",
        "Set tokens.sender",
    ),
    "a token file that is not there": ("operator: operator", "operator: oprator", "oprator", "tokens.operator"),
    "no service at all": ("name: orders", "nme: orders", "targets[0].nme: unknown key", "did you mean 'name'?"),
    "a journal below the folder": (
        "sqlite://",
        "sqlite:./",
        ":2: journal: this is no journal",
        "write sqlite:// and an absolute path",
    ),
    "a rollback without a version": (
        ', "{to_version}"]',
        "]",
        "orders: `rollback` has no {to_version}, so it is not told which version to put back",
        'Add "{to_version}" to its arguments',
    ),
    "a program misspelt": (
        "[./release, current]",
        "[./releas, current]",
        "orders: `current` would fail, because ./releas is not there, or not executable",
        "looked for in",
    ),
    "two targets for one alert": (
        "targets:\n",
        f"targets:\n{SECOND}",
        "b and orders: an alert may match both",
        "add labels to `match` that tell them apart",
    ),
    "figures of another service": (
        "    release:\n",
        "    telemetry: {service_name: cart}\n    release:\n",
        "alerts of one service would be judged by figures of another",
        "Let both say the same",
    ),
}


@pytest.mark.parametrize("mistake", IN_THE_FILE)
def test_a_mistake_in_the_file_is_told_with_cause_and_cure(mistake, folder, capsys):
    right = HEAD.format(folder=folder, prometheus=NOWHERE)
    before, after, cause, cure = IN_THE_FILE[mistake]
    assert before in right
    _, said = told(folder, capsys, right.replace(before, after, 1))
    assert cause in said
    assert cure in said


def test_five_mistakes_are_told_at_once(folder, capsys):
    text = HEAD.format(folder=folder, prometheus=NOWHERE)
    five = ("mode: act", "listen: 127", "    match:", "sqlite://", "operator: operator")
    for part, wrong in zip(five, ("mode: akt", "listen: 127:", "    macth:", "sqlite:", "oprator: x"), strict=True):
        text = text.replace(part, wrong, 1)
    code, said = told(folder, capsys, text)
    assert code == 1
    for part in (
        ":2: journal",
        ":3: listen",
        ":5: tokens.oprator",
        ":7: policies.standard.mode",
        "[0].macth",
    ):
        assert part in said


# --- what only Prometheus can tell ------------------------------------------------------------------------------

TARGETS = {  # name -> its match
    "typo": "{service_name: order, deployment_environment_name: production}",
    "env": "{service_name: orders, deployment_environment_name: prod}",
    "extra": "{service_name: orders, namespace: shop}",
    "nover": "{service_name: nover, deployment_environment_name: production}",
    "unk": "{service_name: unk, deployment_environment_name: production}",
    "workers": "{service_name: workers, deployment_environment_name: production}",
    "quiet": "{service_name: quiet, deployment_environment_name: production}",
    "plain": "{job: inst}",
    "byjob": "{job: orders}",
}
NO_LABEL = "No alert of a trigger rule has the label job"
LIVE = [  # mistake, target, the cause, the cure
    (
        "match misspelt",
        "typo",
        'No target_info has service_name="order"; there are nover, orders,',
        "Correct `match`",
    ),
    (
        "environment misspelt",
        "env",
        'has deployment_environment_name="prod"; there are production.',
        "Correct `match`",
    ),
    (
        "a label too many",
        "extra",
        "No alert of a trigger rule has the label namespace",
        'Write service_name="orders"',
    ),
    ("no service_version", "nover", "service_version", "OTEL_RESOURCE_ATTRIBUTES=service.version"),
    ("version unknown", "unk", "service_version", "OTEL_RESOURCE_ATTRIBUTES=service.version"),
    ("workers on one port", "workers", "several processes", "Give each process a job and instance of its own"),
    ("scraped every 30 s", "quiet", "of job quiet is scraped every 30s", "Set scrape_interval of the job to 15s"),
    ("no target_info", "plain", NO_LABEL, "write a rule whose alerts have it"),
    ("match by job", "byjob", NO_LABEL, 'Write service_name="orders"'),
]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """What a live check says of targets that are each at fault, once Prometheus has seen enough."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "release").write_text("#!/bin/sh\necho v1\n")
    (folder / "release").chmod(0o755)
    release = '{command: {current: [./release, current], rollback: [./release, activate, "{to_version}"]}}'
    rules = [str(each) for each in RULES.glob("*.yml") if each.name != "controller.yml"]
    with pages() as port:
        jobs = [
            {
                "job_name": name,
                "metrics_path": f"/{name}",
                "scrape_interval": "30s" if name == "quiet" else "1s",
                "scrape_timeout": "1s",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
            for name in JOBS
        ]
        settings = {"rule_files": rules, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        with running(folder) as address:
            head = HEAD.format(folder=folder, prometheus=address).partition("targets:\n")[0]
            targets = "".join(
                f"  - {{name: {name}, match: {match}, release: {release}}}\n" for name, match in TARGETS.items()
            )
            file = folder / "rearguard.yaml"
            file.write_text(head.replace("tokens:", "# ") + "targets:\n" + targets)
            yield file, address


def found(file, out):
    with contextlib.redirect_stdout(out):
        main(["check", "--live", "--json", "--config", str(file)])
    findings = json.loads(out.getvalue())["live"]
    assert [sentence for each in findings for sentence in nested(f"{each['about']}: {each['said']}")] == []
    return {name: " ".join(each["said"] for each in findings if name in each["about"]) for name in TARGETS}


@pytest.mark.soak  # workers on one port show only after some scrapes
def test_what_prometheus_shows_of_a_mistake_is_told_with_cause_and_cure(live):
    import io  # noqa: PLC0415  # the answer of a command that runs in this process

    file, _ = live
    deadline = time.monotonic() + 120
    while True:
        said = found(file, io.StringIO())
        lacking = [row for row in LIVE if row[2] not in said[row[1]] or row[3] not in said[row[1]]]
        if not lacking:
            return
        assert time.monotonic() < deadline, [(row, said[row[1]]) for row in lacking]
        time.sleep(1)


@pytest.mark.parametrize(
    ("address", "cause", "cure"),
    [
        (NOWHERE, "127.0.0.1:9", "Is Prometheus running, and prometheus.url right?"),
        ("{}/prometheus", "404", "Is /prometheus the path prefix there?"),
        ("{}/api/v1", "404", "must be the base address"),
    ],
)
def test_an_address_that_is_wrong_is_told_with_cause_and_cure(live, folder, capsys, address, cause, cure):
    text = HEAD.format(folder=folder, prometheus=address.format(live[1]))
    code, said = told(folder, capsys, text, "--live")
    assert code == 1
    assert cause in said
    assert cure in said


def test_rules_that_are_not_loaded_are_told_by_their_file(tmp_path, folder, capsys):
    place = tmp_path / "prometheus"
    place.mkdir()
    rules = [str(each) for each in RULES.glob("*.yml") if each.name != "thresholds.yml"]
    (place / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": rules, "scrape_configs": []}))
    with running(place) as address:
        _, said = told(folder, capsys, HEAD.format(folder=folder, prometheus=address), "--live")
    assert "No rule of rules/thresholds.yml is loaded: name the file in `rule_files` of Prometheus" in said
    assert "No rule of rules/recording.yml" not in said
