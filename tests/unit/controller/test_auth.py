"""Tokens, roles, and the refusal to start in the open."""

from __future__ import annotations

import asyncio
import os
import resource

import pytest

from deadline import in_time
from rearguard_controller.api.auth import (
    FRESH,
    ForbiddenError,
    Gate,
    Role,
    UnauthenticatedError,
    read_tokens,
    require_protection,
)
from rearguard_controller.config import is_loopback
from rearguard_controller.errors import RearguardError


def write(path, text):
    """Replace a file as tools do: a new file under the old name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def gate(tmp_path):
    for role in Role:
        (tmp_path / role).write_text(f"{role}-1\nann:{role}-2\n# ann:{role}-3\n\n")
    return Gate({role.value: tmp_path / role for role in Role})


@pytest.mark.parametrize(
    ("token", "may", "name"),
    [
        ("sender-1", {"sender"}, "sender"),
        ("sender-2", {"sender"}, "ann"),
        ("viewer-1", {"viewer"}, "viewer"),
        ("operator-1", {"viewer", "operator"}, "operator"),
        ("operator-2", {"viewer", "operator"}, "ann"),
    ],
)
def test_a_token_may_do_what_its_role_grants_and_nothing_else(gate, token, may, name):
    for role in Role:
        if role.value in may:
            assert gate.admit(f"Bearer {token}", role).name == name
        else:
            with pytest.raises(ForbiddenError) as caught:
                gate.admit(f"Bearer {token}", role)
            assert token not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "sender-1", "Basic sender-1", "Bearer sender-3", "Bearer sender",
        "Bearer SENDER-1", "Bearer sender-1x", "Bearer sender-", "Bearer ann:sender-2", "Bearer # ann",
        "Bearer \udcff\udcfe", "Bearer " + "x" * 8000,
    ],
)  # fmt: skip
def test_without_a_known_token_nobody_is_let_in(gate, header):
    for role in Role:
        with pytest.raises(UnauthenticatedError):
            gate.admit(header, role)


def test_the_scheme_is_read_in_any_case_as_http_wants_it(gate):
    assert gate.admit("bearer  viewer-1", Role.VIEWER).name == "viewer"


def test_the_same_token_in_two_files_has_both_roles(tmp_path):
    for role in ("sender", "viewer"):
        (tmp_path / role).write_text("both-roles\n")
    gate = Gate({role: tmp_path / role for role in ("sender", "viewer")})
    assert gate.admit("Bearer both-roles", Role.SENDER).may == {Role.SENDER, Role.VIEWER}
    with pytest.raises(ForbiddenError):
        gate.admit("Bearer both-roles", Role.OPERATOR)


async def later(gate):
    """What a request does first, after the time for which the look before it counts."""
    await asyncio.sleep(FRESH)
    await gate.look()


async def test_a_changed_file_counts_at_the_next_request(gate, tmp_path):
    write(tmp_path / "viewer", "ann:new-token\nviewer-1\n")
    await later(gate)
    assert gate.admit("Bearer new-token", Role.VIEWER).name == "ann"
    assert gate.admit("Bearer viewer-1", Role.VIEWER).name == "viewer"
    write(tmp_path / "viewer", "ann:new-token\n")
    await later(gate)
    with pytest.raises(UnauthenticatedError):
        gate.admit("Bearer viewer-1", Role.VIEWER)


async def test_a_file_taken_away_or_spoilt_revokes_its_tokens_until_it_is_back(gate, tmp_path):
    (tmp_path / "viewer").unlink()
    await later(gate)
    with pytest.raises(UnauthenticatedError):
        gate.admit("Bearer viewer-1", Role.VIEWER)
    (tmp_path / "viewer").write_bytes(b"\xff\xfe")
    await later(gate)
    with pytest.raises(UnauthenticatedError):
        gate.admit("Bearer viewer-1", Role.VIEWER)
    assert gate.admit("Bearer operator-1", Role.VIEWER).name == "operator"
    write(tmp_path / "viewer", "viewer-1\n")
    await later(gate)
    assert gate.admit("Bearer viewer-1", Role.VIEWER).name == "viewer"


@pytest.mark.parametrize(
    "line",
    [
        "ann:",
        ":token",
        "two words",
        "ann: two words",
        "ann:words-words\u2028eve:words-words",
        "ann:words-words\x00",
        "ann:words-words\x0ceve:words-words",
        "ann:words-words\x85",
        "an\u200bn:words-words",
        "ann:words-words\reve:x",
    ],
)
def test_a_line_without_a_token_is_refused_without_repeating_it(tmp_path, line):
    (tmp_path / "file").write_bytes(f"good-token\n{line}\n".encode())
    with pytest.raises(RearguardError) as caught:
        read_tokens(tmp_path / "file", Role.VIEWER)
    assert "Line 2" in caught.value.message
    assert "words" not in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfann:good-token\n",
        b"\xef\xbb\xbfgood-token",
        b"# a\r\nann:good-token\r\n",
        b"\xef\xbb\xbf#old:x\ngood-token\n",
    ],
)
def test_a_mark_at_the_start_and_windows_line_ends_change_no_token(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    gate = Gate({"viewer": tmp_path / "file"})
    assert gate.admit("Bearer good-token", Role.VIEWER).name in ("ann", "viewer")
    with pytest.raises(UnauthenticatedError):
        gate.admit("Bearer x", Role.VIEWER)


def test_a_token_that_can_be_guessed_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("ann:good-token\nbob:a\n")
    with pytest.raises(RearguardError, match=r"line 2 .* has only 1 characters"):
        Gate({"viewer": tmp_path / "file"})


async def test_a_short_token_that_is_added_later_is_not_used_and_the_others_are(gate, tmp_path):
    write(tmp_path / "viewer", "viewer-1\nbob:abc\n")
    await later(gate)
    assert gate.admit("Bearer viewer-1", Role.VIEWER).name == "viewer"
    with pytest.raises(UnauthenticatedError):
        gate.admit("Bearer abc", Role.VIEWER)


@pytest.mark.parametrize("kind", ["pipe", "pipe with a writer", "folder", "device", "large", "link to a pipe"])
async def test_what_is_no_small_file_lets_nobody_in_and_keeps_nobody_waiting(gate, tmp_path, kind):
    file = tmp_path / "viewer"
    file.unlink()
    writer = None
    match kind:
        case "pipe" | "pipe with a writer":
            os.mkfifo(file)
            if kind != "pipe":
                writer = os.open(file, os.O_RDWR | os.O_NONBLOCK)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
        case "large":
            file.write_text("viewer-1\n" * 10_000)
        case _:
            os.mkfifo(tmp_path / "pipe")
            file.symlink_to("pipe")
    await in_time(later(gate), 30)
    with pytest.raises(UnauthenticatedError):
        gate.admit("Bearer viewer-1", Role.VIEWER)
    assert gate.admit("Bearer operator-1", Role.VIEWER).name == "operator"
    with pytest.raises(RearguardError, match="cannot be read"):
        Gate({"viewer": file})
    if writer is not None:
        os.close(writer)


async def test_without_a_descriptor_what_was_read_last_counts_and_the_file_is_read_as_soon_as_there_is_one(
    gate, tmp_path
):
    await later(gate)
    write(tmp_path / "viewer", "ann:new-token\n")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        await later(gate)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert gate.admit("Bearer viewer-1", Role.VIEWER).name == "viewer"
    await later(gate)
    assert gate.admit("Bearer new-token", Role.VIEWER).name == "ann"


def test_a_missing_file_stops_the_start(tmp_path):
    with pytest.raises(RearguardError) as caught:
        Gate({"viewer": tmp_path / "absent"})
    assert "absent" in caught.value.message


@pytest.mark.parametrize(
    ("tokens", "host", "insecure", "starts"),
    [
        ({"viewer": "f"}, "0.0.0.0", False, True),
        ({"viewer": "f"}, "0.0.0.0", True, True),
        ({}, "127.0.0.1", False, False),
        ({}, "127.0.0.1", True, True),
        ({}, "::1", True, True),
        ({}, "localhost", True, True),
        ({}, "0.0.0.0", True, False),
        ({}, "::", True, False),
        ({}, "", True, False),
        ({}, "10.0.0.1", True, False),
        ({}, "localhost.example.com", True, False),
    ],
)
def test_without_tokens_it_starts_only_insecure_and_on_loopback(tokens, host, insecure, starts):
    if starts:
        require_protection(tokens, host, insecure=insecure)
        return
    with pytest.raises(RearguardError) as caught:
        require_protection(tokens, host, insecure=insecure)
    assert caught.value.hint


def test_without_token_files_everybody_is_anonymous_and_may_do_all():
    principal = Gate({}).admit(None, Role.OPERATOR)
    assert (principal.name, principal.may) == ("anonymous", set(Role))


def test_loopback_is_the_whole_block_and_nothing_near_it():
    assert is_loopback("127.8.9.1")
    assert is_loopback("[::1]")
    assert not is_loopback("128.0.0.1")
