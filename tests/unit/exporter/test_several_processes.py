"""A process that shares its port with others says so once, and one that does not says nothing."""

import logging
import multiprocessing
import sys

import pytest

from rearguard_exporter import Monitor
from rearguard_exporter.endpoints import several_processes


@pytest.fixture
def monitor(monkeypatch):
    monkeypatch.setattr(several_processes, "_told", set())
    made = Monitor("shop", "1.0", "test")
    yield made
    made.close()


def scrape(monitor, **environ):
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", **environ}
    return monitor.instrument_wsgi(lambda _environ, _start: [])(asked, lambda *_: None)


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_server_that_runs_several_processes_is_told_once_how_to_scrape_them(monitor, caplog):
    for _ in range(3):
        scrape(monitor, **{"wsgi.multiprocess": True})
    [said] = warnings(caplog)
    assert "shares with other processes" in said
    assert "REARGUARD_LISTEN" in said


@pytest.mark.parametrize("environ", [{"wsgi.multiprocess": False}, {}])
def test_a_server_of_one_process_says_nothing(monitor, caplog, environ):
    scrape(monitor, **environ)
    assert warnings(caplog) == []


def one_of_several(_):
    return several_processes.is_one_of_several()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_one_parent_know_that_they_are_several(method):
    if method == "fork" and sys.platform != "linux":
        pytest.skip("forks are not safe there")
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(one_of_several, range(2)) == [True, True]


def test_a_single_process_that_another_program_began_is_not_one_of_several():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(one_of_several, range(1)) == [False]
