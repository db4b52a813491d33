"""The stand-alone exporter as a process, beside a real PostgreSQL, one that never answers, liars and real HTTP."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import psutil
import pytest
import trustme

from local_stack import binaries
from local_stack.process import free_ports
from real import postgres
from real.exporter.conftest import Scrape

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-m", "rearguard_exporter.standalone.command")
DEADLINE = 60.0
SECRET = "hunter2-of-orders"
POOL = "db_client_connection_pool_name"


@pytest.fixture(scope="module")
def server():
    with postgres.running(shared_preload_libraries="pg_stat_statements") as running:
        yield running


class Exporter:
    """The process, with its file."""

    def __init__(self, folder, text, *, env=(), context=None):
        self.port = free_ports(1)[0]
        self.file = folder / "exporter.yaml"
        self.log = folder / "log"
        self.scheme, self.context = ("http", None) if context is None else ("https", context)
        self.write(text)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", self.file],
                stderr=log, stdout=log, env={**os.environ, **dict(env)},
            )  # fmt: skip

    def write(self, text):
        version = "" if "version_file" in text else "version: 1.4.2\n"
        head = f"service: checkout\n{version}environment: production\nlisten: 127.0.0.1:{self.port}\n"
        temporary = self.file.with_suffix(".new")
        temporary.write_text(head + textwrap.dedent(text))
        temporary.rename(self.file)

    def body(self):
        url = f"{self.scheme}://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=30, context=self.context) as answer:  # noqa: S310 - loopback
            return answer.read().decode()

    def value(self, metric, **labels):
        return Scrape(self.body()).value(metric, **labels)

    def until(self, found, what):
        """Scrape until this holds; returns that scrape."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                scrape = Scrape(self.body())
                if found(scrape):
                    return scrape
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"not {what}: {scrape.text}\n{self.log.read_text()}")

    def logged(self, text):
        deadline = time.monotonic() + DEADLINE
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def started(text, **kwargs):
            exporter = Exporter(tmp_path, text, **kwargs)
            stack.callback(exporter.process.wait, 10)
            stack.callback(exporter.process.kill)
            return exporter

        yield started


