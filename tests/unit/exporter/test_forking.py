"""A process that is forked after its monitor was made: nothing hangs, and its own threads run once it serves."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import traceback

import pytest
from sqlalchemy import create_engine, text

from rearguard_exporter import Monitor


def said_by_us(caplog):
    """What the exporter logged; asyncio and others have a log of their own, and speak up on a slow machine."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("rearguard_exporter")]


def in_child(work):
    """What `work` printed of its failure in a forked process; empty when it had none, within a minute."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as told, contextlib.suppress(Exception):
                try:
                    work()
                except BaseException:  # noqa: BLE001 - told to the parent
                    told.write(traceback.format_exc())
        finally:
            os._exit(0)
    os.close(writing)
    alarm = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    alarm.start()
    with os.fdopen(reading) as told:
        failure = told.read()
    _, status = os.waitpid(child, 0)
    alarm.cancel()
    return failure or ("" if status == 0 else f"ended with {status}")


def until(true, what):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def ask(app, path):
    """Status line and body."""
    told = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.url_scheme": "http"}
    body = b"".join(app(environ, lambda status, _headers, _exc=None: told.append(status)))
    return told[0], body.decode()


def hello(_environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]


@pytest.fixture
def monitor():
    made = Monitor("shop", "1.0", "test", listen="127.0.0.1:0")
    yield made
    made.close()


def test_a_forked_process_closes_its_monitor_at_once_and_the_parent_goes_on_listening(monitor):
    address = monitor.listen_address
    assert in_child(monitor.close) == ""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_forked_process_does_not_hold_the_port_when_the_parent_gives_it_back(monitor):
    host, port = monitor.listen_address
    go, ended = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ended[0])
        os.read(go[0], 1)
        os._exit(0)
    monitor.close()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((host, port))
        again.listen()
    os.write(go[1], b"x")
    assert os.waitpid(child, 0)[1] == 0
    for end in (*go, *ended):
        os.close(end)


def test_a_forked_process_that_serves_says_whose_the_port_is_once(monitor, caplog):
    app = monitor.instrument_wsgi(hello)

    def serves():
        for _ in range(2):
            assert ask(app, "/")[0] == "200 OK"
        said = [record.getMessage() for record in caplog.records if "the port" in record.getMessage()]
        assert len(said) == 1
        assert f"127.0.0.1:{monitor.listen_address[1]}" in said[0]
        assert f"process {os.getppid()}" in said[0]

    assert in_child(serves) == ""
    assert not [record for record in caplog.records if "the port" in record.getMessage()]


def test_a_forked_process_may_listen_by_itself_once_and_says_nothing_of_the_parents_port(monitor, caplog):
    app = monitor.instrument_wsgi(hello)

    def serves():
        parents = monitor.listen_address
        monitor.listen("127.0.0.1:0")
        assert monitor.listen_address != parents
        ask(app, "/")
        with socket.create_connection(monitor.listen_address, timeout=30) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        with pytest.raises(ValueError, match="listens already"):
            monitor.listen("127.0.0.1:0")
        monitor.close()
        assert said_by_us(caplog) == []

    assert in_child(serves) == ""
    with pytest.raises(ValueError, match="listens already"):
        monitor.listen("127.0.0.1:0")


def test_locks_that_a_thread_of_the_parent_held_at_the_fork_stop_nothing_in_the_child():
    monitor = Monitor("shop", "1.0", "test")
    app = monitor.instrument_wsgi(hello)
    durations = monitor._instruments.http_duration
    held, over = threading.Event(), threading.Event()

    def hold():
        with durations._lock, monitor._lifecycle._sampler._lock, monitor._lifecycle._workers[0]._lock:
            held.set()
            over.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()

    def serves():
        ask(app, "/")
        assert 'http_response_status_code="200"' in ask(app, "/metrics")[1]
        monitor._endpoints.dashboard.submit().result(5)
        monitor.close()

    try:
        assert in_child(serves) == ""
    finally:
        over.set()
        holder.join()
        monitor.close()


def test_a_database_is_not_asked_by_a_process_that_only_forks_those_that_serve():
    monitor = Monitor("shop", "1.0", "test")
    asked_by = []
    monitor.watch_database("orders", lambda: asked_by.append(os.getpid()), readiness=True, interval=60)
    app = monitor.instrument_wsgi(hello)

    def serves():
        ask(app, "/")
        until(lambda: ask(app, "/readyz")[0].startswith("200"), "the database is checked")
        assert asked_by == [os.getpid()]

    assert in_child(serves) == ""
    assert asked_by == []
    monitor.close()


def test_a_process_forked_from_one_that_serves_checks_its_databases_by_itself():
    monitor = Monitor("shop", "1.0", "test")
    asked_by = []
    monitor.watch_database("orders", lambda: asked_by.append(os.getpid()), readiness=True, interval=60)
    app = monitor.instrument_wsgi(hello)
    ask(app, "/")
    until(lambda: asked_by, "the parent asks")

    def serves():
        until(lambda: ask(app, "/readyz")[0].startswith("200"), "the database is checked")
        assert asked_by[-1] == os.getpid()

    assert in_child(serves) == ""
    monitor.close()


@pytest.fixture
def engine(monitor, tmp_path):
    """A database that the monitor measures."""
    made = create_engine(f"sqlite:///{tmp_path}/jobs.db")
    monitor.instrument_sqlalchemy(made, "jobs")
    yield made
    made.dispose()


@pytest.fixture
def said(tmp_path):
    """What this process and those forked from it log; a call returns it."""
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger("rearguard_exporter").addHandler(handler)
    yield (tmp_path / "log").read_text
    logging.getLogger("rearguard_exporter").removeHandler(handler)
    handler.close()


def job(engine):
    with engine.connect() as connection:
        connection.execute(text("select 1"))


def statements(monitor):
    return sum(sum(child.counts()[:-1]) for child in monitor._instruments.db_duration.known().values())


@pytest.mark.parametrize("parent_works", [True, False])
def test_processes_that_are_forked_for_one_job_each_say_once_together_that_nobody_sees_them(
    monitor, engine, said, parent_works
):
    if parent_works:
        job(engine)

    def works():
        before = statements(monitor)
        job(engine)
        job(engine)
        assert statements(monitor) == before + 2

    for _ in range(3):
        assert in_child(works) == ""
    assert said().count("nothing shows it") == 1
    assert f"forked by {os.getpid()}" in said()
    job(engine)  # the parent's is shown, and it says nothing more
    assert statements(monitor) == parent_works + 1
    assert said().count("\n") == 1


@pytest.mark.parametrize("listens", [True, False])
def test_a_forked_process_that_serves_or_listens_is_seen_and_says_nothing_of_its_statements(
    monitor, engine, said, listens
):
    app = monitor.instrument_wsgi(hello)

    def serves():
        if listens:
            monitor.listen("127.0.0.1:0")
        else:
            ask(app, "/")
        job(engine)

    assert in_child(serves) == ""
    assert "nothing shows it" not in said()


def test_threads_of_a_forked_process_that_count_at_once_lose_nothing(monitor, engine):
    durations, key = monitor._instruments.db_duration, ("sqlite", "jobs", "SELECT", "")

    def works():
        ready = threading.Barrier(8)

        def count():
            ready.wait()
            for _ in range(1000):
                durations.observe(key, 0.001)

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statements(monitor) == 8000

    for _ in range(5):
        assert in_child(works) == ""
