"""Counts of dead workers: none is lost or counted twice, wherever the process that folds them ends."""

import os
import shutil
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rearguard_exporter.families import HTTP_DURATION, SOCKET_ACTIVE, Joining
from rearguard_exporter.workers.beginning import open_locked
from rearguard_exporter.workers.definitions import Point, Published
from rearguard_exporter.workers.folder import NEW
from rearguard_exporter.workers.folding import fold
from unit.exporter.workers_kit import LIMIT, Countdown, Worker, in_child_that_ends_at


def files(folder, ending):
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(ending))


def test_the_dead_are_in_one_archive_and_their_files_are_gone(tmp_path):
    first = Worker(tmp_path)
    first.count("/a", 3)
    first.active.child("/a").inc()
    first.die()
    second = Worker(tmp_path)
    second.count("/a", 2)  # begins, and folds the first
    assert len(files(tmp_path, ".worker")) == 1
    assert len(files(tmp_path, ".archive")) == 1
    assert second.sees() == {"/a": 5}
    assert second.sees(SOCKET_ACTIVE) == {}  # a gauge of a dead worker


def test_a_file_that_somebody_begins_without_waiting_for_its_turn_is_not_taken_for_left_over(tmp_path):
    worker = Worker(tmp_path)
    worker.count("/a")
    begun = tmp_path / (worker.store.folder.new_name() + NEW)
    held = open_locked(begun)  # whoever is in charge was too slow for this process
    fold(worker.store.folder, LIMIT)
    assert begun.exists()
    os.close(held)  # it was killed
    fold(worker.store.folder, LIMIT)
    assert not begun.exists()


def test_after_hundreds_of_workers_there_are_as_many_files_as_after_two(tmp_path):
    for _ in range(300):
        worker = Worker(tmp_path)
        worker.count("/a")
        worker.die()
    last = Worker(tmp_path)
    last.count("/a")
    assert last.sees() == {"/a": 301}
    assert len(list(tmp_path.iterdir())) == 3  # its own, the archive, the lock


def test_an_archive_keeps_as_many_keys_as_a_family_may_have_and_no_count_is_lost(tmp_path):
    for number in range(4):
        worker = Worker(tmp_path, limit=3)
        worker.count(f"/{number}", 2)
        worker.count("/0")
        worker.die()
    last = Worker(tmp_path, limit=3)
    last.count("/0")
    assert last.sees() == {"/0": 7, "/1": 2, "/2": 2, "__overflow__": 2}


def test_a_broken_archive_that_somebody_folds_into_or_mends_is_read_again_by_all(tmp_path):
    gone, other, reader = (Worker(tmp_path) for _ in range(3))
    for worker, times in ((gone, 3), (other, 5), (reader, 1)):
        worker.count("/a", times)
    gone.die()
    fold(Worker(tmp_path).store.folder, LIMIT)
    [archive] = tmp_path.glob("*.archive")
    whole = archive.read_bytes()
    archive.write_bytes(b"x" * len(whole))
    assert reader.sees() == {"/a": 6}
    archive.write_bytes(whole)  # in place, as who puts a copy back does
    os.utime(archive, (1, 1))  # clocks of file systems are coarse
    assert reader.sees() == {"/a": 9}
    broken, folds = Worker(tmp_path), Worker(tmp_path)
    archive.write_bytes(b"x" * len(whole))
    assert broken.sees() == {"/a": 6}
    other.die()
    fold(folds.store.folder, LIMIT)
    assert broken.sees() == folds.sees() == {"/a": 6}


