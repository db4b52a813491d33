"""The port of its own against peers that dribble or come in crowds, and without a name server."""

import http.client
import re
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from rearguard_exporter import Monitor
from rearguard_exporter.endpoints import own_port

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def address():
    monitor = Monitor("shop", "1.0", "test", listen="127.0.0.1:0")
    yield monitor.listen_address
    monitor.close()


def answer(connection):
    """The first bytes of what is answered; empty when the connection is closed instead."""
    try:
        connection.sendall(REQUEST)
        return connection.recv(15)
    except (ConnectionResetError, BrokenPipeError):
        return b""


def test_the_port_opens_without_asking_for_names(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getfqdn", asked.append)
    Monitor("shop", "1.0", "test", listen="127.0.0.1:0").close()
    assert asked == []


def dial(address, source="127.0.0.1"):
    return socket.create_connection(address, 30, (source, 0))


@pytest.mark.parametrize(
    "before",
    [b"", b"GET /metr", REQUEST.replace(b"metrics", b"nothing"), REQUEST * 300],
    ids=["silent", "half a request", "served", "never reading"],
)
def test_a_peer_that_holds_every_connection_refuses_no_scrape(address, before):
    """`up` would be 0, and a release be blamed for it."""
    with ExitStack() as stack:
        for _ in range(own_port.MOST_CONNECTIONS):
            held = stack.enter_context(dial(address))
            held.setblocking(False)
            with suppress(BlockingIOError):
                held.sendall(before)
        for _ in range(20):
            with dial(address) as scraper:
                assert answer(scraper) == b"HTTP/1.1 200 OK"


def test_a_peer_that_opens_one_connection_after_the_other_refuses_no_scrape_and_no_threads_pile_up(address):
    ended = threading.Event()

    def crowd():
        held = []
        while not ended.is_set():
            with suppress(OSError):
                held.append(dial(address))
            del held[:-40]

    peers = [threading.Thread(target=crowd) for _ in range(2)]
    for each in peers:
        each.start()
    try:
        for _ in range(20):
            with dial(address) as scraper:
                assert answer(scraper) == b"HTTP/1.1 200 OK"
            assert threading.active_count() < 4 * own_port.MOST_CONNECTIONS  # some are still ending
    finally:
        ended.set()
        for each in peers:
            each.join()


def test_the_crowd_of_one_address_ends_no_connection_of_another(address):
    with ExitStack() as stack:
        scraper = stack.enter_context(dial(address, "127.0.0.2"))
        assert answer(scraper) == b"HTTP/1.1 200 OK"
        rest = b""
        while not (found := re.search(rb"Content-Length: (\d+)\r\n\r\n", rest)) or len(rest) < found.end() + int(
            found[1]
        ):
            rest += scraper.recv(65536)
        for _ in range(3 * own_port.MOST_CONNECTIONS):
            stack.enter_context(dial(address))
        assert answer(scraper) == b"HTTP/1.1 200 OK"


def test_no_more_connections_are_served_than_there_are_threads_for(address):
    with ExitStack() as stack:
        held = [stack.enter_context(dial(address)) for _ in range(3 * own_port.MOST_CONNECTIONS)]
        deadline = time.monotonic() + 10
        for each in held[: 2 * own_port.MOST_CONNECTIONS]:  # the idlest were closed
            each.settimeout(max(0.1, deadline - time.monotonic()))
            assert each.recv(1) == b""


def test_scrapes_that_wait_for_the_same_rendering_share_it_and_none_gets_an_older_one():
    """Else a crowd that asks would make Prometheus wait for as many renderings."""
    monitor = Monitor("shop", "1.0", "test", listen="127.0.0.1:0")
    gate, times = threading.Event(), []

    class Slow:
        def collect(self):
            times.append(time.monotonic())
            gate.wait(30)
            return ()

    monitor.registry.register(Slow())
    try:
        with ExitStack() as stack:
            held = [stack.enter_context(dial(monitor.listen_address)) for _ in range(10)]
            for each in held:
                each.sendall(REQUEST)
            deadline = time.monotonic() + 30
            while not times:
                assert time.monotonic() < deadline
            asked = time.monotonic()
            late = stack.enter_context(dial(monitor.listen_address))
            late.sendall(REQUEST)
            time.sleep(0.2)  # all of them ask meanwhile
            gate.set()
            for each in (*held, late):
                assert each.recv(15) == b"HTTP/1.1 200 OK"
            assert len(times) <= 3
            assert times[-1] > asked
    finally:
        monitor.close()


def test_http_1_0_pipelining_and_a_half_closed_connection_are_answered(address):
    with dial(address) as old:
        old.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert read(old).startswith(b"HTTP/1.1 200 OK")
    with dial(address) as half:
        half.sendall(REQUEST * 3)
        half.shutdown(socket.SHUT_WR)
        assert read(half).count(b"HTTP/1.1 200 OK") == 3


def read(connection):
    """All that comes until the peer closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_peer_that_dribbles_its_request_is_cut_off_and_one_that_asks_again_is_not(address, monkeypatch):
    monkeypatch.setattr(own_port, "REQUEST_SECONDS", 0.5)
    with dial(address) as again, dial(address) as slow:
        began = time.monotonic()
        try:
            while time.monotonic() < began + 3:
                slow.sendall(b"GET /metrics"[:1])
                if time.monotonic() < began + 0.7:
                    again.sendall(REQUEST)
                    while not again.recv(65536).endswith(b"\n"):
                        pass
                time.sleep(0.05)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert time.monotonic() - began < 2


def asked(address, method, path):
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/metrics", "/api/monitoring/dashboard", "/elsewhere"])
def test_head_is_answered_like_get_without_a_body(address, path):
    status, headers, body = asked(address, "GET", path)
    seen, of_head, nothing = asked(address, "HEAD", path)
    assert (seen, of_head["Content-Type"]) == (status, headers["Content-Type"])
    assert int(of_head["Content-Length"]) > 0
    assert body
    assert nothing == b""


def test_a_connection_is_asked_again_after_head(address):
    connection = http.client.HTTPConnection(*address, timeout=30)
    for method in ("HEAD", "GET"):
        connection.request(method, "/metrics")
        response = connection.getresponse()
        assert response.status == 200
        assert bool(response.read()) == (method == "GET")
    connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_told_which_ones_there_are(address, method):
    status, headers, _ = asked(address, method, "/metrics")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert asked(address, method, "/elsewhere")[0] == 404
