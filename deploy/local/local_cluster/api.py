"""The HTTP side of the API server: every request under `/api` and `/apis`, from the token to the answer."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import yaml
from aiohttp import web

from local_cluster import discovery, openapi, reviews
from local_cluster.access import ANONYMOUS, Access, Tokens, User
from local_cluster.answering import Answers
from local_cluster.errors import ApiError, bad_request
from local_cluster.event_shapes import as_stored, to_new
from local_cluster.faults import Faults
from local_cluster.kinds import EVENTS
from local_cluster.objects import Object
from local_cluster.protobuf import read_protobuf
from local_cluster.request import Asked, read_request
from local_cluster.store import Store
from local_cluster.tables import as_table, wants_table
from local_cluster.watching import Watches, answer_watch

_log = logging.getLogger(__name__)
_HEALTH_PATHS = ("/healthz", "/livez", "/readyz")
_DISCOVERY = ("api", "apis", "openapi/v3")
_NOT_ANONYMOUS = 'forbidden: User "system:anonymous" cannot get path "{path}"'
_REMEMBERED = 5000


@dataclass(slots=True)
class Answered:
    """A request, as an audit log would have it; of an open watch the code is still 0."""

    at: float  # seconds of the wall clock
    method: str
    path: str
    query: str
    user: str = ""
    verb: str = ""
    code: int = 0
    body: Any = None


@dataclass(slots=True)
class ApiServer:
    """Answers requests from the store."""

    store: Store
    access: Access
    tokens: Tokens
    faults: Faults
    watches: Watches
    read_log: Callable[[str, str, str], str] = lambda *_: ""
    admin: Callable[[User, str, str, Any], Object] | None = None  # the test's switches
    answered: deque[Answered] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def application(self) -> web.Application:
        """Return the web application."""
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        note = Answered(time.time(), request.method, request.path, request.query_string)
        self.answered.append(note)
        try:
            fault = None if request.path.startswith("/stand-in/") else await self.faults.meet(request)
            instead = request.headers.get("Impersonate-User")
            who = self.tokens.user(request.headers.get("Authorization"), instead=instead)
            note.user = who.name
            if fault and fault.cut:
                return _cut(request)
            note.body = await _body(request)
            response = await self._dispatch(request, who, note)
            note.code = response.status
            await asyncio.sleep(fault.late if fault else 0.0)
            return _half(response) if fault and fault.half else response
        except ApiError as error:
            note.code = error.code
            return _refusal(error)
        except Exception as error:  # noqa: BLE001 - the client gets 500, as from any server
            _log.exception("the stand-in API server failed at %s %s", request.method, request.path)
            note.code = HTTPStatus.INTERNAL_SERVER_ERROR
            return _refusal(ApiError(note.code, "InternalError", f"Internal error occurred: {error!r}"))

    async def _dispatch(self, request: web.Request, user: User, note: Answered) -> web.StreamResponse:
        if self.admin and request.path.startswith("/stand-in/"):
            return json_response(self.admin(user, request.method, request.path, note.body))
        if request.path in _HEALTH_PATHS:
            return web.Response(text="ok")
        if user == ANONYMOUS and request.path.strip("/") in _DISCOVERY:
            raise ApiError(HTTPStatus.FORBIDDEN, "Forbidden", _NOT_ANONYMOUS.format(path=request.path))
        if (document := discovery.answer(request) or openapi.answer(request)) is not None:
            return document
        if (review := reviews.answer(self.access, request, user, note.body)) is not None:
            return json_response(review, HTTPStatus.CREATED)
        asked = read_request(request)
        note.verb = asked.verb
        self.access.check(user, asked)
        if asked.part == "log" and asked.verb == "get":
            return web.Response(text=self._log_of(asked, request.query.get("container", "")))
        if asked.verb == "watch":
            return await answer_watch(self.store, self.watches, as_stored(asked), request, _shape(request, asked))
        value, code = Answers(self.store, self.access, self.tokens).answer(request, asked, user, note.body)
        if asked.verb in ("get", "list"):
            value = _shape(request, asked)(value)
        elif asked.kind == EVENTS:
            value = to_new(value)
        return json_response(value, code)

    def _log_of(self, asked: Asked, container: str) -> str:
        pod = self.store.get(asked.kind, asked.namespace, asked.name)
        return self.read_log(asked.namespace, asked.name, container or pod["spec"]["containers"][0]["name"])


async def _body(request: web.Request) -> Any:
    data = await request.read()
    if not data:
        return None
    if "protobuf" in request.content_type:
        return read_protobuf(data)
    try:
        if "yaml" not in request.content_type or data.lstrip().startswith(b"{"):
            return orjson.loads(data)
        return yaml.safe_load(data)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body cannot be read: {error}") from None


def json_response(value: Object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    """Return the object as an answer; the type has no charset, as some clients insist on that."""
    return web.Response(
        body=orjson.dumps(value), status=status, headers={"Content-Type": "application/json", **(headers or {})}
    )


def _shape(request: web.Request, asked: Asked) -> Callable[[Object], Object]:
    """Return what makes a stored object or list what the request wants to see."""
    if wants_table(request.headers.get("Accept", "")) and not asked.part:
        include = request.query.get("includeObject", "Metadata")
        return lambda value: as_table(as_stored(asked).kind, value, include=include)
    return to_new if asked.kind == EVENTS else lambda value: value


def _refusal(error: ApiError) -> web.Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
    return json_response(error.as_status(), error.code, headers)


def _half(response: web.StreamResponse) -> web.StreamResponse:
    body = response.body if isinstance(response, web.Response) else None
    if not isinstance(body, bytes):
        return response
    return web.Response(
        body=body[: len(body) // 2], status=response.status, headers={"Content-Type": "application/json"}
    )


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()
