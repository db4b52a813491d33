"""Fields that no kind of Kubernetes 1.32 knows, or that have another type, found by the published schemas.

Only where a request asks for `fieldValidation=Strict`, as `kubectl` does. Kinds without a schema are not checked.
"""

import kubernetes_validate  # type: ignore[import-untyped]

from local_cluster.errors import bad_request
from local_cluster.kinds import Kind
from local_cluster.objects import Object

_VERSION = "1.32"


def check_fields(kind: Kind, value: Object) -> None:
    """Raise `ApiError` 400 that names the first field that is unknown or has the wrong type."""
    whole = {**value, "apiVersion": kind.api_version, "kind": kind.name}
    try:
        kubernetes_validate.validate(whole, _VERSION, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return
    except kubernetes_validate.ValidationError as error:
        raise bad_request(
            f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: {_told(error)}'
        ) from None


def _told(error: kubernetes_validate.ValidationError) -> str:
    path = ""
    for step in error.path:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(error.schema.get("properties") or {}))
        return "strict decoding error: " + ", ".join(f'unknown field "{path}.{one}"' for one in unknown)
    return f"{path}: {error.message}"
