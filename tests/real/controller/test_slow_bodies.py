"""Bodies that come slowly, never end, break off or cannot be read: they keep nobody out and are no errors."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import random
import socket
import struct
import time
import zlib

import pytest

from deadline import in_time
from real.controller.hosted import hosted
from real.controller.served import OPERATOR, SENDER, alerts
from real.controller.test_crowd import ask, controller, logged, needs_prlimit
from rearguard_controller.api import limits, request_body

MIB = 1024 * 1024
PATH, DISARM = "/webhook/alertmanager", "/api/monitoring/disarm"
JSON = "application/json"
SMALL = json.dumps(alerts("A")).encode()


def head(token=SENDER, more="", path=PATH):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{more}\r\n\r\n".encode()


def whole(body=SMALL, token=SENDER, more=""):
    return head(token, f"Content-Length: {len(body)}{more}") + body


async def dial(port, source="127.0.0.1"):
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def status(port, data, source="127.0.0.1"):
    """The status of the answer to these bytes; 0 without one."""
    reader, writer = await dial(port, source)
    writer.write(data)
    line = await in_time(reader.readline(), 20)
    writer.close()
    return int(line.split()[1]) if line else 0


@contextlib.asynccontextmanager
async def slow_bodies(port, number, size, token=SENDER, source="127.0.0.2"):
    """Bodies in chunks, of which `size` bytes come at once and the rest a few bytes at a time."""
    pairs = [await dial(port, source) for _ in range(number)]

    async def drip(writer):
        with contextlib.suppress(ConnectionError):
            writer.write(head(token, "Transfer-Encoding: chunked"))
            for _ in range(size // MIB):
                writer.write(b"%x\r\n%s\r\n" % (MIB, b" " * MIB))
                await writer.drain()
            while True:
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(drip(writer)) for _, writer in pairs]
    try:
        await asyncio.sleep(1.0)  # until most have come
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in pairs:
            writer.transport.abort()


@pytest.mark.parametrize(("number", "size"), [(8, 0), (70, 0), (12, 12 * MIB)], ids=["few", "many", "big"])
@pytest.mark.parametrize("other", [("Bearer other", "127.0.0.2"), (SENDER, "127.0.0.3"), (SENDER, "127.0.0.2")],
                         ids=["another token", "another address", "the same of both"])  # fmt: skip
async def test_slow_bodies_of_one_sender_keep_no_delivery_out(tmp_path, number, size, other):
    token, source = other
    async with hosted(tmp_path) as (_, port):
        (tmp_path / "sender").write_text("am:send-1\nlate:other\n")
        async with slow_bodies(port, number, size):
            assert [await status(port, whole(token=token), source) for _ in range(20)] == [202] * 20


async def test_a_body_that_comes_drop_by_drop_is_a_408_long_before_the_limit_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(request_body, "BODY_GRACE", 0.5)
    async with hosted(tmp_path) as (_, port):
        for path, token in ((PATH, SENDER), (DISARM, OPERATOR)):
            reader, writer = await dial(port)
            more = "Content-Type: application/json\r\nContent-Length: 9999"
            writer.write(head(token, more, path))
            answer, began = asyncio.create_task(reader.readline()), time.monotonic()
            while not answer.done():
                writer.write(b" ")
                await asyncio.sleep(0.05)
                assert time.monotonic() < began + 20
            assert (await answer).startswith(b"HTTP/1.1 408")
            writer.transport.abort()


async def test_a_body_that_comes_fast_enough_may_take_longer_than_the_grace(tmp_path, monkeypatch):
    monkeypatch.setattr(request_body, "BODY_GRACE", 0.5)
    body = SMALL + b" " * 2 * MIB
    async with hosted(tmp_path) as (_, port):
        reader, writer = await dial(port)
        writer.write(head(more=f"Content-Length: {len(body)}"))
        for start in range(0, len(body), MIB // 4):
            writer.write(body[start : start + MIB // 4])
            await asyncio.sleep(0.1)
        assert (await reader.readline()).startswith(b"HTTP/1.1 202")
        writer.close()


async def test_of_two_senders_the_one_that_holds_more_makes_room():
    room = limits.Room(100)

    async def reading(sender, size):
        with room.take(sender) as body:
            try:
                async with asyncio.timeout(20) as limit:
                    body.limit = limit
                    body.grow(size)
                    await asyncio.Event().wait()
            except TimeoutError:
                return body.is_pushed_out

    one, two = ("am", "192.0.2.1"), ("am", "192.0.2.2")
    greedy = [asyncio.create_task(reading(one, 40)) for _ in range(2)]
    await asyncio.sleep(0)
    modest = asyncio.create_task(reading(two, 30))
    assert await in_time(greedy[0], 15) is True
    assert room.held == 70
    assert [greedy[1].done(), modest.done()] == [False, False]
    for each in (greedy[1], modest):
        each.cancel()
    await asyncio.gather(greedy[1], modest, return_exceptions=True)
    assert room.held == 0


# --- what breaks off, and what cannot be read ----------------------------------------------------------------------

BOMB = gzip.compress(b'{"alerts":["' + b"a" * (64 * MIB) + b'"]}')
UNREADABLE = {
    "gzip that is none": (whole(b"junk", more="\r\nContent-Encoding: gzip"), {400}),
    "half a gzip": (whole(gzip.compress(SMALL)[:-9], more="\r\nContent-Encoding: gzip"), {400}),
    "a gzip bomb": (whole(BOMB, more="\r\nContent-Encoding: gzip"), {413}),
    "deflate that is none": (whole(b"\x00\x01junk", more="\r\nContent-Encoding: deflate"), {400}),
    "brotli": (whole(b"xx", more="\r\nContent-Encoding: br"), {400}),
    "zstd": (whole(b"xx", more="\r\nContent-Encoding: zstd"), {400}),
    "an unknown coding": (whole(b"xx", more="\r\nContent-Encoding: snappy"), {400, 415}),
    "two codings": (whole(gzip.compress(zlib.compress(SMALL)), more="\r\nContent-Encoding: deflate, gzip"), {400}),
    "utf-16": (whole(SMALL.decode().encode("utf-16"), more=f"\r\nContent-Type: {JSON}; charset=utf-16"), {400}),
    "no such charset": (whole(b"\xff\xfe{}", more=f"\r\nContent-Type: {JSON}; charset=none"), {400}),
    "half a chunk": (head(more="Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n", {400}),
    "a chunk too long": (head(more="Transfer-Encoding: chunked") + b"2\r\n{}}\r\n0\r\n\r\n", {400}),
    "a negative chunk": (head(more="Transfer-Encoding: chunked") + b"-1\r\nx\r\n0\r\n\r\n", {400}),
    "broken gzip in chunks": (
        head(more="Transfer-Encoding: chunked\r\nContent-Encoding: gzip") + b"4\r\njunk\r\n0\r\n\r\n", {400}),
}  # fmt: skip
BEGINNINGS = {
    "in the headers": head()[:30],
    "after the headers": head(more="Content-Length: 999"),
    "in the body": head(more="Content-Length: 999") + b'{"version"',
    "in a chunk": head(more="Transfer-Encoding: chunked") + b"ff\r\n{",
    "in a gzip": head(more="Content-Length: 999\r\nContent-Encoding: gzip") + gzip.compress(os.urandom(2000))[:500],
    "before it may send": head(more="Content-Length: 999\r\nExpect: 100-continue"),
    "without waiting for the answer": whole(),
    "after many requests": whole() * 40,
    "a request without a token": head("Bearer nobody", "Content-Length: 999") + b"{",
    "in a body of a command": head(OPERATOR, f"Content-Type: {JSON}\r\nContent-Length: 999", DISARM),
}  # fmt: skip


def send(port, data, *, reset, linger=0.0):
    """Send and leave: in order, or by a reset."""
    with socket.create_connection(("127.0.0.1", port), 10) as own:
        if reset:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        own.sendall(data)
        time.sleep(linger)


@needs_prlimit
def test_who_hangs_up_or_sends_what_cannot_be_read_leaves_no_error_and_no_traceback_in_the_log(tmp_path):
    dice = random.Random(11)  # noqa: S311  # the same at every run
    with controller(tmp_path, soft=1024, hard=1024) as (port, _):
        for data in BEGINNINGS.values():
            for reset in (False, True):
                for linger in (0.0, 0.05):
                    send(port, data, reset=reset, linger=linger)
        for data, _expected in UNREADABLE.values():
            for _ in range(3):
                send(port, data[: dice.randrange(1, len(data))], reset=dice.random() < 0.5, linger=0.01)
        for name, (data, expected) in UNREADABLE.items():
            assert asyncio.run(status(port, data)) in expected, name
        assert ask(port, PATH, SENDER, alerts("A")) == 202
    wrong = [
        line
        for line in logged(tmp_path)
        if line["log.level"] in {"error", "critical"} or "error.stack_trace" in line or "Traceback" in str(line)
    ]
    assert not wrong, wrong[:3]
