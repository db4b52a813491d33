"""A real Prometheus behind its own basic auth, TLS, client certificates and a path prefix: asked, and told if not."""

import asyncio
import subprocess
import time
from contextlib import contextmanager

import pytest
import trustme

from local_stack.binaries import environment, find
from local_stack.process import free_ports
from real.controller.test_cli import rearguard
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.config.http_config import HttpConfig, TlsConfig
from rearguard_controller.errors import SourceError

DEADLINE = 30.0
HASHED = "$2b$04$Lqw/QB7mKjBCoOIouIA0febviJ2I5vLaMMr90aGvTsDq3YsA4SX/q"  # bcrypt of `letmein`
BASIC = f"basic_auth_users: {{rearguard: '{HASHED}'}}\n"
TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
MUTUAL = TLS + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}\n"


@pytest.fixture
def folder(tmp_path):
    """Settings of a Prometheus, certificates of its own CA and of another one, a password."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, issuer in (("server", authority), ("client", authority), ("stranger", trustme.CA())):
        issued = issuer.issue_cert("prometheus.internal" if name == "server" else name)
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        (tmp_path / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n")
    (tmp_path / "password").write_text("letmein\n")
    (tmp_path / "wrong").write_text("hunter22\n")
    return tmp_path


@contextmanager
def protected(folder, web="", *options):
    """The address, without its scheme, of a Prometheus that is started with this web configuration."""
    (port,) = free_ports(1)
    (folder / "web.yml").write_text(web)
    words = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [find("prometheus"), *words, "--web.config.file=web.yml", *options],
            cwd=folder, env=environment(), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield f"127.0.0.1:{port}"
        finally:
            child.kill()
            child.wait()


async def ask(address, http=None):
    """What `vector(7)` is by this Prometheus, once it listens; or the error."""
    edge = Prometheus(PrometheusSettings((address,), http=http or HttpConfig()))
    deadline = time.monotonic() + DEADLINE
    try:
        while True:
            try:
                return [sample.value for sample in await edge.query("vector(7)")]
            except SourceError as error:
                starting = "503" in error.message or "Connect call failed" in error.message
                if not starting or time.monotonic() > deadline:
                    return error
            await asyncio.sleep(0.1)
    finally:
        await edge.close()


@pytest.mark.parametrize("command", [["backtest", "--since", "1h"], ["init", "--to", "made"]])
async def test_init_and_backtest_take_who_asks_from_flags(folder, command):
    with protected(folder, BASIC) as address:
        assert "401" in (await ask(f"http://{address}")).message

        def told(*flags):
            done = rearguard(*command, "--prometheus", f"http://{address}", *flags, cwd=folder)
            assert done.returncode != 0
            return " ".join(done.stderr.split())

        assert "401" in told()
        user = ("--username", "rearguard", "--password-file")
        assert "401" in told(*user, "wrong")
        assert "401" in told("--token-file", "password")
        assert "Prometheus shows no service" in told(*user, "password")
        assert "belong together" in told("--username", "rearguard")
        assert "nowhere.pem" in told("--ca-file", "nowhere.pem")


async def test_basic_auth_by_a_file(folder):
    with protected(folder, BASIC) as host:
        right = HttpConfig(folder / "password", "rearguard", "Basic", "basic_auth")
        assert await ask(f"http://{host}", right) == [7.0]
        assert "basic_auth with username and password_file" in (await ask(f"http://{host}")).hint
        wrong = HttpConfig(folder / "wrong", "rearguard", "Basic", "basic_auth")
        error = await ask(f"http://{host}", wrong)
        assert "prometheus.basic_auth names is refused" in error.hint
        assert "hunter22" not in error.message + error.hint
        assert "basic_auth with username" in (await ask(f"http://{host}", HttpConfig(folder / "password"))).hint


async def test_a_certificate_of_ones_own_ca_and_under_another_name(folder):
    with protected(folder, TLS + "}\n") as host:
        named = TlsConfig(folder / "ca.pem", server_name="prometheus.internal")
        assert await ask(f"https://{host}", HttpConfig(tls=named)) == [7.0]
        assert "tls_config.ca_file" in (await ask(f"https://{host}")).hint
        nameless = HttpConfig(tls=TlsConfig(folder / "ca.pem"))
        assert "tls_config.server_name" in (await ask(f"https://{host}", nameless)).hint
        assert "write https://" in (await ask(f"http://{host}")).hint


async def test_a_client_certificate(folder):
    with protected(folder, MUTUAL) as host:
        ca, name = folder / "ca.pem", "prometheus.internal"
        mine = TlsConfig(ca, folder / "client.pem", folder / "client.key", name)
        assert await ask(f"https://{host}", HttpConfig(tls=mine)) == [7.0]
        none = await ask(f"https://{host}", HttpConfig(tls=TlsConfig(ca, server_name=name)))
        assert "tls_config with cert_file and key_file" in none.hint
        foreign = TlsConfig(ca, folder / "stranger.pem", folder / "stranger.key", name)
        assert "tls_config" in (await ask(f"https://{host}", HttpConfig(tls=foreign))).hint


async def test_a_certificate_that_is_renewed_counts_without_a_restart(folder):
    with protected(folder, MUTUAL) as host:
        files = (folder / "shown.pem", folder / "shown.key")
        tls = TlsConfig(folder / "ca.pem", *files, "prometheus.internal")
        edge = Prometheus(PrometheusSettings((f"https://{host}",), http=HttpConfig(tls=tls)))
        for name in ("stranger", "client"):
            for file, end in zip(files, ("pem", "key"), strict=True):
                file.write_bytes((folder / f"{name}.{end}").read_bytes())
            if name == "stranger":
                assert isinstance(await ask(f"https://{host}", HttpConfig(tls=tls)), SourceError)
        assert [sample.value for sample in await edge.query("vector(7)")] == [7.0]
        await edge.close()


async def test_a_path_prefix(folder):
    prefixed = ("--web.route-prefix=/prom", "--web.external-url=http://x.example/prom")
    with protected(folder, "", *prefixed) as host:
        assert await ask(f"http://{host}/prom") == [7.0]
        hint = (await ask(f"http://{host}")).hint
        assert "path prefix" in hint
        assert "prometheus.url must have it" in hint
        assert "Is /metrics the path prefix" in (await ask(f"http://{host}/metrics")).hint
