"""Passwords of the stand-alone exporter reach the database they are for, and nothing and nobody else."""

import contextlib
import socket
import threading

import pytest
from aiohttp import web

from real.exporter.test_standalone import POOL, start, up
from rearguard_exporter.standalone.config.configuration import ProbeSettings
from rearguard_exporter.standalone.families import PROBE_SUCCESS
from rearguard_exporter.standalone.watched.probe import Probe

__all__ = ["start"]
SECRET = "hunter2-of-orders"


@pytest.fixture
def gate():
    """The port of a server that asks for a password, refuses it aloud, and the passwords that it was told."""
    told = []

    def refuse(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(b"R\0\0\0\x08\0\0\0\x03")  # in clear text
            told.append(connection.recv(4096)[5:-1].decode())
            fields = f"SFATAL\0VFATAL\0C28P01\0Mthe password {told[-1]} is wrong\0\0".encode()
            connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=refuse, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], told
        listening.shutdown(socket.SHUT_RDWR)  # wakes the thread up


def test_a_password_of_each_way_reaches_the_server_and_a_server_that_repeats_it_is_not_quoted(start, gate, tmp_path):
    port, told = gate
    address = f"127.0.0.1:{port}/x?sslmode=disable"
    (tmp_path / "password").write_text(f"{SECRET}-of-file\n")
    (tmp_path / "dsn").write_text(f"postgresql://me:{SECRET}-of-dsn-file@{address}\n")
    exporter = start(
        f"""
        databases:
          - {{name: file, dsn: "postgresql://me@{address}", password_file: password, interval: 1m}}
          - {{name: dsn-file, dsn_file: dsn, interval: 1m}}
          - {{name: dsn, dsn: "postgresql://me:{SECRET}-of-dsn@{address}", interval: 1m}}
          - {{name: environment, dsn: "postgresql://me@{address}", interval: 1m}}
        """,
        env={"PGPASSWORD": f"{SECRET}-of-environment"},
    )
    names = ("file", "dsn-file", "dsn", "environment")
    scrape = exporter.until(lambda now: all(up(now, name) == 0 for name in names), "refused")
    assert sorted(told) == sorted(f"{SECRET}-of-{name}" for name in names)
    assert scrape.value("db_client_connection_failures_total", **{POOL: "file"}) == 1
    exporter.logged("database file is down: InvalidPasswordError")
    exporter.logged(f"every account here may read or write {tmp_path / 'exporter.yaml'}")
    assert SECRET not in exporter.log.read_text() + scrape.text


async def test_a_probe_s_token_is_not_told_to_the_origin_that_an_answer_leads_to(serve):
    told = []

    async def there(request):
        told.append(request.headers.get("Authorization"))
        return web.Response(text="here I am")

    elsewhere = web.Application()
    elsewhere.router.add_get("/", there)
    other = await serve(elsewhere)

    async def away(request):
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        raise web.HTTPFound(f"{other.url}/")

    app = web.Application()
    app.router.add_get("/", away)
    site = await serve(app)
    settings = ProbeSettings("home", f"{site.url}/", "GET", frozenset(), None, True, SECRET, None, 20.0, 60.0)
    probe = Probe(settings)
    await probe.look()
    assert told == [None]
    assert probe.figures[PROBE_SUCCESS] == {("home",): 1.0}