@pytest.fixture
def silent():
    """The port of a server that accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def victim():
    """A process that works."""
    code = "while True:\n sum(range(1000))"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        yield process
        process.kill()


def up(scrape, name):
    return scrape.value("db_up", **{POOL: name})


def test_a_database_that_hangs_is_down_in_time_and_process_and_other_databases_are_still_seen(
    start, server, silent, victim
):
    exporter = start(
        f"""
        process: {{pid: {victim.pid}, interval: 1s}}
        probes:
          - {{name: hangs, url: "http://127.0.0.1:{silent}/", timeout: 1s, interval: 1s}}
        databases:
          - {{name: orders, dsn: "{server.url("postgres")}", interval: 1s}}
          - {{name: hangs, dsn: "postgresql://me:{SECRET}@127.0.0.1:{silent}/x", interval: 1s, timeout: 1s}}
          - {{name: refuses, dsn: "postgresql://me:{SECRET}@127.0.0.1:1/x", interval: 1s}}
        """
    )
    scrape = exporter.until(
        lambda now: (
            up(now, "orders") == 1 and up(now, "hangs") == 0 and now.value("probe_success", probe="hangs") == 0
        ),
        "seen",
    )
    exporter.until(lambda now: up(now, "refuses") == 0, "refused")
    info = {
        "service_name": "checkout", "service_version": "1.4.2", "deployment_environment_name": "production",
    }  # fmt: skip
    assert scrape.value("target_info", **info) == 1
    promtool = [binaries.find("promtool"), "check", "metrics"]
    checked = subprocess.run(promtool, input=scrape.text, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode in {0, 3}, checked.stderr  # 3: advice on names
    took = []
    for _ in range(20):
        began = time.monotonic()
        exporter.body()
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.5, took
    seen = psutil.Process(victim.pid)
    used = sum(seen.cpu_times()[:2])
    scrape = exporter.until(lambda now: (now.value("process_cpu_seconds_total") or 0) > used, "newer")
    assert scrape.value("process_start_time_seconds") == seen.create_time()
    assert scrape.value("process_memory_usage_bytes") == pytest.approx(seen.memory_info().rss, rel=0.1)
    assert scrape.value("process_max_fds") == seen.rlimit(psutil.RLIMIT_NOFILE)[0]
    victim.kill()
    victim.wait()
    scrape = exporter.until(lambda now: now.value("rearguard_exporter_watched_processes") == 0, "gone")
    assert scrape.value("process_cpu_seconds_total") is None
    assert SECRET not in exporter.log.read_text() + scrape.text
    began = time.monotonic()
    exporter.process.send_signal(signal.SIGTERM)
    assert exporter.process.wait(10) == 0
    assert time.monotonic() - began < 2


async def test_connections_queries_locks_and_size_are_those_of_the_server(start, server):
    url = await server.database()
    connections = [await asyncpg.connect(url) for _ in range(3)]
    try:
        await connections[0].execute("create table t (i int)")
        exporter = start(
            f"databases: [{{name: orders, dsn: '{url}', interval: 1s, statement_timeout: 10s, long_query: 1s}}]"
        )
        await connections[0].execute("begin; lock table t")
        waiting = asyncio.create_task(connections[1].execute("select * from t"))

        def seen():
            return exporter.until(
                lambda now: (
                    now.value("postgresql_lock_waits", **{POOL: "orders"}) == 1
                    and now.value("postgresql_long_queries", **{POOL: "orders"}) == 1
                ),
                "waits",
            )

        scrape = await asyncio.to_thread(seen)
        states = {each.labels["state"]: each.value for each in scrape.all("postgresql_connections")}
        assert (states["active"], states["idle"], states["idle_in_transaction"]) == (2, 1, 1)  # one is the exporter's
        assert scrape.value("postgresql_connection_max") == 200
        assert scrape.value("postgresql_longest_query_seconds") > 1
        assert scrape.value("postgresql_replicas") == 0
        size = await connections[2].fetchval("select pg_database_size(current_database())")
        assert scrape.value("postgresql_db_size_bytes") == pytest.approx(size, rel=0.05)
        assert scrape.value("postgresql_statements_total") is None  # there is no pg_stat_statements
        ours = "select count(*) from pg_stat_activity where application_name = 'rearguard-exporter'"
        assert await connections[2].fetchval(ours) == 1
        await connections[0].execute("rollback")
        await waiting
    finally:
        for each in connections:
            await each.close()


async def test_slow_statements_are_those_of_pg_stat_statements_and_what_it_forgets_is_no_fall(start, server):
    url = await server.database()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "create schema \"Odd 'one'\"; create extension pg_stat_statements schema \"Odd 'one'\""
        )
        for _ in range(100):
            await connection.execute("select 1")
        await connection.execute("select pg_sleep(0.3)")
        exporter = start(f"databases: [{{name: orders, dsn: '{url}', interval: 1s, slow_query: 200ms}}]")
        scrape = await asyncio.to_thread(
            exporter.until, lambda now: now.value("postgresql_slow_statements") == 1, "slow"
        )
        assert 100 < scrape.value("postgresql_statements_total") < 300
        assert 0.3 < scrape.value("postgresql_statement_seconds_total") < 3
        await connection.execute("select \"Odd 'one'\".pg_stat_statements_reset()")
        later = await asyncio.to_thread(
            exporter.until, lambda now: now.value("postgresql_slow_statements") == 0, "reset"
        )
        assert later.value("postgresql_statements_total") >= scrape.value("postgresql_statements_total")
    finally:
        await connection.close()


@pytest.fixture
def replica(server):
    """A second server that follows the first."""
    folder = Path(tempfile.mkdtemp(prefix="rearguard-postgres-"))
    second = postgres.Server.__new__(postgres.Server)
    second.__dict__.update(server.__dict__, folder=folder, port=free_ports(1)[0], _process=None)
    second._as = postgres._unprivileged(folder)
    program = Path(binaries.find("initdb")).resolve().with_name("pg_basebackup")
    copy = [program, "-R", "-c", "fast", "-D", folder / "data", "-d", server.url("postgres")]
    try:
        second._run(*copy)
        second.start()
        yield second
    finally:
        second.remove()


@pytest.mark.soak
async def test_primary_and_replica_say_how_far_the_replica_is_behind(start, server, replica):
    exporter = start(
        f"""
        databases:
          - {{name: primary, dsn: "{server.url("postgres")}", interval: 1s}}
          - {{name: replica, dsn: "{replica.url("postgres")}", interval: 1s}}
        """
    )
    await asyncio.to_thread(
        exporter.until,
        lambda now: (
            now.value("postgresql_replicas", **{POOL: "primary"}) == 1
            and now.value("postgresql_replication_lag_bytes", **{POOL: "replica"}) == 0
            and now.value("postgresql_replication_lag_seconds", **{POOL: "replica"}) == 0
        ),
        "followed",
    )
    follower = await asyncpg.connect(replica.url("postgres"))
    leader = await asyncpg.connect(server.url("postgres"))
    try:
        await follower.execute("select pg_wal_replay_pause()")
        await leader.execute("create table behind as select generate_series(1, 10000)")
        seen = await asyncio.to_thread(
            exporter.until,
            lambda now: (now.value("postgresql_replication_lag_bytes", **{POOL: "primary"}) or 0) > 100_000,
            "behind",
        )
        assert up(seen, "replica") == 1
        await asyncio.to_thread(
            exporter.until,
            lambda now: (now.value("postgresql_replication_lag_bytes", **{POOL: "replica"}) or 0) > 100_000,
            "behind",
        )
    finally:
        await follower.execute("select pg_wal_replay_resume()")
        await follower.close()
        await leader.close()


def test_a_server_that_stops_answering_is_down_and_has_no_other_figures_until_it_goes_on(start, server):
    exporter = start(f"databases: [{{name: orders, dsn: '{server.url('postgres')}', interval: 1s, timeout: 1s}}]")
    exporter.until(lambda now: now.value("postgresql_connection_max") == 200, "seen")
    server.hold()
    try:
        scrape = exporter.until(lambda now: up(now, "orders") == 0, "down")
        assert scrape.all("postgresql_connections") == []
        assert scrape.value("db_client_connection_failures_total") >= 1
    finally:
        server.go_on()
    exporter.until(lambda now: up(now, "orders") == 1 and now.value("postgresql_connection_max") == 200, "up again")


def start_up(connection):
    """Reads the first message of a client, and lets it in."""
    connection.recv(4096)
    parameters = b"".join(
        b"S" + (len(pair) + 4).to_bytes(4, "big") + pair
        for pair in (b"server_version\x0016.0\x00", b"client_encoding\x00UTF8\x00", b"TimeZone\x00UTC\x00")
    )
    connection.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x00" + parameters + b"Z\x00\x00\x00\x05I")


def scram(connection):
    """Asks for a password, hashed so often that it takes a driver years."""
    connection.recv(4096)
    connection.sendall(b"R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")
    nonce = connection.recv(4096).rpartition(b"r=")[2]
    challenge = b"r=" + nonce + b"x,s=QUJDREVGR0hJSktMTU5PUA==,i=2000000000"
    connection.sendall(b"R" + (len(challenge) + 8).to_bytes(4, "big") + b"\x00\x00\x00\x0b" + challenge)


def answer(connection, rows):
    """Lets the client in, and answers what it asks first with these rows of one number."""
    start_up(connection)
    connection.recv(4096)
    column = b"i\0" + bytes(6) + b"\0\0\0\x17\0\4" + bytes(6)
    connection.sendall(b"1\0\0\0\4t\0\0\0\6\0\0T\0\0\0\x1a\0\1" + column)
    connection.recv(4096)
    connection.sendall(b"2\0\0\0\4")
    for number in rows:
        connection.sendall(b"D\0\0\0\x0e\0\1\0\0\0\4" + number.to_bytes(4, "big"))
    connection.sendall(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I")
    time.sleep(60)


def notices(connection):
    """Lets the client in, and tells it without end what it did not ask."""
    start_up(connection)
    while True:
        connection.sendall(b"N\0\0\0\x0bMhaha\0\0" * 1000)


LIARS = {
    "nonsense": (lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50), 0),
    "closes": (lambda _: None, 0),
    "hangs after the start": (lambda connection: (start_up(connection), time.sleep(60)), 0),
    "lets in and sends nonsense": (lambda connection: (start_up(connection), connection.sendall(b"\xff" * 500)), 0),
    "a password for years": (lambda connection: (scram(connection), time.sleep(60)), 0),
    "notices for ever": (notices, 0),
    "two instead of one": (lambda connection: answer(connection, [2]), 0),
    "rows for ever": (lambda connection: answer(connection, itertools.repeat(1)), 0),
    "one, and then nothing": (lambda connection: answer(connection, [1]), 1),  # `select 1` is answered right
}


@pytest.fixture
def liar():
    """Serves connections by a function; returns the port."""
    with contextlib.ExitStack() as stack:

        def serve(behave):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listening.shutdown, socket.SHUT_RDWR)  # wakes the thread up

            def one(connection):
                with connection, contextlib.suppress(OSError):
                    behave(connection)

            def accept():
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listening.accept()
                        threading.Thread(target=one, args=(connection,), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            return listening.getsockname()[1]

        yield serve


def test_whatever_a_server_says_instead_of_answering_it_is_down_and_the_others_are_seen(start, server, liar):
    entries = [
        f"  - {{name: liar-{number}, dsn: 'postgresql://me:{SECRET}@127.0.0.1:{liar(behave)}/x?sslmode=disable',"
        " interval: 1m, timeout: 2s}"
        for number, (behave, _) in enumerate(LIARS.values())
    ]
    good = f"  - {{name: orders, dsn: '{server.url('postgres')}', interval: 1s}}"
    exporter = start("databases:\n" + "\n".join([*entries, good]))
    names = [f"liar-{number}" for number in range(len(LIARS))]
    scrape = exporter.until(
        lambda now: up(now, "orders") == 1 and all(up(now, name) is not None for name in names), "asked"
    )
    assert {what: up(scrape, name) for what, name in zip(LIARS, names, strict=True)} == {
        what: right for what, (_, right) in LIARS.items()
    }
    exporter.until(lambda now: now.value("postgresql_connection_max", **{POOL: "orders"}) == 200, "asked for more")
    assert psutil.Process(exporter.process.pid).memory_info().rss < 1 << 30
    assert SECRET not in exporter.log.read_text()
    began = time.monotonic()
    exporter.process.send_signal(signal.SIGTERM)
    assert exporter.process.wait(10) == 0
    assert time.monotonic() - began < 5


class Handler(BaseHTTPRequestHandler):
    """A page, one that fails, and one that wants a token."""

    def do_GET(self):
        is_open = self.path != "/secret" or self.headers["Authorization"] == f"Bearer {SECRET}"
        self.send_response(200 if is_open and self.path != "/fails" else 503)
        self.end_headers()
        self.wfile.write(b"Welcome to the shop")

    def log_message(self, *args):
        pass


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def site(authority):
    """The address of a site with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_probes_say_status_text_certificate_and_nothing_of_the_token(start, site, authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "token").write_text(SECRET)
    common = "ca_file: ca.pem, interval: 1s"
    exporter = start(
        f"""
        probes:
          - {{name: home, url: "{site}/", contains: Welcome, {common}}}
          - {{name: other, url: "{site}/", contains: Farewell, {common}}}
          - {{name: fails, url: "{site}/fails", {common}}}
          - {{name: maintained, url: "{site}/fails", statuses: [503], {common}}}
          - {{name: secret, url: "{site}/secret", bearer_token_file: token, {common}}}
          - {{name: untrusted, url: "{site.replace("//", f"//me:{SECRET}@")}/?key={SECRET}", interval: 1s}}
        """
    )
    scrape = exporter.until(lambda now: len(now.all("probe_success")) == 6, "asked")
    found = {each.labels["probe"]: each.value for each in scrape.all("probe_success")}
    assert found == {"home": 1, "other": 0, "fails": 0, "maintained": 1, "secret": 1, "untrusted": 0}
    assert scrape.value("probe_http_status_code", probe="fails") == 503
    assert scrape.value("probe_ssl_earliest_cert_expiry", probe="home") > time.time()
    exporter.logged("probe untrusted fails: ClientConnectorCertificateError")
    assert SECRET not in exporter.log.read_text() + scrape.text


