"""The body of a WSGI request: whether the caller left while it was read, whatever the application makes of that.

What the application calls on it is passed on to the server's own.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rearguard_exporter.frameworks.wsgi_leavers import tells_of_a_leaver
from rearguard_exporter.traffic.request import MeasuredRequest


def watch(environ: dict[str, Any], request: MeasuredRequest) -> None:
    """Note on this request if its body breaks off."""
    source = environ.get("wsgi.input")
    if source is not None:
        environ["wsgi.input"] = Upload(source, _length(environ), request)


def _length(environ: Mapping[str, Any]) -> int:
    text = environ.get("CONTENT_LENGTH") or "0"
    return int(text) if str(text).isdecimal() else 0


class Upload:
    """The server's `wsgi.input`. The caller has left if reading raises, or ends before `length` bytes were read."""

    __slots__ = ("_left", "_request", "_source")

    def __init__(self, source: Any, length: int, request: MeasuredRequest) -> None:
        self._source = source
        self._left = length
        self._request = weakref.ref(request)  # which holds the environ, which holds this

    def read(self, *size: int) -> bytes:
        """As the server's."""
        return self._taken(self._source.read, size, size[0] if size else -1)

    def readline(self, *size: int) -> bytes:
        """As the server's."""
        return self._taken(self._source.readline, size, 1)

    def readlines(self, *hint: int) -> list[bytes]:
        """As the server's."""
        lines = self._called(self._source.readlines, hint)
        self._note(sum(map(len, lines)), 1)
        return lines  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[bytes]:
        """The lines, as the server's."""
        while line := self._taken(next, (self._source, b""), 1):
            yield line

    def __getattr__(self, name: str) -> Any:
        """Anything else that the server's has."""
        found = getattr(self._source, name)
        if name not in {"readinto", "read1", "readinto1"}:
            return found

        def read(*args: Any) -> Any:
            made = self._called(found, args)
            self._note(made if isinstance(made, int) else len(made or b""), 1)
            return made

        return read

    def _taken(self, read: Callable[..., Any], args: tuple[Any, ...], wanted: int | None) -> bytes:
        data: bytes = self._called(read, args)
        self._note(len(data), -1 if wanted is None else wanted)
        return data

    def _called(self, read: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            return read(*args)
        except Exception as failure:
            request = self._request()
            if request is not None and (tells_of_a_leaver(failure) or self._breaks_off(failure)):
                request.client_left = True
            raise

    def _breaks_off(self, failure: Exception) -> bool:
        # cheroot's word for a chunk that does not come, or that is none
        return isinstance(failure, ValueError) and type(self._source).__module__.startswith("cheroot.")

    def _note(self, came: int, wanted: int) -> None:
        # Less than was wanted is the end: a line, or part of a buffer (1), so many bytes, or all that is left (-1).
        missing, self._left = self._left, self._left - came
        request = self._request()
        if request is not None and wanted:
            request.client_left = came < (missing if wanted < 0 else min(wanted, missing))
