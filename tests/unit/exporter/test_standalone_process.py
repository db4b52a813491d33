"""The watched process: found by each way, summed up over workers, and not mistaken for another one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rearguard_exporter import families
from rearguard_exporter.standalone.config.configuration import ProcessSettings
from rearguard_exporter.standalone.watched.process import WatchedProcess

BUSY = "import sys; print(flush=True)\nwhile True: sum(range(1000))"
IDLE = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def spawn():
    with contextlib.ExitStack() as stack:

        def start(code=IDLE, program=sys.executable):
            process = subprocess.Popen([program, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            process.stdout.readline()  # it runs
            return process

        yield start


def watch(way, value, cgroups=Path("/nowhere")):
    return WatchedProcess(ProcessSettings(way, str(value), 5.0), cgroups)


def look(watched):
    """The figures without labels of one look, by name."""
    watched.look()
    return {family.name: values[()] for family, values in watched.figures.items() if () in values}


def group(folder, *processes, memory=()):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text("".join(f"{each.pid}\n" for each in processes))
    for name, text in dict(memory).items():
        (folder / name).write_text(text)


def test_a_process_is_found_by_its_number_a_file_and_its_name(spawn, tmp_path):
    program = tmp_path / "a-shop-of-a-long-name"
    program.symlink_to(sys.executable)
    victim = spawn(program=program)
    (tmp_path / "pid").write_text(f"{victim.pid}\n")
    rss = psutil.Process(victim.pid).memory_info().rss
    ways = [("pid", victim.pid), ("pid_file", tmp_path / "pid"), ("name", program.name), ("name", program.name[:15])]
    for way, value in ways:
        found = look(watch(way, value))
        assert found["rearguard_exporter_watched_processes"] == 1, way
        assert found["process_resident_memory_bytes"] == rss
        assert found["process_memory_usage_bytes"] == rss
        assert found["process_start_time_seconds"] == psutil.Process(victim.pid).create_time()
        assert found["process_open_fds"] == len(list(Path(f"/proc/{victim.pid}/fd").iterdir()))


@pytest.mark.parametrize("content", ["", "no number", "99999999999", "-1", "0", "1\n2"])
def test_a_file_without_a_number_is_no_process(tmp_path, content):
    (tmp_path / "pid").write_text(content)
    assert look(watch("pid_file", tmp_path / "pid"))["rearguard_exporter_watched_processes"] == 0


def test_a_unit_s_workers_are_summed_wherever_its_cgroup_is(spawn, tmp_path):
    first, second, other = spawn(), spawn(), spawn()
    unit = tmp_path / "system.slice/system-shop.slice/shop@1.service"
    group(unit, first)
    group(unit / "workers", second)
    group(tmp_path / "system.slice/other.service", other)
    found = look(watch("systemd_unit", "shop@1.service", tmp_path))
    assert found["rearguard_exporter_watched_processes"] == 2
    assert found["process_resident_memory_bytes"] == sum(
        psutil.Process(each.pid).memory_info().rss for each in (first, second)
    )
    for value in ("/system.slice/other.service", "system.slice/other.service"):
        assert look(watch("cgroup", value, tmp_path))["rearguard_exporter_watched_processes"] == 1
    for value in ("nothing.service", "../.."):
        assert look(watch("cgroup", value, tmp_path))["rearguard_exporter_watched_processes"] == 0


def test_a_unit_that_is_started_again_is_found_again(spawn, tmp_path):
    unit = tmp_path / "system.slice/shop.service"
    watched = watch("systemd_unit", "shop.service", tmp_path)
    assert look(watched)["rearguard_exporter_watched_processes"] == 0
    group(unit, spawn())
    assert look(watched)["rearguard_exporter_watched_processes"] == 1
    (unit / "cgroup.procs").unlink()
    unit.rmdir()
    assert look(watched)["rearguard_exporter_watched_processes"] == 0
    group(unit, spawn(), spawn())
    assert look(watched)["rearguard_exporter_watched_processes"] == 2


def test_memory_of_a_cgroup_leaves_out_what_the_kernel_can_drop(spawn, tmp_path):
    memory = {"memory.current": "1000\n", "memory.stat": "anon 600\ninactive_file 300\nactive_file 100\n"}
    group(tmp_path / "shop", spawn(), memory=memory)
    assert look(watch("cgroup", "shop", tmp_path))["process_memory_usage_bytes"] == 700


def test_processor_time_only_grows_although_a_worker_ends(spawn, tmp_path):
    workers = [spawn(BUSY), spawn(BUSY)]
    group(tmp_path / "shop", *workers)
    watched = watch("cgroup", "shop", tmp_path)
    deadline = time.monotonic() + 30
    while look(watched)["process_cpu_seconds_total"] < 0.3:
        assert time.monotonic() < deadline
    before = look(watched)["process_cpu_seconds_total"]
    workers[0].kill()
    workers[0].wait()
    after = look(watched)
    assert after["rearguard_exporter_watched_processes"] == 1
    assert after["process_cpu_seconds_total"] >= before
    while not (modes := watched.figures[families.PROCESS_CPU]):  # of half a second at the least
        assert time.monotonic() < deadline
        watched.look()
    assert 0 < sum(modes.values()) <= 1.1 * (os.cpu_count() or 1)


def test_a_process_that_is_gone_or_a_zombie_has_no_figures_and_the_host_has(spawn):
    victim = spawn()
    watched = watch("pid", victim.pid)
    assert look(watched)["process_resident_memory_bytes"] > 0
    victim.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
    found = look(watched)
    assert found == {"rearguard_exporter_watched_processes": 0}
    assert families.SYSTEM_MEMORY in watched.figures


def test_a_number_that_another_process_got_is_not_taken_for_the_watched_one(spawn, monkeypatch):
    victim = spawn()
    watched = watch("pid", victim.pid)
    assert look(watched)["rearguard_exporter_watched_processes"] == 1
    began = psutil.Process(victim.pid).create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: began + 100)  # as of a later one
    assert look(watched)["rearguard_exporter_watched_processes"] == 0


def test_a_look_that_hangs_leaves_no_old_figures(spawn, monkeypatch):
    watched = watch("pid", spawn().pid)
    assert look(watched)["process_resident_memory_bytes"] > 0
    now = time.monotonic()
    monkeypatch.setattr("rearguard_exporter.standalone.watched.process.monotonic", lambda: now + 61)
    assert watched.figures == {}
