"""Get and list: one object, or a page of them with a token for the next."""

import base64
import json
from http import HTTPStatus

from aiohttp import web

from local_cluster.errors import ApiError, bad_request, expired
from local_cluster.kinds import Kind
from local_cluster.objects import Object, name_of, namespace_of
from local_cluster.request import Asked
from local_cluster.selectors import Test, by_fields, by_labels, everything
from local_cluster.store import Store

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter."
)


def selection(asked: Asked, request: web.Request) -> Test:
    """Return the test of namespace, name and selectors that the request sets; raises `ApiError` 400."""
    label_text, field_text = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
    labels = by_labels(label_text) if label_text else everything
    fields = by_fields(field_text) if field_text else everything
    namespace, name = asked.namespace, asked.name

    def fits(value: Object) -> bool:
        if (namespace and namespace_of(value) != namespace) or (name and name_of(value) != name):
            return False
        return labels(value) and fields(value)

    return fits


def list_of(kind: Kind, items: list[Object], version: str, **metadata: object) -> Object:
    """Return a list object."""
    return {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": {"resourceVersion": version, **metadata},
        "items": items,
    }


def read_list(store: Store, asked: Asked, request: web.Request) -> Object:
    """Return the list that is asked for; raises `ApiError`: 400, 410 for an old token, 504 for a version to come."""
    version = request.query.get("resourceVersion", "")
    if version.isdigit() and int(version) > store.version:
        message = f"Too large resource version: {version}, current: {store.version}"
        raise ApiError(HTTPStatus.GATEWAY_TIMEOUT, "Timeout", message, retry_after=1)
    fits = selection(asked, request)
    items = [one for one in store.all(asked.kind, asked.namespace) if fits(one)]
    at, after = str(store.version), ("", "")
    if token := request.query.get("continue"):
        at, after = _read_token(token)
        if int(at) < store.oldest:
            raise expired(_TOO_OLD)
        items = [one for one in items if (namespace_of(one), name_of(one)) > after]
    limit = int(request.query.get("limit") or 0)
    if 0 < limit < len(items):
        last = items[limit - 1]
        token = _token(at, (namespace_of(last), name_of(last)))
        rest = len(items) - limit
        return list_of(asked.kind, items[:limit], at, **{"continue": token, "remainingItemCount": rest})
    return list_of(asked.kind, items, at)


def _token(version: str, after: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *after]).encode()).decode()


def _read_token(token: str) -> tuple[str, tuple[str, str]]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise bad_request("continue key is not valid") from None
    return version, (namespace, name)
