"""psycopg's cursors, with their operations timed: subclasses of whatever cursors a connection makes.

`stream` is timed while psycopg works, not while the application uses a row; `copy` from its beginning to its end.
Never here: connections and pools (psycopg).
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg import AsyncCursor, sql

from rearguard_exporter.database.timing import Operations


class Cursors:
    """The measured cursors of one database."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._made: dict[type[Any], type[Any]] = {}

    def measured(self, kind: type[Any]) -> type[Any]:
        """A subclass of this kind of cursor; the same one for the same kind."""
        if kind not in self._made:
            make = _async_methods if issubclass(kind, AsyncCursor) else _sync_methods
            names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
            marks = {"__slots__": (), "rearguard_measured": self._operations.instruments}
            self._made[kind] = type(kind.__name__, (kind,), {**names, **marks, **make(kind, self._operations)})
        return self._made[kind]


def leading_text(query: object) -> str:
    """As much of a query as its first word needs; nothing is composed for it."""
    match query:
        case str():
            return query
        case bytes():
            return query[:2000].decode("latin-1")
        case sql.SQL():
            return query.as_string(None)
        case sql.Composed():
            return next((text for part in query if (text := leading_text(part))), "")
        case _:  # a template string (Python 3.14) begins with its first literal part
            strings = getattr(query, "strings", None)
            return str(strings[0]) if strings else ""


def _sync_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                result = method(self, query, *args, **kwargs)
            except BaseException as failure:
                operations.since(began, query, failure)
                raise
            operations.since(began, query, None)
            return result

        return run

    def stream(self: Any, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        spent, failed = 0.0, None
        rows = kind.stream(self, query, *args, **kwargs)
        try:
            while True:
                began = time.perf_counter()
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except BaseException as failure:
                    failed = failure
                    raise
                finally:
                    spent += time.perf_counter() - began
                yield row
        finally:
            operations.lasted(spent, query, failed)
            rows.close()

    @contextmanager
    def copy(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        began = time.perf_counter()
        try:
            with kind.copy(self, *args, **kwargs) as copying:
                yield copying
        except BaseException as failure:
            operations.since(began, "COPY", failure)
            raise
        operations.since(began, "COPY", None)

    methods = {"execute": timed(kind.execute), "executemany": timed(kind.executemany)}
    return methods | {"stream": stream, "copy": copy}


def _async_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        async def run(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                result = await method(self, query, *args, **kwargs)
            except BaseException as failure:
                operations.since(began, query, failure)
                raise
            operations.since(began, query, None)
            return result

        return run

    async def stream(self: Any, query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        spent, failed = 0.0, None
        rows = kind.stream(self, query, *args, **kwargs)
        try:
            while True:
                began = time.perf_counter()
                try:
                    row = await anext(rows)
                except StopAsyncIteration:
                    return
                except BaseException as failure:
                    failed = failure
                    raise
                finally:
                    spent += time.perf_counter() - began
                yield row
        finally:
            operations.lasted(spent, query, failed)
            await rows.aclose()

    @asynccontextmanager
    async def copy(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        began = time.perf_counter()
        try:
            async with kind.copy(self, *args, **kwargs) as copying:
                yield copying
        except BaseException as failure:
            operations.since(began, "COPY", failure)
            raise
        operations.since(began, "COPY", None)

    methods = {"execute": timed(kind.execute), "executemany": timed(kind.executemany)}
    return methods | {"stream": stream, "copy": copy}
