"""The configuration of the stand-alone exporter: what is right, and what every error says and does not say."""

import os
import re
from pathlib import Path

import pytest
import trustme

from rearguard_exporter.standalone.config.configuration import load
from rearguard_exporter.standalone.config.keys import SECTIONS, tables
from rearguard_exporter.standalone.config.web import load_web
from rearguard_exporter.standalone.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
SECRET = "hunter2"
DSN = f"postgresql://watcher:{SECRET}@db.example.com/orders"


@pytest.fixture(autouse=True)
def _no_service(monkeypatch):
    for name in ("REARGUARD_SERVICE", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "REARGUARD_VERSION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def read(tmp_path):
    file = tmp_path / "exporter.yaml"

    def parsed(text):
        file.write_text(text)
        return load(file)

    return parsed


def failure(read, text):
    with pytest.raises(ConfigError) as raised:
        read(text)
    said = str(raised.value)
    assert SECRET not in said, said
    assert "db.example.com" not in said, said
    return said


def test_everything_at_once(read, tmp_path):
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "VERSION").write_text("1.4.2\n")
    found = read(
        """
        service: checkout
        version_file: VERSION
        environment: production
        listen: 0.0.0.0:9500
        process: {systemd_unit: checkout.service, interval: 10s}
        probes:
          - {name: home, url: "https://shop.example.com/", statuses: [200, 204], timeout: 500ms}
        databases:
          - {name: orders, dsn: "postgresql://watcher@db/orders", password_file: password, interval: 1m30s}
        """
    )
    assert (found.identity.service, found.identity.version, found.identity.environment) == (
        "checkout", "1.4.2", "production",
    )  # fmt: skip
    assert found.listen == ("0.0.0.0", 9500)
    assert (found.process.way, found.process.value, found.process.interval) == (
        "systemd_unit",
        "checkout.service",
        10,
    )
    assert (found.probes[0].statuses, found.probes[0].timeout) == ({200, 204}, 0.5)
    assert (found.databases[0].password, found.databases[0].interval) == (SECRET, 90)
    assert {file.name for file in found.files} == {"exporter.yaml", "password", "VERSION"}
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("service: a\nlisten: 1\n", 2, "listen", "it must be host:port: write it in quotes"),
        ("service: a\nlisten: nowhere\n", 2, "listen", "such as 127.0.0.1:9464"),
        ("service: a\nproces: {pid: 1}\n", 2, "proces", "did you mean 'process'?"),
        ("service: a\nprocess: {pid: 1, name: x}\n", 2, "process", "only one of these keys may be there"),
        ("service: a\nprocess:\n  interval: 5s\n", 2, "process", "write one of pid, pid_file, name"),
        ("service: a\nprocess: {pid: 0}\n", 2, "process.pid", "a whole number from 1"),
        ("service: a\nprocess: {pid: 1}\nprocess: {pid: 2}\n", 3, "process", "this key stands twice"),
        ("process: {pid: 1}\n", 1, "", "the key 'service' is missing"),
        ("service: a\n", 1, "", "nothing is watched"),
        ("service: a\nprobes:\n- name: x\n  url: ftp://x/\n", 4, "probes[0].url", "http:// or https://"),
        ("service: a\nprobes:\n- name: x\n  ulr: http://x/\n", 4, "probes[0].ulr", "did you mean 'url'?"),
        ("service: a\nprobes:\n- {name: x, url: http://x/, timeout: 5}\n", 3, "probes[0].timeout", "have a unit"),
        ("service: a\nprobes:\n- {name: x, url: http://x/, timeout: 1h}\n", 3, "probes[0].timeout", "100ms to 1m"),
        ("service: a\nprobes:\n- {name: x, url: http://x/, interval: 1ms}\n", 3, "probes[0].interval", "from 1s"),
        ("service: a\nprobes:\n- {name: 'x y', url: http://x/}\n", 3, "probes[0].name", "letters, digits"),
        ("service: a\ndatabases:\n- {name: x}\n", 3, "databases[0]", "write one of dsn, dsn_file"),
        (f"service: a\ndatabases: {DSN}\n", 2, "databases", "it must be a list"),
        (f"service: a\ndatabases:\n- {DSN}\n", 3, "databases[0]", "it must be a mapping"),
        (f"service: a\ndatabases:\n- {{name: x, dsn: [{SECRET}]}}\n", 3, "databases[0].dsn", "it must be an address"),
        (f"service: a\ndatabases:\n- {{name: x, dsn: '{DSN[4:]}'}}\n", 3, "databases[0].dsn", "postgresql://"),
        (f"service: a\ndatabases:\n- {{name: x, '{DSN}': 1}}\n", 3, "databases[0].…", "unknown key"),
        (
            f"service: a\ndatabases:\n- {{name: x, dsn: '{DSN}', timeout: {SECRET}}}\n",
            3,
            "databases[0].timeout",
            "unit",
        ),
        (f"service: a\ndatabases:\n- {{name: {DSN}, dsn: '{DSN}'}}\n", 3, "databases[0].name", "this is no name"),
        (f"service: a\nprocess: *{SECRET}\n", 2, "", "this is not YAML"),
        (f"service: a\nprocess: !{SECRET}%1 x\n", 2, "", "this is not YAML"),
        ("service: a\nprocess: {pid: 1\n", 3, "", "this is not YAML"),
        ("service: &a [*a]\n", 1, "", "an alias refers to what it stands in"),
        ("", 1, "", "the file is empty"),
    ],
)
def test_an_error_names_file_line_and_key_and_no_secret(read, tmp_path, text, line, key, says):
    said = failure(read, text)
    assert said.startswith(f"{tmp_path / 'exporter.yaml'}:{line}: {key}"), said
    assert says in said, said


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
def test_a_password_file_that_holds_none_is_named(read, tmp_path, content):
    if content is not None:
        (tmp_path / "password").write_text(content)
    said = failure(read, "service: a\ndatabases:\n- name: x\n  dsn: postgresql://db/x\n  password_file: password\n")
    assert "exporter.yaml:5: databases[0].password_file: " in said
    assert str(tmp_path / "password") in said


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "password")
    said = failure(read, "service: a\nprobes:\n- {name: x, url: http://x/, bearer_token_file: password}\n")
    assert "it is no regular file" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tls_server_config: {cert_file: a}\n", "the key 'key_file' is missing"),
        ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}\n", "not asked for"),
        ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}\n", "TLS12 or TLS13"),
        ("basic_auth_users: {}\n", "unknown key"),
    ],
)
def test_what_cannot_be_used_for_tls_is_said(tmp_path, text, says):
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load_web(file)


def test_renewed_certificates_are_other_settings_so_that_a_reload_takes_them_over(read, tmp_path):
    found = []
    for _ in range(2):
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        found += read("service: a\nprobes:\n- {name: x, url: https://x/, ca_file: ca.pem}\n").probes
    assert found[0] != found[1]
    (tmp_path / "ca.pem").write_text("no certificate")
    said = failure(read, "service: a\nprobes:\n- {name: x, url: https://x/, ca_file: ca.pem}\n")
    assert "exporter.yaml:3: probes[0].ca_file: " in said


def test_the_page_holds_the_reference_of_every_key():
    page = (ROOT / "docs/standalone.md").read_text()
    assert tables().strip() in page, f"replace the reference in docs/standalone.md by:\n{tables()}"
    assert len({key for section in SECTIONS for key in section.names}) > 30  # or nothing would be looked for
