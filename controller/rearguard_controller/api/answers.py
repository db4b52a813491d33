"""Answers: JSON out, and every failure as one shape with a code, a sentence and a hint.

Here: `answer` for results, the mapping from errors to HTTP statuses, and `refuse`, which turns any other exception
into a JSON error: no HTML, no traceback, no internals.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, TypedDict

import orjson
import structlog
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPException
from multidict import CIMultiDict

from rearguard_controller.api.auth import ForbiddenError, UnauthenticatedError
from rearguard_controller.errors import (
    ConfigError,
    ConflictError,
    InvalidInputError,
    JournalError,
    NotFoundError,
    RearguardError,
    SourceError,
)

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RETRY_AFTER = "5"  # seconds: what could not be stored now may be storable soon
JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
WEBHOOK_PATH = "/webhook/alertmanager"
HEADERS = CIMultiDict(  # each answer gets a copy, and the type is the one that is copied fastest
    {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
)
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    422: "invalid",
    429: "too_many",
    500: "internal",
    502: "source_unavailable",
    503: "unavailable",
}


class Refusal(TypedDict):
    """Why a request was refused."""

    code: Annotated[str, ("enum", tuple(CODES.values())), "The kind of failure, one for each HTTP status."]
    message: Annotated[str, "What is wrong, in a sentence."]
    hint: Annotated[str, "What to do about it; may be empty."]
    field: Annotated[str | None, "The field, parameter or header that is wrong; null when it is none of them."]


class Error(TypedDict):
    """Every failure has this form."""

    error: Annotated[Refusal, "Why the request was refused."]


class BadRequestError(RearguardError):
    """The request cannot be read as the HTTP interface defines it: 400."""


class TooLargeError(RearguardError):
    """The body is longer than this route takes: 413."""


class TooSlowError(RearguardError):
    """The body did not arrive in time: 408."""


class BodyLostError(RearguardError):
    """The client left before its body was whole: 400, which nobody reads."""


class TooManyError(RearguardError):
    """This operator asked for too much at once: 429 with the seconds to wait."""

    def __init__(self, message: str, *, wait: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


class BusyError(RearguardError):
    """More waits than is taken at once: 503, and the sender comes again."""


class MediaTypeError(RearguardError):
    """The body is of another type than JSON: 415."""


_STATUS: tuple[tuple[type[RearguardError], int], ...] = (
    (BadRequestError, 400),
    (BodyLostError, 400),
    (UnauthenticatedError, 401),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (TooSlowError, 408),
    (ConflictError, 409),
    (TooLargeError, 413),
    (MediaTypeError, 415),
    (InvalidInputError, 422),
    (TooManyError, 429),
    (BusyError, 503),
    (ConfigError, 422),
    (JournalError, 503),
    (SourceError, 502),
)
_EXTRA_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="rearguard"'},
    503: {"Retry-After": RETRY_AFTER},
}
_ROUTER_HINTS = {
    404: "The routes are listed in docs/api.md.",
    405: "The Allow header lists the methods of this route.",
}


def answer(data: Mapping[str, object], *, status: int = HTTPStatus.OK) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=orjson.dumps(data, option=JSON_OPTIONS),
        status=status,
        headers=HEADERS,
    )


def refusal(error: RearguardError) -> web.Response:
    """An error with its HTTP status; one that is not the client's fault shows no internals."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    response = _error(status, error.message, hint=error.hint, field=error.field)
    if isinstance(error, TooManyError):
        response.headers["Retry-After"] = str(math.ceil(error.wait))
    return response


def _error(status: int, message: str, *, hint: str = "", field: str | None = None) -> web.Response:
    code = CODES.get(status, "error")
    place = None if field is None else _text(field)
    shown: Error = {"error": {"code": code, "message": _text(message), "hint": _text(hint), "field": place}}
    response = answer(shown, status=status)
    response.headers.update(_EXTRA_HEADERS.get(status, {}))
    return response


def refuse(request: web.Request, error: Exception) -> web.Response:
    """The answer to whatever a handler or the router raised; failures of the service are logged, too."""
    match error:
        case RearguardError():
            response = refusal(error)
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.error("request_failed", method=request.method, route=route_of(request), error=error.message)
            return response
        case HTTPException():
            return _from_router(request, error)
        case HttpProcessingError() | ClientPayloadError() | web.RequestPayloadError():
            log.info("body_unreadable", path=request.path, error=type(error).__name__)
            return _error(
                HTTPStatus.BAD_REQUEST, "The body could not be read.", hint="Check length and encoding headers."
            )
        case _:
            log.error("request_failed", method=request.method, route=route_of(request), exc_info=error)
            return _error(
                HTTPStatus.INTERNAL_SERVER_ERROR, "The controller failed to answer.", hint="Its log says why."
            )


def route_of(request: web.Request) -> str:
    """The template of the matched route, for logs: never what a client wrote into the path."""
    if request.method == "POST" and request.raw_path == WEBHOOK_PATH:
        return WEBHOOK_PATH  # a delivery, which goes past the router
    resource = request.match_info.route.resource
    return "__unmatched__" if resource is None else resource.canonical


def _from_router(request: web.Request, error: HTTPException) -> web.Response:
    status = error.status
    phrase = HTTPStatus(status).phrase
    if status == HTTPStatus.NOT_FOUND:
        phrase = f"There is nothing at {request.path[:200]}."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        phrase = f"{request.method[:20]} is not possible at {request.path[:200]}."
    response = _error(status, phrase, hint=_ROUTER_HINTS.get(status, ""))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _text(value: str) -> str:
    """Text that JSON can carry: lone surrogates from raw header or path bytes are replaced."""
    return value.encode("utf-8", "replace").decode("utf-8")
