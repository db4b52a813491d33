"""What a label value may look like, and what it becomes once its family has reached its limit of series."""

from collections.abc import Callable, Mapping

from rearguard_exporter.families import OVERFLOW

MAX_VALUE_LENGTH = 200
"""Characters that a label value may have; the rest is cut."""


def clean(value: str) -> str:
    """The value as every parser accepts it: valid UTF-8, bounded length, no NUL (Prometheus' lexer ends there)."""
    if len(value) > MAX_VALUE_LENGTH:
        value = value[:MAX_VALUE_LENGTH]
    if value.isascii() and "\0" not in value:
        return value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _keep(value: str) -> str:
    return value


def _status_class(value: str) -> str:
    return f"{value[:1]}xx" if value else value  # 5xx still matches the usual "5.."


def _whether(value: str) -> str:
    return OVERFLOW if value else value  # the series still says that there was an error, not which one


def _overflow(_: str) -> str:
    return OVERFLOW


# How the values of a label fold. Labels that are not listed become OVERFLOW. Those listed have few values, so there
# are few folded series.
_FOLDS: Mapping[str, Callable[[str], str]] = {
    "http_request_method": _keep,
    "url_scheme": _keep,
    "http_response_status_code": _status_class,
    "error_type": _whether,
    "reason": _keep,
    "websocket_message_direction": _keep,
    "db_client_connection_state": _keep,
    "db_system_name": _keep,
    "browser_web_vital_navigation_type": _keep,
}


def folded(labels: tuple[str, ...], values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of these labels once their family is full."""
    return tuple(_FOLDS.get(label, _overflow)(value) for label, value in zip(labels, values, strict=True))
