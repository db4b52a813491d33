"""The HTTP side of the API server: every request under `/api` and `/apis`, from the token to the answer."""

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import yaml
from aiohttp import web

from local_cluster import discovery, openapi, reading, writing
from local_cluster.access import Access, Tokens, User
from local_cluster.errors import ApiError, bad_request
from local_cluster.faults import Faults
from local_cluster.objects import Object
from local_cluster.request import Asked, read_request
from local_cluster.store import Store
from local_cluster.watching import Watches, answer_watch

_log = logging.getLogger(__name__)
_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_REMEMBERED = 5000
_NO_PROTOBUF = "the stand-in cluster reads no protobuf; say it as a manifest: kubectl create -f, kubectl apply -f"


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered, as an audit log would have it."""

    at: float  # seconds of the wall clock
    user: str
    verb: str
    method: str
    path: str
    query: str
    code: int
    body: Any


@dataclass(slots=True)
class ApiServer:
    """Answers requests from the store."""

    store: Store
    access: Access
    tokens: Tokens
    faults: Faults
    watches: Watches
    answered: deque[Answered] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def application(self) -> web.Application:
        """Return the web application."""
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        user, verb, body, code = "", request.method.lower(), None, int(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            fault = await self.faults.meet(request)
            who = self.tokens.user(request.headers.get("Authorization"))
            user = who.name
            if fault and fault.cut:
                return _cut(request)
            body = await _body(request)
            response = await self._dispatch(request, who, body)
            code = response.status
            return _half(response) if fault and fault.half else response
        except ApiError as error:
            code = error.code
            return _refusal(error)
        except Exception as error:  # noqa: BLE001 - the client gets 500, as from any server
            _log.exception("the stand-in API server failed at %s %s", request.method, request.path)
            return _refusal(ApiError(code, "InternalError", f"Internal error occurred: {error!r}"))
        finally:
            self.answered.append(
                Answered(time.time(), user, verb, request.method, request.path, request.query_string, code, body)
            )

    async def _dispatch(self, request: web.Request, user: User, body: Any) -> web.StreamResponse:
        if request.path in _OPEN_PATHS and not request.path.startswith("/version"):
            return web.Response(text="ok")
        if (document := discovery.answer(request) or openapi.answer(request)) is not None:
            return document
        asked = read_request(request)
        self.access.check(user, asked)
        if asked.verb == "watch":
            return await answer_watch(self.store, self.watches, asked, request, lambda value: value)
        return self._answer_one(request, asked, body)

    def _answer_one(self, request: web.Request, asked: Asked, body: Any) -> web.Response:
        keep = "All" not in request.query.getall("dryRun", [])
        if isinstance(body, dict) and asked.verb in ("delete", "deletecollection"):
            keep = keep and "All" not in (body.get("dryRun") or [])
        match asked.verb:
            case "get":
                value = self.store.get(asked.kind, asked.namespace, asked.name)
                return json_response(writing.as_asked(asked, value))
            case "list":
                return json_response(reading.read_list(self.store, asked, request))
            case "create":
                return json_response(writing.create(self.store, asked, body, keep=keep), HTTPStatus.CREATED)
            case "update":
                return json_response(writing.update(self.store, asked, body, keep=keep))
            case "patch":
                media = request.content_type
                return json_response(writing.patch(self.store, asked, media, body, keep=keep))
            case "delete":
                return json_response(writing.delete(self.store, asked, body, keep=keep))
            case _:
                fits = reading.selection(asked, request)
                gone = [one for one in self.store.all(asked.kind, asked.namespace) if fits(one)]
                for one in gone if keep else ():
                    self.store.delete(asked.kind, asked.namespace, one["metadata"]["name"])
                return json_response(reading.list_of(asked.kind, gone, str(self.store.version)))


async def _body(request: web.Request) -> Any:
    data = await request.read()
    if not data:
        return None
    if "protobuf" in request.content_type:
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", _NO_PROTOBUF)
    try:
        return yaml.safe_load(data) if "yaml" in request.content_type else orjson.loads(data)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the body cannot be read: {error}") from None


def json_response(value: Object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    """Return the object as an answer; the type has no charset, as some clients insist on that."""
    return web.Response(
        body=orjson.dumps(value), status=status, headers={"Content-Type": "application/json", **(headers or {})}
    )


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
