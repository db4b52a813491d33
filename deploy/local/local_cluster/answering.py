"""What a request for objects is answered: the verb decides, the store gives and takes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from aiohttp import web

from local_cluster import reading, writing
from local_cluster.access import Access, Tokens, User, service_account
from local_cluster.errors import ApiError, bad_request
from local_cluster.event_shapes import as_stored, to_core
from local_cluster.kinds import EVENTS
from local_cluster.objects import Object, time_text
from local_cluster.request import Asked, wants
from local_cluster.store import Store

_NO_MANAGER = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers everything but watches."""

    store: Store
    access: Access
    tokens: Tokens

    def answer(self, request: web.Request, asked: Asked, user: User, body: Any) -> tuple[Object, int]:
        """Return the object, as it is stored, and the HTTP status; raises `ApiError`."""
        if asked.kind != EVENTS:
            return self._answer(request, asked, user, body)
        body = to_core(body) if isinstance(body, dict) else body
        return self._answer(request, as_stored(asked), user, body)

    def _answer(self, request: web.Request, asked: Asked, user: User, body: Any) -> tuple[Object, int]:
        match asked.verb:
            case "create" if asked.part:
                return self._create_part(asked, body), HTTPStatus.CREATED
            case "get":
                value = self.store.get(asked.kind, asked.namespace, asked.name)
                return writing.as_asked(asked, value), HTTPStatus.OK
            case "list":
                return reading.read_list(self.store, asked, request), HTTPStatus.OK
            case "delete":
                return writing.delete(self.store, asked, body, keep=_keeps(request, body)), HTTPStatus.OK
            case "deletecollection":
                return self._delete_many(request, asked, keep=_keeps(request, body)), HTTPStatus.OK
        write = writing.Write(
            self.store, asked, manager_of(request), keep=_keeps(request, body), strict=_strict(request)
        )
        match asked.verb:
            case "create":
                return write.create(body), HTTPStatus.CREATED
            case "update":
                return write.update(body), HTTPStatus.OK
        if request.content_type != writing.APPLY_PATCH:
            return write.patch(request.content_type, body), HTTPStatus.OK
        if not request.query.get("fieldManager"):
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", _NO_MANAGER)
        is_new = self.store.find(asked.kind, asked.namespace, asked.name) is None
        if is_new:
            self.access.may_create(user, asked)
        value = write.apply(body, force=wants(request, "force"))
        return value, HTTPStatus.CREATED if is_new else HTTPStatus.OK

    def _create_part(self, asked: Asked, body: Any) -> Object:
        """Evict a pod, or give out a token for a service account."""
        stored = self.store.get(asked.kind, asked.namespace, asked.name)
        if asked.part == "eviction":
            self.store.delete(asked.kind, asked.namespace, asked.name)
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        token = self.tokens.issue(service_account(asked.namespace, asked.name))
        until = datetime.now(UTC) + timedelta(hours=1)
        status = {"token": token, "expirationTimestamp": time_text(until)}
        spec = (body or {}).get("spec") or {}
        names = {key: stored["metadata"][key] for key in ("name", "namespace")}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": names,
            "spec": spec,
            "status": status,
        }

    def _delete_many(self, request: web.Request, asked: Asked, *, keep: bool) -> Object:
        fits = reading.selection(asked, request)
        gone = [one for one in self.store.all(asked.kind, asked.namespace) if fits(one)]
        for one in gone if keep else ():
            self.store.delete(asked.kind, asked.namespace, one["metadata"]["name"])
        return reading.list_of(asked.kind, gone, str(self.store.version))


def _keeps(request: web.Request, body: Any) -> bool:
    """Return false for a dry run; raises `ApiError` 400 for one that does not exist."""
    asked = request.query.getall("dryRun", [])
    if isinstance(body, dict) and request.method == "DELETE":
        asked = [*asked, *(body.get("dryRun") or [])]
    if any(one != "All" for one in asked):
        raise bad_request(f"Invalid value: {asked}: dryRun: Unsupported value; supported values: All")
    return not asked


def _strict(request: web.Request) -> bool:
    return request.query.get("fieldValidation") == "Strict"


def manager_of(request: web.Request) -> str:
    """Return the name of the writer: what it says, else the first word of its user agent."""
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return request.query.get("fieldManager") or agent