def test_a_changed_file_is_taken_over_and_a_bad_one_keeps_the_old(start, server, tmp_path):
    (tmp_path / "password").write_text(SECRET)
    database = f"databases:\n  - {{name: orders, dsn: '{server.url('postgres')}', interval: 1s"
    exporter = start(f"{database}, password_file: password}}")
    exporter.until(lambda now: up(now, "orders") == 1, "up")
    exporter.write(f"{database}, pasword_file: password}}")
    exporter.until(lambda now: now.value("rearguard_exporter_config_reload_success") == 0, "refused")
    exporter.logged(f"{exporter.file}:6: databases[0].pasword_file: unknown key; did you mean 'password_file'?")
    assert exporter.value("db_up") == 1
    exporter.write(f"{database}, password_file: password}}\n  - {{name: more, dsn: '{server.url('postgres')}'}}")
    scrape = exporter.until(lambda now: up(now, "more") == 1, "reloaded")
    assert scrape.value("rearguard_exporter_config_reload_success") == 1
    (tmp_path / "VERSION").write_text("1.5.0\n")
    exporter.write(f"{database}, password_file: password}}\nversion_file: VERSION")
    scrape = exporter.until(lambda now: now.value("target_info", service_version="1.5.0") == 1, "the new version")
    assert up(scrape, "orders") == 1
    assert up(scrape, "more") is None
    (tmp_path / "VERSION").write_text("1.6.0\n")
    scrape = exporter.until(lambda now: now.value("target_info", service_version="1.6.0") == 1, "the next version")
    assert len(scrape.all("target_info")) == 1
    (tmp_path / "password").write_text("")
    exporter.process.send_signal(signal.SIGHUP)
    exporter.logged(f"{exporter.file}:5: databases[0].password_file: {tmp_path / 'password'} cannot be used")
    assert SECRET not in exporter.log.read_text()


