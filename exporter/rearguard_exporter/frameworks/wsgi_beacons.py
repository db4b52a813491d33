"""How the script and the beacons of browsers are served by WSGI."""

from collections.abc import Callable, Mapping
from typing import Any

from rearguard_exporter.browser.beacon import MOST_BYTES
from rearguard_exporter.browser.senders import Sender
from rearguard_exporter.endpoints.beacons import BeaconEndpoint, Reply

Environ = dict[str, Any]


def script_answer(endpoint: BeaconEndpoint) -> Callable[[Environ], Reply]:
    """What answers a request for the script."""

    def answer(environ: Environ) -> Reply:
        return endpoint.script(_sender(environ), environ.get("HTTP_ACCEPT_ENCODING", ""))

    return answer


def beacon_answer(endpoint: BeaconEndpoint) -> Callable[[Environ], Reply]:
    """What answers a beacon, or the question whether one may be sent."""

    def answer(environ: Environ) -> Reply:
        sender = _sender(environ)
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return endpoint.preflight(sender)
        refused = endpoint.refused(sender)
        if refused is not None:
            return refused
        body = _body(environ, sender)
        return endpoint.take(body, sender) if len(body) <= MOST_BYTES else endpoint.too_large()

    return answer


def _sender(environ: Mapping[str, Any]) -> Sender:
    get = environ.get
    return Sender(
        get("HTTP_ORIGIN", ""),
        get("HTTP_HOST", ""),
        get("HTTP_SEC_FETCH_SITE", ""),
        get("CONTENT_TYPE") or "",
        get("CONTENT_LENGTH") or "",
    )


def _body(environ: Mapping[str, Any], sender: Sender) -> bytes:
    """At most one byte more than a beacon may have; empty if the caller left, or the server cannot tell its end."""
    source = environ.get("wsgi.input")
    if source is None or not (sender.content_length or environ.get("wsgi.input_terminated")):
        return b""
    try:
        body: bytes = source.read(int(sender.content_length or MOST_BYTES + 1))
    except Exception:  # noqa: BLE001 - each server has its own for a caller who left
        return b""
    return body
