"""The supervisor script, run as the controller runs it: argument list, clean environment, any working folder."""

import concurrent.futures
import json
import os
import signal

import psutil
import pytest
import requests

from local_stack.process import StackError, wait_until
from local_stack.stack import Stack


@pytest.fixture
def stack(tmp_path):
    with Stack(tmp_path) as stack:
        yield stack


def record(stack):
    return json.loads(stack.supervisor.record.read_text())


def test_no_version_is_current_before_the_first_activation(stack):
    with pytest.raises(StackError, match=r"exit 1: release: nothing was activated yet"):
        stack.release("current")
    assert stack.release("list") == ""


def test_current_is_what_the_process_serves_and_what_the_link_says_once_it_died(stack):
    assert stack.release("deploy", "v1") == "v1"
    link = stack.layout.folder / "current"
    assert str((link).readlink()) == "releases/v1"
    (stack.layout.folder / "elsewhere").symlink_to("releases/v2")
    (stack.layout.folder / "elsewhere").rename(link)
    assert stack.release("current") == "v1"

    psutil.Process(record(stack)["pid"]).kill()
    assert stack.release("current") == "v2"


def test_list_is_newest_first_and_a_rollback_does_not_reorder_it(stack):
    stack.release("deploy", "v1")
    stack.release("deploy", "v2")
    assert stack.release("list").split() == ["v2", "v1"]
    assert stack.release("activate", "v1") == "v1"
    assert stack.release("list").split() == ["v2", "v1"]
    assert stack.release("current") == "v1"
    assert str((stack.layout.folder / "current").readlink()) == "releases/v1"


def test_activating_what_serves_changes_nothing(stack):
    stack.release("deploy", "v1")
    before = record(stack)
    assert stack.release("activate", "v1") == "v1"
    assert record(stack) == before
    assert [line.split()[1] for line in stack.supervisor.history.read_text().splitlines()] == ["v1"]


def test_two_activations_at_once_leave_one_process_and_it_serves_what_the_link_says(stack):
    stack.release("deploy", "v1")
    stack.release("deploy", "v2")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda version: stack.release("activate", version), ["v1", "v2", "v1", "v2"]))
    assert results == ["v1", "v2", "v1", "v2"]
    version = stack.release("current")
    assert str((stack.layout.folder / "current").readlink()) == f"releases/{version}"
    assert len(stack.supervisor._processes()) == 1
    assert requests.get(f"{stack.layout.shop}/?customer=5", timeout=30).json()["version"] == version


@pytest.mark.parametrize("version", ["v9", "../v1", "; rm -rf /", "$(id)", "", "--help-me"])
def test_what_is_no_release_is_refused_and_nothing_changes(stack, version):
    stack.release("deploy", "v1")
    before = record(stack)
    for command in ("check", "activate", "deploy"):
        with pytest.raises(StackError, match=r"exit [12]: "):
            stack.release(command, version)
    assert record(stack) == before


def test_a_damaged_release_is_refused_before_anything_is_stopped(stack):
    stack.release("deploy", "v1")
    before = record(stack)
    stack.release("deploy", "v2")
    stack.release("activate", "v1")
    (stack.layout.folder / "releases/v2/pricing.py").write_text("def price(:\n")
    with pytest.raises(StackError, match="release v2 is damaged"):
        stack.release("activate", "v2")
    assert stack.release("current") == "v1"
    assert before["version"] == "v1"


def test_a_release_that_cannot_start_is_an_error_that_says_why(stack):
    stack.release("deploy", "v1")
    stack.release("deploy", "v2")
    (stack.layout.folder / "releases/v1/pricing.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(StackError, match=r"release v1 did not start: .*nothing_of_this_name"):
        stack.release("activate", "v1")
    assert stack.supervisor._processes() == []


def test_a_process_whose_start_was_interrupted_before_its_record_is_found_and_ended(stack):
    stack.release("deploy", "v1")
    pid = record(stack)["pid"]
    stack.supervisor.record.unlink()
    stack.release("deploy", "v2")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert stack.release("current") == "v2"


def test_a_process_that_ignores_the_request_to_end_is_killed(stack):
    stack.release("deploy", "v1")
    pid = record(stack)["pid"]
    os.kill(pid, signal.SIGSTOP)
    stack.release("stop")
    wait_until(lambda: stack.supervisor._processes() == [], within=30, what="the shop to end")
