"""Reading requests: bodies with a cap, JSON objects with known fields, query parameters.

Here: bytes that anybody may have sent become checked values, or an error that names the place. The role was checked
before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import orjson
from aiohttp import web

from rearguard_controller.api.answers import (
    BadRequestError,
    BodyLostError,
    MediaTypeError,
    TooLargeError,
    TooSlowError,
)
from rearguard_controller.api.limits import Body, busy
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.times.moments import LAST_YEAR, seconds_of

WEBHOOK_CAP = 16 * 1024 * 1024  # bytes
COMMAND_CAP = 64 * 1024
BODY_GRACE = 5.0  # seconds in which a body may come as slowly as it likes
LEAST_RATE = 16 * 1024  # bytes a second that must have come on average beyond that
MOST_TEXT = 4096  # characters of a reason, version or cursor
DEFAULT_LIMIT = 50
MOST_LIMIT = 500
_DIGITS = len(str(MOST_LIMIT))

E = TypeVar("E", bound=StrEnum)


async def read(request: web.Request, cap: int, *, timeout: float, body: Body | None = None) -> bytes:  # noqa: ASYNC109  # the time that the client has
    """The whole body, decompressed; `body` is told of what has come.

    Raises:
        TooLargeError: longer than `cap` bytes; no more than that is ever held.
        TooSlowError: not complete in `timeout` seconds, or slower than `LEAST_RATE` after `BODY_GRACE` seconds.
        BusyError: it had to make room for others.
        BodyLostError: the client left.
    """
    if (request.content_length or 0) > cap:
        raise _too_large(cap)
    try:
        if not request.content.is_eof():
            return await _read_slowly(request, cap, timeout, body)
        whole = request.content.read_nowait()  # it came with its headers: nothing to wait for
    except ConnectionError as error:
        raise BodyLostError("The client left before its request was whole.") from error
    if len(whole) > cap:
        raise _too_large(cap)
    if body is not None:
        body.grow(len(whole))
    return whole


async def _read_slowly(request: web.Request, cap: int, seconds: float, body: Body | None) -> bytes:
    chunks: list[bytes] = []
    size, began = 0, asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(min(seconds, BODY_GRACE)) as limit:
            if body is not None:
                body.limit = limit
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > cap:
                    raise _too_large(cap)
                if body is not None:
                    body.grow(len(chunk))
                chunks.append(chunk)
                limit.reschedule(began + min(seconds, BODY_GRACE + size / LEAST_RATE))
    except TimeoutError:
        if body is not None and body.is_pushed_out:
            raise busy() from None
        raise TooSlowError(
            f"The body did not arrive within {seconds:g} seconds, or more slowly than {LEAST_RATE} bytes a second.",
            hint="Send it in one go.",
        ) from None
    return b"".join(chunks)


@dataclass(frozen=True, slots=True)
class Fields:
    """The checked fields of a JSON object."""

    values: Mapping[str, object]

    def text(self, name: str) -> str:
        """A text that is required and must not be blank.

        Raises:
            InvalidInputError: missing, blank, too long or no text.
        """
        value = self.maybe_text(name)
        if value is None:
            raise InvalidInputError(f"{name} is missing.", hint=f"Say {name} as a text.", field=name)
        return value

    def maybe_text(self, name: str) -> str | None:
        """A text, or None when it is absent or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise InvalidInputError(f"{name} must be a text that is not empty.", field=name)
        if len(value) > MOST_TEXT or "\0" in value:
            raise InvalidInputError(f"{name} must have at most {MOST_TEXT} characters and no NUL.", field=name)
        return value.strip()

    def maybe_flag(self, name: str) -> bool | None:
        """True or false, or None when it is absent or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise InvalidInputError(f"{name} must be true or false.", field=name)
        return value

    def maybe_choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of `choices`, or None when it is absent or null."""
        value = self.maybe_text(name)
        if value is not None and value not in choices:
            raise InvalidInputError(f"{name} must be one of: {', '.join(choices)}.", field=name)
        return value

    def maybe_moment(self, name: str) -> float | None:
        """An RFC 3339 time as seconds since the epoch, or None when it is absent or null."""
        value = self.maybe_text(name)
        if value is None:
            return None
        try:
            return seconds_of(value)
        except ValueError:
            raise InvalidInputError(
                f"{name} must be a time with a zone, up to the year {LAST_YEAR}.",
                hint="For example 2026-01-31T18:00:00Z.",
                field=name,
            ) from None


async def read_fields(request: web.Request, known: Collection[str], *, timeout: float) -> Fields:  # noqa: ASYNC109  # as `read`
    """The body as a JSON object with no other fields than `known`.

    Raises:
        BadRequestError: no JSON object.
        MediaTypeError: the body is declared as another type. Pages of other sites can make a browser send only those.
        InvalidInputError: an unknown field.
    """
    if request.content_type != "application/json":
        raise MediaTypeError(
            "The body must be JSON.", hint="Send the header `Content-Type: application/json`.", field="Content-Type"
        )
    body = await read(request, COMMAND_CAP, timeout=timeout)
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"The body is not JSON: {error}.", hint=_object_hint(known), field="body") from None
    if not isinstance(value, dict):
        raise BadRequestError("The body must be a JSON object.", hint=_object_hint(known), field="body")
    unknown = [name for name in value if name not in known]
    if unknown:
        names = ", ".join(name[:60] for name in unknown[:5])
        raise InvalidInputError(f"Unknown field: {names}.", hint=_object_hint(known), field=unknown[0][:60])
    return Fields(value)


def check_parameters(request: web.Request, known: Collection[str]) -> None:
    """Refuse query parameters that this route does not know, and known ones given twice.

    Raises:
        BadRequestError: naming the parameter.
    """
    for name in request.query:
        if name not in known:
            raise BadRequestError(
                f"Unknown parameter: {name[:60]}.", hint=f"Known here: {', '.join(known)}.", field=name[:60]
            )
        if len(request.query.getall(name)) > 1:
            raise BadRequestError(f"{name} is given more than once.", field=name)


def limit(request: web.Request) -> int:
    """The parameter `limit`: 1 to `MOST_LIMIT`, by default `DEFAULT_LIMIT`."""
    text = request.query.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0
    if not 1 <= number <= MOST_LIMIT:
        raise BadRequestError(f"limit must be a number from 1 to {MOST_LIMIT}.", field="limit")
    return number


def choice(request: web.Request, name: str, kind: type[E]) -> E | None:
    """A parameter that is a member of an enum; None when it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        valid = ", ".join(member.value for member in kind)
        raise BadRequestError(f"{name} must be one of: {valid}.", field=name) from None


def parameter(request: web.Request, name: str) -> str | None:
    """A parameter as text; None when it is not given or empty."""
    text = request.query.get(name)
    if text is not None and (len(text) > MOST_TEXT or "\0" in text):
        raise BadRequestError(f"{name} is too long or holds a NUL.", field=name)
    return text or None


@contextlib.contextmanager
def bad_request() -> Iterator[None]:
    """Turn InvalidInputError into a 400 while the block runs, for query parameters."""
    try:
        yield
    except InvalidInputError as error:
        raise as_bad_request(error) from error


def as_bad_request(error: InvalidInputError) -> BadRequestError:
    """The same error as a 400."""
    return BadRequestError(error.message, hint=error.hint, field=error.field)


def _object_hint(known: Collection[str]) -> str:
    return f"Send an object with these fields: {', '.join(known)}."


def _too_large(cap: int) -> TooLargeError:
    return TooLargeError(f"The body is longer than {cap} bytes.", hint="Send less at once.")
