"""TLS and mutual TLS with real certificates, by the web configuration file that Prometheus users know."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from local_stack.binaries import environment, find
from local_stack.process import Program, free_ports, wait_until
from real.controller.hosted import hosted
from real.controller.served import SENDER, VIEWER, alerts
from rearguard_controller.api.tls import LOOK_EVERY, ServerTls
from rearguard_controller.config import parse_web
from rearguard_controller.errors import ConfigError

STATUS = "/api/monitoring/rollback/status"
MUTUAL = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.pem\n"


@pytest.fixture
def authority():
    return trustme.CA()


def write(folder, authority, more="", *, clients=None):
    """The files of a server: its certificate, what clients' must lead to, and the web configuration."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (clients or authority).cert_pem.write_to_path(folder / "clients.pem")
    (folder / "web.yml").write_text(f"tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n{more}")


def trusting(authority, folder, name=None, *, newest=ssl.TLSVersion.TLSv1_3, issuer=None):
    """A client's context: trusts the authority, and shows a certificate with this name."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = newest
    if name is not None:
        (issuer or authority).issue_cert(name).configure_cert(context)
    return context


async def ask(port, context, method="GET", path=STATUS, token=VIEWER, **more):
    """One request over a connection of its own: status and body, or the name of the failure of TLS."""
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        url = f"https://127.0.0.1:{port}{path}"
        try:
            async with session.request(method, url, headers={"Authorization": token}, **more) as response:
                return response.status, await response.json()
        except (aiohttp.ClientError, ssl.SSLError, ConnectionError) as error:
            return 0, type(error).__name__


async def test_https_is_served_and_http_is_not(tmp_path, authority):
    write(tmp_path, authority)
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        assert (await ask(port, trusting(authority, tmp_path)))[0] == 200
        assert (await ask(port, trusting(trustme.CA(), tmp_path)))[0] == 0
        async with aiohttp.ClientSession(trust_env=False) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{port}/healthz")


async def test_mutual_tls_lets_in_only_clients_of_the_authority_and_a_token_is_still_needed(tmp_path, authority):
    write(tmp_path, authority, MUTUAL)
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        known, stranger = (
            trusting(authority, tmp_path, "am"),
            trusting(authority, tmp_path, "am", issuer=trustme.CA()),
        )
        assert (await ask(port, known))[0] == 200
        assert (await ask(port, known, token="Bearer none"))[0] == 401
        assert (await ask(port, known, "POST", "/webhook/alertmanager", SENDER, json=alerts("A")))[0] == 202
        assert (await ask(port, trusting(authority, tmp_path)))[0] == 0
        assert (await ask(port, stranger))[0] == 0


async def test_a_client_certificate_must_carry_an_allowed_name_where_names_are_asked_for(tmp_path, authority):
    write(tmp_path, authority, MUTUAL + "  client_allowed_sans: [alertmanager.example, 10.0.0.7]\n")
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        for name, status in (("alertmanager.example", 200), ("10.0.0.7", 200), ("other.example", 403)):
            got, body = await ask(port, trusting(authority, tmp_path, name))
            assert got == status, body
        assert body["error"]["code"] == "forbidden"
        assert (await ask(port, trusting(authority, tmp_path, "other.example"), path="/healthz"))[0] == 403


async def test_a_certificate_may_be_left_out_but_one_that_is_shown_is_verified(tmp_path, authority):
    write(tmp_path, authority, MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"))
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        assert (await ask(port, trusting(authority, tmp_path)))[0] == 200
        assert (await ask(port, trusting(authority, tmp_path, "a", issuer=trustme.CA())))[0] == 0


async def test_versions_and_suites_are_those_of_the_file(tmp_path, authority):
    old = ssl.TLSVersion.TLSv1_2
    write(tmp_path, authority, "  min_version: TLS13\n")
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        assert (await ask(port, trusting(authority, tmp_path)))[0] == 200
        assert (await ask(port, trusting(authority, tmp_path, newest=old)))[0] == 0
        suite = "ECDHE-ECDSA-AES256-GCM-SHA384"
        write(tmp_path, authority, "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n")
        await looked()
        only, other = trusting(authority, tmp_path, newest=old), trusting(authority, tmp_path, newest=old)
        only.set_ciphers(suite)
        other.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert (await ask(port, only))[0] == 200
        assert (await ask(port, other))[0] == 0


async def looked():
    """The time within which changed files are seen, twice."""
    await asyncio.sleep(2 * LOOK_EVERY)


async def test_changed_files_count_after_the_next_look_and_spoilt_ones_leave_the_last_good(tmp_path, authority):
    write(tmp_path, authority, MUTUAL)
    later = trustme.CA()
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        before = trusting(authority, tmp_path, "am")
        assert (await ask(port, before))[0] == 200
        (tmp_path / "key.pem").write_text("spoilt")
        await looked()
        assert (await ask(port, before))[0] == 200
        (tmp_path / "web.yml").write_text("tls_server_config: {}\n")
        await looked()
        (tmp_path / "key.pem").unlink()
        os.mkfifo(tmp_path / "key.pem")  # waits for its other end for ever, but nobody waits for it
        await looked()
        assert (await ask(port, before))[0] == 200
        (tmp_path / "key.pem").unlink()
        write(tmp_path, later, MUTUAL)
        await looked()
        assert (await ask(port, before))[0] == 0
        assert (await ask(port, trusting(later, tmp_path, "am")))[0] == 200
        old_client = trusting(later, tmp_path, "am", issuer=authority)
        assert (await ask(port, old_client))[0] == 0  # its authority is no longer believed
        write(tmp_path, later)
        await looked()
        assert (await ask(port, trusting(later, tmp_path)))[0] == 200  # no certificate asked for any more


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("  client_auth_type: RequireAnyClientCert\n", "nobody verifies"),
        ("  client_auth_type: RequireAndVerifyClientCert\n", "client_ca_file"),
        ("  client_ca_file: clients.pem\n", "client_auth_type"),
        ("  min_version: TLS10\n", "broken"),
        ("  min_version: TLS13\n  max_version: TLS12\n", "above"),
        ("  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", "not known"),
        ("  curve_preferences: [CurveP256]\n", "unknown key"),
        ("  cert: text\n", "cert_file"),
        ("basic_auth_users: {a: b}\n", "tokens"),
        ("http_server_config: {http2: false}\n", "remove it"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_with_a_sentence(tmp_path, more, named):
    text = f"tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n{more}"
    with pytest.raises(ConfigError) as caught:
        parse_web(text, file="web.yml", folder=tmp_path)
    assert caught.value.message.startswith("web.yml:")
    assert named in caught.value.message


@pytest.mark.parametrize("spoil", ["cert.pem", "key.pem", "clients.pem", "web.yml"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_files_that_cannot_be_used_stop_the_start(tmp_path, authority, spoil, content):
    write(tmp_path, authority, MUTUAL)
    if content is None:
        (tmp_path / spoil).unlink()
    else:
        (tmp_path / spoil).write_text(content)
    with pytest.raises(ConfigError) as caught:
        ServerTls(tmp_path / "web.yml")
    assert spoil in caught.value.message


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path, authority):
    write(tmp_path, authority)
    key = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x1y2"),
    )
    (tmp_path / "key.pem").write_bytes(locked)
    with pytest.raises(ConfigError) as caught:
        ServerTls(tmp_path / "web.yml")
    assert "without a password" in caught.value.hint


async def test_the_command_line_trusts_and_shows_certificates_that_the_environment_names(tmp_path, authority):
    write(tmp_path, authority, MUTUAL)
    issued = authority.issue_cert("ann")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "ann.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (_, port):
        base = {**os.environ, "REARGUARD_URL": f"https://127.0.0.1:{port}", "REARGUARD_TOKEN_FILE": "viewer"}
        own = {"REARGUARD_CA_FILE": "ca.pem", "REARGUARD_CERT_FILE": "ann.pem"}
        for given, code, said in ((own, 0, "checkout"), ({}, 1, "REARGUARD_CA_FILE")):
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-m", "rearguard_controller", "status"], cwd=tmp_path,
                env={**base, **given}, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done


ALERTMANAGER = """
route: {{receiver: rearguard, group_wait: 0s, group_interval: 1s, repeat_interval: 1m}}
receivers:
  - name: rearguard
    webhook_configs:
      - url: https://127.0.0.1:{port}/webhook/alertmanager
        http_config:
          authorization: {{credentials_file: sender}}
          tls_config: {{ca_file: ca.pem, cert_file: am.pem, key_file: am.key}}
