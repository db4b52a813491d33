"""The vendors that a monitor was asked for, as one: what an adapter tells of a request, it tells all of them."""

from collections.abc import Mapping
from typing import Any

from rearguard_exporter.apm.tracer import Operation, Tracer
from rearguard_exporter.fault_barrier import report


class Tracers:
    """Every vendor that is in use; false if there is none. Raises nothing into the application."""

    def __init__(self, vendors: tuple[Tracer, ...]) -> None:
        self._vendors = vendors

    def __bool__(self) -> bool:
        return bool(self._vendors)

    def around_asgi(self, app: Any) -> Any:
        """The application, seen by every vendor."""
        for vendor in self._vendors:
            try:
                app = vendor.around_asgi(app)
            except Exception:  # noqa: BLE001 - the wall between the exporter and the application
                report("tracing an ASGI application")
        return app

    def around_wsgi(self, app: Any) -> Any:
        """The application, seen by every vendor."""
        for vendor in self._vendors:
            try:
                app = vendor.around_wsgi(app)
            except Exception:  # noqa: BLE001 - as above
                report("tracing a WSGI application")
        return app

    def around_aiohttp(self, app: Any) -> None:
        """Make every vendor see this application's requests."""
        for vendor in self._vendors:
            try:
                vendor.around_aiohttp(app)
            except Exception:  # noqa: BLE001 - as above
                report("tracing an aiohttp application")

    def name_request(self, scope: Any, method: str, route: str) -> None:
        """The request that is being served has this route."""
        for vendor in self._vendors:
            try:
                vendor.name_request(scope, method, route)
            except Exception:  # noqa: BLE001 - as above
                report("naming a trace")

    def open_socket(self, headers: Mapping[str, str], route: str) -> list[Any]:
        """A WebSocket was accepted; give what is returned to `close_socket`."""
        opened: list[Any] = []
        for vendor in self._vendors:
            try:
                opened.append(vendor.open_socket(headers, route))
            except Exception:  # noqa: BLE001 - as above
                opened.append(None)
                report("tracing a WebSocket")
        return opened

    def close_socket(self, opened: list[Any], reason: str, failure: BaseException | None) -> None:
        """It ended."""
        for vendor, mine in zip(self._vendors, opened, strict=False):
            try:
                vendor.close_socket(mine, reason, failure)
            except Exception:  # noqa: BLE001 - as above
                report("tracing a WebSocket")

    def add_operation(
        self, library: str, system: str, namespace: str, statement: str, seconds: float, failure: BaseException | None
    ) -> None:
        """A database operation is over."""
        operation = Operation(library, system, namespace, statement, seconds, failure)
        for vendor in self._vendors:
            try:
                vendor.add_operation(operation)
            except Exception:  # noqa: BLE001 - as above
                report("tracing a database operation")
