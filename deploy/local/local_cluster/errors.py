"""Refusals as the API words them: an exception for each, which becomes a `Status` object with its HTTP code."""

from http import HTTPStatus
from typing import Any

from local_cluster.kinds import Kind
from local_cluster.objects import Object


class ApiError(Exception):
    """A refusal; `code` is the HTTP status, `reason` the machine-readable word."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = int(code)
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def as_status(self) -> Object:
        """Return the `Status` object that the client gets."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def _details(kind: Kind, name: str) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("group", kind.group), ("kind", kind.plural)) if value}


def not_found(kind: Kind, name: str) -> ApiError:
    """No object of this name."""
    message = f'{kind.resource} "{name}" not found'
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, details=_details(kind, name))


def no_such_path() -> ApiError:
    """No such resource at all."""
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> ApiError:
    """The name is taken."""
    message = f'{kind.resource} "{name}" already exists'
    return ApiError(HTTPStatus.CONFLICT, "AlreadyExists", message, details=_details(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> ApiError:
    """Somebody else has written meanwhile."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details=_details(kind, name))


def bad_request(message: str) -> ApiError:
    """The request makes no sense."""
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def invalid(kind: Kind, name: str, field: str, why: str, *, cause: str = "FieldValueInvalid") -> ApiError:
    """One field is wrong; `why` begins as the API's do: `Invalid value: …`, `Required value: …`."""
    details = {"name": name, "group": kind.group, "kind": kind.name}
    details = {key: value for key, value in details.items() if value}
    causes = [{"reason": cause, "message": why, "field": field}]
    message = f'{kind.kind_and_group} "{name}" is invalid: {field}: {why}'
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", message, details={**details, "causes": causes})


def patch_refused() -> ApiError:
    """A JSON patch cannot be applied, or one of its tests does not hold."""
    message = "the server rejected our request due to an error in our request"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", message)


def unsupported_patch(accepted: str) -> ApiError:
    """This kind of patch is not for this kind of object."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)


def method_not_allowed() -> ApiError:
    """The path has no such method."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message)


def forbidden(user: str, verb: str, resource: str, group: str, *, name: str = "", namespace: str = "") -> ApiError:
    """The user may not do this; `resource` with its subresource."""
    plural = resource.partition("/")[0]
    named = f' "{name}"' if name else ""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{plural}{"." + group if group else ""}{named} is forbidden: User "{user}" cannot {verb} resource '
        f'"{resource}" in API group "{group}" {where}'
    )
    details = {key: one for key, one in (("name", name), ("group", group), ("kind", plural)) if one}
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", message, details=details)


def terminating(kind: Kind, name: str, namespace: str) -> ApiError:
    """The namespace is being deleted: nothing new comes into it."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    details = {**_details(kind, name), "causes": [{"reason": "NamespaceTerminating", "message": why}]}
    message = f'{kind.resource} "{name}" is forbidden: {why}'
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", message, details=details)


def unauthorized() -> ApiError:
    """The token says nothing to us."""
    return ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    """The resourceVersion or the continue token is too old."""
    return ApiError(HTTPStatus.GONE, "Expired", message)