"""


async def test_a_real_alertmanager_delivers_over_mutual_tls(tmp_path, authority):
    write(tmp_path, authority, MUTUAL + "  client_allowed_sans: [alertmanager.example]\n")
    issued = authority.issue_cert("alertmanager.example")
    issued.private_key_pem.write_to_path(tmp_path / "am.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "am.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with hosted(tmp_path, "tls_config_file: web.yml\n") as (controller, port):
        (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER.format(port=port))
        address = f"127.0.0.1:{free_ports(1)[0]}"
        alertmanager = Program(
            "alertmanager",
            [
                find("prometheus-alertmanager"),
                "--config.file=alertmanager.yml",
                "--storage.path=am-data",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
            folder=tmp_path,
            log=tmp_path / "am.log",
            ready_url=f"http://{address}/-/ready",
            environment=environment(),
        )
        with contextlib.closing(_Stopping(alertmanager)):
            await asyncio.to_thread(alertmanager.start)
            async with aiohttp.ClientSession(trust_env=False) as session:
                body = [{"labels": {"alertname": "A", "action": "rollback", "service_name": "nobody"}}]
                async with session.post(f"http://{address}/api/v2/alerts", json=body) as response:
                    assert response.status == 200

            def delivered():
                return b'rearguard_webhook_requests_total{code="202"} 0' not in controller._telemetry.render(None)[0]

            await asyncio.to_thread(wait_until, delivered, within=20, what="a delivery")


class _Stopping:
    def __init__(self, program):
        self.close = program.stop
