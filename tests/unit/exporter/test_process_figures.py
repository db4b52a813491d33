"""The memory limit out of cgroup trees, and the sampler."""

import os
import time
from typing import NamedTuple

import psutil
import pytest

from rearguard_exporter.values.process_figures import ProcessFigures, memory_limit
from rearguard_exporter.values.processor_use import ProcessorUse, of_host

HOST = 16 << 30


@pytest.fixture
def tree(tmp_path):
    """Writes cgroup files below a folder that stands for the mount point."""

    def write(membership, files, host=HOST):
        (tmp_path / "self").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return memory_limit(tmp_path / "root", tmp_path / "self", host)

    return write


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "536870912\n"}, 512 << 20),  # inside a container, version 2
        ("0::/\n", {"memory.max": "max\n"}, HOST),
        ("0::/\n", {}, HOST),
        (
            "0::/system.slice/shop.service\n",  # a systemd unit with MemoryMax=
            {"system.slice/shop.service/memory.max": "1073741824", "system.slice/memory.max": "max"},
            1 << 30,
        ),
        (
            "0::/a/b\n",  # a parent is tighter
            {"a/b/memory.max": "4294967296", "a/memory.max": "2147483648"},
            2 << 30,
        ),
        (
            "5:cpu,memory:/docker/x\n4:pids:/docker/x\n",  # version 1
            {"memory/docker/x/memory.limit_in_bytes": "268435456"},
            256 << 20,
        ),
        (
            "5:memory:/docker/x\n",  # version 1 in a container: the path of the host is not there
            {"memory/memory.limit_in_bytes": "268435456"},
            256 << 20,
        ),
        (
            "12:memory:/docker/x\n1:name=systemd:/\n0::/docker/x\n",  # both at once, memory still under version 1
            {"memory/docker/x/memory.limit_in_bytes": "268435456"},
            256 << 20,
        ),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, HOST),  # version 1: none
        ("0::/../../up\n", {"memory.max": "1048576"}, 1 << 20),
        ("nonsense\n\n::\n", {"memory.max": "1"}, HOST),
    ],
)
def test_the_tightest_limit_counts_else_the_memory_of_the_host(tree, membership, files, expected):
    assert tree(membership, files) == expected


def test_no_cgroup_files_mean_the_memory_of_the_host(tmp_path):
    assert memory_limit(tmp_path / "no", tmp_path / "none", HOST) == HOST


def test_a_sample_agrees_with_the_operating_system():
    system = ProcessFigures()
    assert list(system.collect()) == []
    system.sample()
    first = system.figures()
    rss = psutil.Process().memory_info().rss
    assert first["process_memory_usage_bytes"] == pytest.approx(rss, rel=0.2)
    assert first["process_memory_usage_bytes"] < first["process_memory_limit_bytes"]
    assert 0 < first["system_memory_utilization_ratio"] < 1
    assert "process_cpu_utilization_ratio" not in first  # nothing to compare with yet
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        sum(range(100_000))
    system.sample()
    assert 0 < system.figures()["process_cpu_utilization_ratio"] <= (os.cpu_count() or 1) * 1.1
    assert 0 <= system.figures()["system_cpu_utilization_ratio"] <= 1 + 1e-6  # a sum of rounded numbers


def test_a_process_that_computes_is_busy_in_user_mode():
    system = ProcessFigures()
    system.sample()
    before, began = psutil.Process().cpu_times(), time.monotonic()
    while psutil.Process().cpu_times().user - before.user < 0.6:
        sum(range(100_000))
    system.sample()
    took = time.monotonic() - began
    shares = {
        sample.labels["cpu_mode"]: sample.value
        for family in system.collect()
        if family.name == "process_cpu_utilization_ratio"
        for sample in family.samples
    }
    assert set(shares) == {"user", "system"}
    assert shares["user"] == pytest.approx(0.6 / took, rel=0.3)
    assert system.figures()["process_cpu_utilization_ratio"] == pytest.approx(sum(shares.values()))


def times(name, modes):
    return NamedTuple(name, [(mode, float) for mode in modes.split()])


