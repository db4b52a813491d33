"""The memory limit out of cgroup trees, and the sampler."""

import os

import psutil
import pytest

from rearguard_exporter.values.process_figures import ProcessFigures, memory_limit

HOST = 16 << 30


@pytest.fixture
def tree(tmp_path):
    """Writes cgroup files below a folder that stands for the mount point."""

    def write(membership, files):
        (tmp_path / "self").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return memory_limit(tmp_path / "root", tmp_path / "self", HOST)

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
    sum(range(3_000_000))
    system.sample()
    assert 0 < system.figures()["process_cpu_utilization_ratio"] <= (os.cpu_count() or 1) * 1.5
    assert 0 <= system.figures()["system_cpu_utilization_ratio"] <= 1