def test_tls_lets_in_whom_it_should_and_follows_renewed_certificates(start, victim, authority, tmp_path):
    def renew(name):
        issued = authority.issue_cert("127.0.0.1", common_name=name)
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    renew("first")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "web.yaml").write_text(
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem,"
        " client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [prometheus.example.com]}\n"
    )

    def context(name=None):
        made = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        if name is not None:
            authority.issue_cert(name).configure_cert(made)
        return made

    exporter = start(
        f"tls_config_file: web.yaml\nprocess: {{pid: {victim.pid}}}", context=context("prometheus.example.com")
    )
    exporter.until(lambda now: now.value("rearguard_exporter_watched_processes") == 1, "seen")
    url = f"https://127.0.0.1:{exporter.port}/metrics"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url, timeout=30, context=context("else.example.com"))
    with pytest.raises(OSError, match=r"certificate required|reset|EOF"):
        urllib.request.urlopen(url, timeout=30, context=context())
    with pytest.raises(OSError, match=r"reset|closed|status line|disconnected"):
        urllib.request.urlopen(url.replace("https", "http"), timeout=30)  # noqa: S310 - loopback
    with contextlib.ExitStack() as stack:  # peers that never shake hands refuse no scrape
        for _ in range(40):
            stack.enter_context(socket.create_connection(("127.0.0.1", exporter.port), 5))
        for _ in range(5):
            assert exporter.value("rearguard_exporter_watched_processes") == 1
    second = renew("second")
    deadline = time.monotonic() + DEADLINE
    while True:
        with (
            socket.create_connection(("127.0.0.1", exporter.port), 5) as plain,
            context("prometheus.example.com").wrap_socket(plain, server_hostname="127.0.0.1") as protected,
        ):
            if protected.getpeercert(binary_form=True) == second:
                break
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "says", "code"),
    [("prozess: {pid: 1}\n", "did you mean 'process'?", 2), ("listen: 127.0.0.1:99999\n", "this is no address", 2)],
)
def test_a_file_that_cannot_be_used_is_one_sentence_and_exit_code_2(tmp_path, text, says, code):
    file = tmp_path / "exporter.yaml"
    file.write_text(f"service: a\n{text}")
    command = [*COMMAND, "--config", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_example_of_the_container_can_be_used(tmp_path):
    text = (ROOT / "deploy/exporter/exporter.yaml").read_text()
    (tmp_path / "password").write_text(SECRET)
    (tmp_path / "exporter.yaml").write_text(text.replace("/run/secrets/orders-password", "password"))
    command = [*COMMAND, "--check", "--config", tmp_path / "exporter.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(": good\n")