LINUX = times("LINUX", "user nice system idle iowait irq softirq steal guest guest_nice")
MACOS = times("MACOS", "user nice system idle")
WINDOWS = times("WINDOWS", "user system idle interrupt dpc")


@pytest.mark.parametrize(
    ("first", "then", "shares"),
    [
        (
            LINUX(0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            LINUX(30, 5, 20, 20, 10, 4, 6, 5, 15, 2),  # the guests' seconds are in `user` and `nice`, too
            {"user": 0.3, "nice": 0.05, "system": 0.2, "interrupt": 0.1, "steal": 0.05},
        ),
        (MACOS(100, 0, 50, 100), MACOS(110, 0, 55, 135), {"user": 0.2, "nice": 0, "system": 0.1, "interrupt": 0}),
        (WINDOWS(0, 0, 0, 0, 0), WINDOWS(25, 25, 45, 5, 0), {"user": 0.25, "system": 0.25, "interrupt": 0.05}),
    ],
)
def test_the_host_s_use_is_told_by_the_modes_that_its_system_has(first, then, shares):
    use = ProcessorUse()
    assert use.since_last(*of_host(first)) == {}
    assert use.since_last(*of_host(then)) == pytest.approx(shares)
    assert use.since_last(*of_host(then)) == pytest.approx(shares)  # the clock has not moved


def test_a_clock_that_is_set_back_shows_no_negative_use():
    use = ProcessorUse()
    use.since_last({"user": 10.0, "system": 10.0}, 100.0)
    assert use.since_last({"user": 9.0, "system": 11.0}, 110.0) == {"user": 0.0, "system": 0.1}


def test_one_tick_of_a_clock_is_never_more_than_there_is():
    use = ProcessorUse()
    use.since_last({"user": 10.0, "system": 10.0}, 100.0)
    assert use.since_last({"user": 10.01, "system": 10.0}, 100.002) == {}  # not five processors
    half = {"user": pytest.approx(0.5), "system": 0.0}
    assert use.since_last({"user": 11.0, "system": 10.0}, 102.0) == half
    assert use.since_last({"user": 11.01, "system": 10.0}, 102.002) == half
    # Nothing between is lost: the next shares begin where the last ones ended.
    assert use.since_last({"user": 11.5, "system": 10.0}, 103.0) == half


FIGURES = {
    "process_memory_usage_bytes", "process_memory_limit_bytes", "process_cpu_utilization_ratio",
    "system_memory_utilization_ratio", "system_cpu_utilization_ratio",
}  # fmt: skip


@pytest.mark.parametrize(
    ("where", "what", "lost"),
    [
        (psutil, "virtual_memory", {"system_memory_utilization_ratio", "process_memory_limit_bytes"}),
        (psutil, "cpu_times", {"system_cpu_utilization_ratio"}),
        (psutil.Process, "memory_info", {"process_memory_usage_bytes"}),
        (psutil.Process, "cpu_times", {"process_cpu_utilization_ratio"}),
        (psutil, "Process", {"process_memory_usage_bytes", "process_cpu_utilization_ratio"}),
    ],
)
@pytest.mark.parametrize("failure", [PermissionError("/proc"), psutil.AccessDenied(1), IndexError("no such line")])
def test_what_the_system_hides_costs_the_other_figures_nothing(monkeypatch, where, what, lost, failure):
    def refuse(*_, **__):
        raise failure

    monkeypatch.setattr(where, what, refuse)
    system = ProcessFigures()
    deadline = time.monotonic() + 30
    while not system.figures().keys() >= FIGURES - lost:  # of processors once their clock has moved
        assert time.monotonic() < deadline, system.figures()
        system.sample()


def test_the_limit_of_a_container_is_known_though_the_host_is_hidden(monkeypatch, tree):
    def refuse():
        raise PermissionError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert tree("0::/\n", {"memory.max": "1048576"}, host=None) == 1 << 20
    with pytest.raises(PermissionError):
        tree("0::/\n", {"memory.max": "max"}, host=None)
