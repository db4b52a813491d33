"""The answer to a delivery that was stored, as bytes on the wire: the same for every client, in its own form."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time

import pytest

from real.controller.served import SENDER, alerts, serving

PATH = "/webhook/alertmanager"


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path) as running:
        yield running


def delivery(version, *names, more=""):
    body = json.dumps(alerts(*names, action="none")).encode()
    head = f"POST {PATH} HTTP/{version}\r\nHost: x\r\nAuthorization: {SENDER}\r\nContent-Length: {len(body)}\r\n"
    return (head + more + "\r\n").encode() + body


async def answers(service, *requests):
    """Status line, headers and body of each answer, for requests that are written at once."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    found = []
    try:
        writer.write(b"".join(requests))
        for _ in requests:
            async with asyncio.timeout(20):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                fields = dict(line.split(": ", 1) for line in head[1:] if line)
                found.append((head[0], fields, json.loads(await reader.readexactly(int(fields["Content-Length"])))))
        async with asyncio.timeout(20):
            closed = "close" in found[-1][1].get("Connection", "") and await reader.read() == b""
    finally:
        writer.close()
    return found, closed


async def test_requests_on_one_connection_are_answered_in_their_order(service):
    found, closed = await answers(service, *(delivery("1.1", *"ABC"[:number]) for number in (3, 1, 2, 1)))
    assert [body for _, _, body in found] == [{"accepted": number} for number in (3, 1, 2, 1)]
    assert {line for line, _, _ in found} == {"HTTP/1.1 202 Accepted"}
    assert not closed


async def test_a_client_that_closes_is_told_that_the_connection_ends(service):
    for request, line in (
        (delivery("1.1", "A", more="Connection: close\r\n"), "HTTP/1.1 202 Accepted"),
        (delivery("1.0", "A"), "HTTP/1.0 202 Accepted"),
    ):
        ([(first, fields, body)], _) = await answers(service, request)
        assert (first, body) == (line, {"accepted": 1})
        assert fields.get("Connection") == ("close" if "1.1" in line else None)


async def test_the_headers_are_those_of_every_answer_and_the_date_is_now(service):
    ([(_, ready, _)], _) = await answers(service, delivery("1.1", "A"))
    ([(_, ordinary, _)], _) = await answers(service, delivery("1.1", "A", more="Connection: close\r\n"))
    told = email.utils.parsedate_to_datetime(ready.pop("Date")).timestamp()
    assert abs(time.time() - told) < 30
    ordinary = {name: text for name, text in ordinary.items() if name not in ("Date", "Connection")}
    assert ready == ordinary
