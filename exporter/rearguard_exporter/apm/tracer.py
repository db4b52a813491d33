"""What each vendor is told, whatever its SDK makes of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Operation(NamedTuple):
    """A database operation that is over."""

    library: str  # `sqlalchemy`, `asyncpg`, `psycopg`
    system: str  # OpenTelemetry's `db.system.name`
    namespace: str
    statement: str
    seconds: float
    failure: BaseException | None


class Tracer(Protocol):
    """One vendor. What it raises is reported by `Tracers`, and raised no further."""

    def around_asgi(self, app: Any) -> Any:
        """The application, so that the vendor sees its requests, its sockets and what they raise."""

    def around_wsgi(self, app: Any) -> Any:
        """The same of a WSGI application."""

    def around_aiohttp(self, app: Any) -> None:
        """Make the vendor see requests of this application of aiohttp."""

    def name_request(self, scope: Any, method: str, route: str) -> None:
        """The request that is being served by ASGI has this route."""

    def open_socket(self, headers: Mapping[str, str], route: str) -> Any:
        """A WebSocket of this route was accepted; what is returned is given to `close_socket`."""

    def close_socket(self, opened: Any, reason: str, failure: BaseException | None) -> None:
        """It ended for this reason. `failure` is what its handler raised, if that is to blame."""

    def add_operation(self, operation: Operation) -> None:
        """A database operation is over, just now."""
