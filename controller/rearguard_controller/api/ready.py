"""Answers whose bytes stand ready: to deliveries that were stored, which are many and alike.

Here: one answer for all requests that get the same one, and its date. A client that closes its connection, or speaks
HTTP/1.0, needs other headers: it gets an ordinary answer.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11

from rearguard_controller.api.answers import HEADERS, JSON_OPTIONS, answer


class ReadyResponse(web.Response):
    """An answer for any number of requests: it keeps nothing of any of them."""

    def __init__(self, data: Mapping[str, object], status: HTTPStatus) -> None:
        """Render `data` as JSON."""
        body = orjson.dumps(data, option=JSON_OPTIONS)
        super().__init__(body=body, status=status, headers=HEADERS)
        self._data = dict(data)
        fields = {**HEADERS, "Content-Length": str(len(body)), "Server": SERVER_SOFTWARE}
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {text}" for name, text in fields.items())]
        self._head = "\r\n".join([*lines, "Date: "]).encode()
        self._tail = b"\r\n\r\n" + body

    @property
    def keep_alive(self) -> bool:
        """The connection stays open: `to` sees to that."""
        return True

    def to(self, request: web.Request) -> web.Response:
        """This answer, or an ordinary one that says the same where the client needs that."""
        if request.keep_alive and request.version == HttpVersion11:
            return self
        return answer(self._data, status=self.status)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it."""
        await request.writer.write_eof(self._head + _date(int(time.time())) + self._tail)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: it was sent."""


@functools.lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
