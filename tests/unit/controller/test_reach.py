"""Whether an action could be begun, found out without beginning it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path

import pytest

from deadline import in_time
from local_stack.process import free_ports
from rearguard_controller.adapters.actions import ActionContext
from rearguard_controller.adapters.actions.reach import connects, obstacle
from rearguard_controller.model import CommandAction, HttpAction

HERE = Path(__file__).parent
CONTEXT = ActionContext("checkout", from_version="v2")


@contextlib.asynccontextmanager
async def listening(trust=None):
    """A server that keeps what it is sent until the other side ends: its port, and a queue of that."""
    sent = asyncio.Queue()

    async def take(reader, writer):
        sent.put_nowait(await reader.read())
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=trust)
    try:
        yield server.sockets[0].getsockname()[1], sent
    finally:
        server.close()


def of_command(folder, *argv, **fields):
    return CommandAction(argv, 5.0, str(folder), **fields)


@pytest.fixture
def program(tmp_path):
    """A folder with a program in it that must not run, and a file that cannot."""
    (tmp_path / "tool").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "text").write_text("")
    yield tmp_path
    assert not (tmp_path / "ran").exists()


async def test_a_program_is_found_where_the_command_would_find_it(program):
    assert await obstacle(of_command(program, "./tool"), CONTEXT) == ""
    assert await obstacle(of_command("/", str(program / "tool")), CONTEXT) == ""
    assert await obstacle(of_command(program, "sh"), CONTEXT) == ""
    on_path = {"PATH": f".{os.pathsep}/nowhere"}
    assert await obstacle(of_command(program, "tool", env=on_path), CONTEXT) == ""


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ("./gone", "./gone is not there, or not executable"),
        ("./text", "./text is not there, or not executable"),
        ("tool", "tool is not there, or not executable"),  # the folder is not on PATH
    ],
)
async def test_a_program_that_could_not_be_started_is_told(program, argv, why):
    assert await obstacle(of_command(program, argv), CONTEXT) == why


async def test_a_folder_that_is_gone_is_told(tmp_path):
    assert await obstacle(of_command(tmp_path / "gone", "sh"), CONTEXT) == f"its folder {tmp_path}/gone is not there"


@contextlib.contextmanager
def without_rights():
    """This process as one that may not do everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


async def test_a_folder_that_cannot_be_entered_is_told(tmp_path):
    closed = tmp_path / "closed"
    (closed / "shop").mkdir(parents=True)
    closed.chmod(0)
    try:
        with without_rights():
            why = await obstacle(of_command(closed / "shop", "sh"), CONTEXT)
    finally:
        closed.chmod(0o700)
    assert why == f"its folder {closed}/shop cannot be entered: Permission denied"


async def test_a_host_is_connected_to_and_sent_nothing():
    async with listening() as (port, sent):
        action = HttpAction("POST", f"http://127.0.0.1:{port}/drain", 5.0, body="secret")
        assert await obstacle(action, CONTEXT) == ""
        assert await in_time(sent.get(), 30) == b""


async def test_a_host_that_takes_no_connection_or_has_no_name_is_told_without_its_path():
    (port,) = free_ports(1)
    refused = await connects(f"http://127.0.0.1:{port}/secret")
    assert refused.startswith("127.0.0.1 cannot be connected to: ")
    unknown = await connects("http://nobody.invalid/secret")
    assert unknown.startswith("nobody.invalid cannot be connected to: ")
    assert "secret" not in refused + unknown


async def test_a_certificate_that_nobody_trusts_is_told():
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(HERE / "loopback-cert.pem", HERE / "loopback-key.pem")
    async with listening(trust) as (port, sent):
        assert (await connects(f"https://127.0.0.1:{port}/")).startswith(
            "the certificate of 127.0.0.1 is not to be trusted: "
        )
    assert sent.empty()


async def test_headers_that_cannot_be_read_and_an_address_that_cannot_be_filled_are_told(tmp_path):
    unread = HttpAction("POST", "http://127.0.0.1/", 5.0, headers_file=str(tmp_path / "gone"))
    assert "the headers file" in await obstacle(unread, CONTEXT)
    unfilled = HttpAction("POST", "http://127.0.0.1/{to_version}", 5.0)
    assert "there is no to_version to fill in" in await obstacle(unfilled, CONTEXT)
