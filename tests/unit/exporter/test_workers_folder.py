"""What a workers' folder may be and become: every fault is said once, and the application and the others go on."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Counter, Gauge

from real.exporter.conftest import Scrape
from rearguard_exporter import Monitor
from rearguard_exporter.workers.layout import FORMAT
from unit.exporter.test_forking import ask, hello, in_child, said_by_us, until
from unit.exporter.workers_kit import Worker

COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture
def made(tmp_path):
    """Makes monitors of the workers in one folder, each with an application."""
    monitors = []

    def make(version="1.0", folder=tmp_path / "workers", **settings):
        monitors.append(Monitor("shop", version, "test", workers_dir=folder, **settings))
        return monitors[-1].instrument_wsgi(hello)

    yield make
    for each in monitors:
        each.close()


def scraped(app):
    return Scrape(ask(app, "/metrics")[1])


def counted(app):
    return scraped(app).value(COUNT, http_response_status_code="200")


def file_of(folder):
    [name] = folder.glob("*.worker")
    return name


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: b"", "it is empty or cut off"),
        (lambda data: data[:40], "it is empty or cut off"),
        (lambda data: data[:70], "it is cut off"),
        (lambda data: b"x" * len(data), "it is no file of Rearguard's workers"),
        (lambda data: data[:8] + (FORMAT + 1).to_bytes(4, "little") + data[12:], f"the format {FORMAT + 1}"),
        (lambda data: data[:70] + b"\xff" + data[71:], "its head is damaged"),
        (lambda data: data, "it is a copy, or another name"),
    ],
)
def test_a_file_that_is_none_is_left_out_and_said_once(made, tmp_path, caplog, spoil, said):
    app = made()
    ask(app, "/")
    folder = tmp_path / "workers"
    good = file_of(folder)
    bad = good.with_name(good.name.replace(".worker", "0.worker"))
    bad.write_bytes(spoil(good.read_bytes()))
    assert [counted(app) for _ in range(3)] == [1, 1, 1]
    ask(made(), "/")  # another one begins, and folds
    assert counted(app) == 2
    about_it = [text for text in said_by_us(caplog) if bad.name in text]
    assert said in about_it[0]
    assert len(about_it) <= 2  # one in each of the two processes that these monitors stand for
    assert bad.exists()


def test_a_file_of_somebody_else_is_left_out(made, tmp_path, caplog):
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    app = made()
    ask(app, "/")
    good = file_of(tmp_path / "workers")
    theirs = good.with_name(good.name.replace(".worker", "0.worker"))
    shutil.copy(good, theirs)
    os.chown(theirs, 12345, 12345)
    assert counted(app) == 1
    assert "it belongs to user 12345" in said_by_us(caplog)[0]


def test_a_dead_worker_s_file_that_was_cut_off_counts_up_to_there(tmp_path, caplog):
    worker = Worker(tmp_path)
    worker.count("/first", 3)
    size = worker.store.own._at
    worker.count("/second", 5)
    whole = file_of(tmp_path).read_bytes()
    worker.die()
    file_of(tmp_path).write_bytes(whole[: size + 20])
    other = Worker(tmp_path)
    other.count("/other")
    assert other.sees() == {"/first": 3, "/other": 1}
    assert "cut off" in said_by_us(caplog)[0]


@pytest.mark.parametrize("kind", ["a symbolic link", "a file", "below a file"])
def test_a_folder_that_cannot_be_used_is_said_once_and_the_process_counts_by_itself(made, tmp_path, caplog, kind):
    place = tmp_path / "place"
    if kind == "a symbolic link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("")
    app = made(folder=place / "workers" if kind == "below a file" else place)
    for _ in range(3):
        assert ask(app, "/")[0] == "200 OK"
    assert counted(app) == 3
    assert counted(app) == 3
    [said] = said_by_us(caplog)
    assert "cannot be used" in said
    assert "REARGUARD_WORKERS_DIR" in said


def test_a_folder_that_gets_full_costs_the_application_nothing(tmp_path, caplog):
    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        worker = Worker(tmp_path, limit=10000)
        worker.count("/first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))  # as a full disk: a file cannot grow
        for number in range(900):
            worker.durations.observe(("GET", f"/route/{number}", "200", ""), 0.1)
        assert sum(sum(child.counts()[:-1]) for child in worker.durations.children()) == 900
        assert len([text for text in said_by_us(caplog) if "cannot be used" in text]) == 1

    assert in_child(fill) == ""


def test_a_process_that_finds_no_room_shows_its_own_counts_and_those_of_workers_that_ended(made):
    def first():
        app = made()
        for _ in range(3):
            ask(app, "/")
        assert counted(app) == 3

    def alone():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # as a full disk
        app = made()
        for _ in range(2):
            ask(app, "/")
        assert counted(app) == 5

    assert in_child(first) == ""
    assert in_child(alone) == ""


def vanish(folder):
    """All of it at once; while files are deleted one by one, workers put them back."""
    gone = folder.with_name(f"{folder.name}-gone")
    folder.rename(gone)
    shutil.rmtree(gone)


def test_a_folder_that_is_deleted_is_made_anew_with_all_that_living_workers_counted(made, tmp_path, caplog):
    first, second = made(), made()
    for app in (first, first, second):
        ask(app, "/")
    vanish(tmp_path / "workers")
    assert ask(first, "/")[0] == "200 OK"
    assert counted(first) >= 3  # its own at least, whether the other one has looked by now or not
    second.rearguard_parts.lifecycle._sample()
    ask(second, "/")
    assert [counted(first), counted(second)] == [5, 5]
    assert len([text for text in said_by_us(caplog) if "was deleted while process" in text]) == 2


def test_a_folder_that_is_deleted_at_any_moment_costs_no_count_and_is_never_called_unusable(tmp_path, caplog):
    folder = tmp_path / "workers"
    workers = [Worker(folder)]
    workers[0].count("/")

    def delete():
        while True:
            with contextlib.suppress(FileNotFoundError):
                vanish(folder)
            time.sleep(0.01)  # shorter, and a loaded machine leaves no time to write between two of them

    deleting = multiprocessing.get_context("fork").Process(target=delete)
    deleting.start()
    try:
        for _ in range(150):
            workers.append(Worker(folder))
            workers[-1].count("/")  # begins a file
            workers[0].store.tend()
            assert workers[0].store.own.path.name in [each.name for each in workers[0].store.look().workers]
    finally:
        deleting.kill()
        deleting.join()
    for each in workers:
        each.store.tend()
    assert workers[0].sees() == {"/": 151}
    assert [text for text in said_by_us(caplog) if "was deleted while process" in text]
    assert [text for text in said_by_us(caplog) if "cannot be used" in text] == []


def test_workers_of_another_version_are_not_added_up(made):
    old, new = made("1.0"), made("2.0")
    for _ in range(5):
        ask(old, "/")
    assert counted(old) == 5
    ask(new, "/")
    for app in (old, new):  # whichever answers
        shown = scraped(app)
        assert [each.labels["service_version"] for each in shown.all("target_info")] == ["2.0"]
        assert shown.value(COUNT) == 1
        assert shown.value("rearguard_exporter_workers", service_version="1.0") == 1
        assert shown.value("rearguard_exporter_workers", service_version="2.0") == 1


def test_a_version_that_comes_back_begins_at_zero(tmp_path):
    first = Worker(tmp_path, "1.0")
    first.count("/a", 100)
    first.die()
    second = Worker(tmp_path, "2.0")
    second.count("/a")
    second.die()
    third = Worker(tmp_path, "1.0")
    third.count("/a", 2)
    assert third.sees(generation=3) == {"/a": 2}
    Worker(tmp_path, "1.0").count("/a")  # folds: what nobody can show any more is deleted
    assert list(tmp_path.glob("*.archive")) == []


def test_all_workers_of_a_version_may_be_killed_and_its_counts_go_on(tmp_path):
    for _ in range(3):
        worker = Worker(tmp_path)
        worker.count("/a", 2)
        worker.die()
    last = Worker(tmp_path)
    last.count("/a")
    assert last.sees() == {"/a": 7}


def test_a_forked_process_counts_in_a_file_of_its_own_and_never_in_its_parent_s(made, tmp_path):
    app = made()
    ask(app, "/")
    parts = app.rearguard_parts
    lane_before_the_fork = app._own.lanes.open("GET", "http")
    assert counted(app) == 1

    def serves():
        lane_before_the_fork.active[0] += 100.0  # a request that was in flight at the fork
        ask(app, "/")
        ask(app, "/")
        assert counted(app) == 3
        assert len(list((tmp_path / "workers").glob("*.worker"))) == 2

    assert in_child(serves) == ""
    shown = scraped(app)
    assert shown.value(COUNT) == 3  # the child's stay, though it ended
    assert shown.value("http_server_active_requests") == 0
    assert parts.shows_workers


def test_a_forked_process_says_nothing_of_a_database_that_only_its_parent_checked(made):
    app = made()
    instruments = app.rearguard_parts.instruments
    instruments.db_up.child("orders").set(1)
    instruments.pool_failures.child("orders")  # shown at 0 by everybody
    assert scraped(app).value("db_up") == 1

    def serves():
        assert scraped(app).value("db_up") == 1
        instruments.db_up.child("orders").set(0)
        assert scraped(app).value("db_up") == 0
        assert scraped(app).value("db_client_connection_failures_total") == 0

    assert in_child(serves) == ""
    assert scraped(app).value("db_up") == 1


def test_a_parent_that_is_killed_is_dead_though_its_child_lives(tmp_path):
    worker = Worker(tmp_path)
    worker.count("/a")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    worker.die()
    reader = Worker(tmp_path)
    [seen] = reader.store.folder.look().workers
    until(seen.is_dead, "the child let go of the file")
    os.close(writing)
    os.waitpid(child, 0)


def test_threads_that_come_and_go_share_one_record(tmp_path):
    worker = Worker(tmp_path)
    worker.count("/a")
    for _ in range(50):
        thread = threading.Thread(target=worker.count, args=("/a",))
        thread.start()
        thread.join()
    [seen] = Worker(tmp_path).store.folder.look().workers
    assert len([record for record in seen.records if record.key == b"/a"]) <= 2
    assert Worker(tmp_path).sees() == {"/a": 51}


def test_the_application_s_instruments_are_joined_by_their_modes(made, tmp_path):
    app = made()
    orders = Counter("workers_orders", "Orders.")
    peak = Gauge("workers_peak", "Peak.", multiprocess_mode="max")
    queue = Gauge("workers_queue", "Queue.", multiprocess_mode="livesum")
    try:
        orders.inc(3)
        peak.set(10)
        queue.set(1)

        def serves():
            orders.inc(4)
            peak.set(7)
            queue.set(2)
            ask(app, "/metrics")

        assert in_child(serves) == ""
        shown = scraped(app)
        assert shown.value("workers_orders_total") == 7
        assert shown.value("workers_peak") == 10
        assert shown.value("workers_queue") == 1  # of the living
    finally:
        for each in (orders, peak, queue):
            REGISTRY.unregister(each)


def test_one_port_answers_for_all_and_nobody_complains(tmp_path, caplog):
    monitor = Monitor("shop", "1.0", "test", workers_dir=tmp_path / "workers", listen="127.0.0.1:0")
    app = monitor.instrument_wsgi(hello)
    ask(app, "/")
    port = monitor.listen_address[1]
    other = Monitor("shop", "1.0", "test", workers_dir=tmp_path / "workers", listen=f"127.0.0.1:{port}")
    ask(other.instrument_wsgi(hello), "/")
    shown = monitor._endpoints.metrics.submit("", "").result(10).body.decode()
    assert Scrape(shown).value(COUNT) == 2
    assert said_by_us(caplog) == []
    other.close()
    monitor.close()


def test_the_variable_switches_it_on(monkeypatch, tmp_path):
    monkeypatch.setenv("REARGUARD_WORKERS_DIR", str(tmp_path / "deep" / "workers"))
    monitor = Monitor("shop", "1.0", "test")
    app = monitor.instrument_wsgi(hello)
    ask(app, "/")
    assert counted(app) == 1
    assert Path(tmp_path / "deep" / "workers").stat().st_mode & 0o777 == 0o700
    monitor.close()