def test_each_look_sees_what_changed_since_the_last_one_in_every_kind_of_family(tmp_path):
    gone, other, reader = (Worker(tmp_path) for _ in range(3))
    figure = Published("jobs", "Jobs.", "gauge", Joining.SUM_LIVING)
    point, key = Point("jobs", ()), ("GET", "/a", "200", "")
    bounds = len(HTTP_DURATION.bounds)

    def seen():
        now = reader.sums()
        counts = now.counts[HTTP_DURATION][key]
        return sum(counts[:-1]), counts[bounds], counts[-1], now.points.get(figure, {}).get(point)

    gone.durations.observe(key, 0.5)
    gone.store.publish({(figure, point): 7.0})
    assert seen() == (1, 0, 0.5, 7)
    other.durations.observe(key, 64.0)  # in the last bucket
    other.store.publish({(figure, point): 2.0})
    assert seen() == (2, 1, 64.5, 9)
    other.durations.observe(key, 0.25)
    assert seen() == (3, 1, 64.75, 9)
    gone.die()
    assert seen() == (3, 1, 64.75, 2)
    fold(Worker(tmp_path).store.folder, LIMIT)
    assert seen() == (3, 1, 64.75, 2)
    other.store.publish({})
    assert seen() == (3, 1, 64.75, None)
    other.durations.observe(key, 1.0)
    other.store.publish({(figure, point): 3.0})
    assert seen() == (4, 1, 65.75, 3)


@pytest.fixture
def left_by_dead(tmp_path):
    """An archive, a file that it holds and that nobody deleted, two dead workers, and a beginning without an end."""
    folder = tmp_path / "left"
    for number in range(2):
        worker = Worker(folder)
        worker.count("/old", number + 1)
        [name] = files(folder, ".worker")
        shutil.copy(folder / name, tmp_path / name)
        worker.die()
    with worker.store.folder.in_charge(1):
        fold(worker.store.folder, LIMIT)
    shutil.copy(tmp_path / name, folder / name)  # as if the one that folded it had ended before it deleted it
    both = [Worker(folder), Worker(folder)]
    for worker in both:
        worker.count("/old", 10)
        worker.count("/new", 100)
    shutil.copy(tmp_path / name, folder / name)
    for worker in both:
        worker.die()
    name = files(folder, ".worker")[0]
    (folder / name.replace(".worker", ".new")).write_bytes(b"half")
    return folder


@pytest.mark.timeout(900)  # a child for each line that is run: about a minute of processor time
@pytest.mark.parametrize(
    ("steps", "least"), [(Countdown.at_calls, 25), pytest.param(Countdown.at_lines, 300, marks=pytest.mark.soak)]
)
def test_a_process_that_ends_at_any_step_loses_and_doubles_nothing(left_by_dead, tmp_path, steps, least):
    expected = {"/old": 23, "/new": 200}
    assert Worker(left_by_dead).sees() == expected
    for step in count():
        folder = tmp_path / str(step)
        shutil.copytree(left_by_dead, folder)
        joining = Worker(folder)
        came_so_far = in_child_that_ends_at(step, lambda: joining.count("/child"), steps)  # noqa: B023 - called in this turn
        reader = Worker(folder)
        seen = reader.sees()
        seen.pop("/child", None)
        assert seen == expected, step
        reader.count("/reader")  # folds what is left
        seen = reader.sees()
        seen.pop("/child", None)
        assert seen == {**expected, "/reader": 1}, step
        assert len(files(folder, ".worker")) == 1, step
        assert files(folder, ".new") == [], step
        shutil.rmtree(folder)
        if not came_so_far:
            break
    assert step > least  # or it was not traced


acts = st.one_of(
    st.tuples(st.just("count"), st.integers(0, 3), st.sampled_from("abc")),
    st.tuples(st.just("die"), st.integers(0, 3)),
    st.tuples(st.just("fold")),
    st.tuples(st.just("crash"), st.integers(0, 400)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(acts, max_size=25))
def test_whatever_workers_do_and_whoever_ends_while_folding_the_sums_are_what_was_counted(tmp_path_factory, doings):
    folder = tmp_path_factory.mktemp("workers")
    workers, model, reader = {}, {}, Worker(folder)
    for act, *rest in doings:
        if act == "count":
            number, route = rest
            workers.setdefault(number, Worker(folder)).count(route)
            model[route] = model.get(route, 0) + 1
        elif act == "die" and rest[0] in workers:
            workers.pop(rest[0]).die()
        elif act == "fold":
            with reader.store.folder.in_charge(1) as is_in_charge:
                assert is_in_charge
                fold(reader.store.folder, LIMIT)
        elif act == "crash":
            in_child_that_ends_at(rest[0], lambda: _fold(folder))
        assert reader.sees() == model
    for worker in workers.values():
        worker.die()


def _fold(folder):
    one = Worker(folder)
    with one.store.folder.in_charge(1):
        fold(one.store.folder, LIMIT)
