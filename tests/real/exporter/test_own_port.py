"""The port of its own against peers that dribble or come in crowds, and without a name server."""

import socket
import time
from contextlib import ExitStack

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


def test_connections_are_few_and_the_next_one_is_served_when_one_has_gone(address):
    with ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(address, timeout=5))
            for _ in range(own_port.MOST_CONNECTIONS)
        ]
        assert {answer(connection) for connection in held} == {b"HTTP/1.1 200 OK"}
        beyond = stack.enter_context(socket.create_connection(address, timeout=5))
        assert answer(beyond) == b""
        held[0].close()
        deadline = time.monotonic() + 5
        while True:
            with socket.create_connection(address, timeout=5) as late:
                if answer(late):
                    break
            assert time.monotonic() < deadline


def test_a_peer_that_dribbles_its_request_is_cut_off_and_one_that_asks_again_is_not(address, monkeypatch):
    monkeypatch.setattr(own_port, "REQUEST_SECONDS", 0.5)
    with socket.create_connection(address, timeout=5) as again, socket.create_connection(address, timeout=5) as slow:
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
