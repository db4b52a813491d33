"""The route of an ASGI request: a template, read from what the framework left in the scope.

Starlette leaves the matched route, FastAPI from 0.137 also the context of an included router, whose route alone lacks
the prefix; parametrised mounts leave raw values in `root_path`, which become `{name}` again. Where nothing is left
(plain ASGI, Starlette before it left the route) the request is unmatched.
Never here: walking a router, matching again.
"""

from collections.abc import Mapping
from typing import Any

from rearguard_exporter.metrics import UNMATCHED


def route_of(scope: Mapping[str, Any]) -> str:
    """The template with the prefixes of mounts and included routers; never the raw path."""
    route = scope.get("route")
    left = scope.get("fastapi")
    if left:
        context = left.get("effective_route_context")
        if context is not None:
            route = getattr(context, "starlette_route", None) or context
    if route is None:
        return UNMATCHED
    template = getattr(route, "path_format", None)
    if template is None:
        template = getattr(route, "path", None)
    if not isinstance(template, str):
        return UNMATCHED
    base = scope.get("app_root_path")  # set by mounts only: what the server mounts the application at
    if base is None:
        return template
    prefix = _template_of(scope["root_path"][len(base) :], scope.get("path_params", {}), route)
    # The route of a mount has its own path in both; what is below was not matched, or is no router.
    return f"{prefix}/{{path}}" if _is_mount(route) else prefix + template


def _is_mount(route: Any) -> bool:
    return hasattr(route, "routes") and hasattr(route, "app")


def _template_of(raw: str, params: Mapping[str, Any], route: Any) -> str:
    own = () if _is_mount(route) else getattr(route, "param_convertors", ())
    names = {str(value): name for name, value in params.items() if name not in own and name != "path"}
    if not names:
        return raw
    segments = raw.split("/")
    if not names.keys() <= set(segments):  # a converted value, or one with slashes: its place cannot be told
        return "".join(f"/{{{name}}}" for name in names.values())
    return "/".join(f"{{{names[segment]}}}" if segment in names else segment for segment in segments)
