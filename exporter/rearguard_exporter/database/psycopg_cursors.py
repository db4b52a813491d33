"""psycopg's cursors, with their operations timed: subclasses of whatever cursors a connection makes.

`stream` is timed while psycopg works, not while the application uses a row; `copy` from its beginning to its end; a
statement of a pipeline until its result arrived. A statement without text is a pool's check, and not measured.
Never here: connections and pools (psycopg), pipelines (psycopg_pipeline).
"""

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg import AsyncCursor, sql

from rearguard_exporter.database.operation_labels import first_word
from rearguard_exporter.database.operations import Operations
from rearguard_exporter.database.psycopg_pipeline import arrived, sent, take_back

_LOOK_AT = 2000  # characters of a query that is put together of parts


class Cursors:
    """The measured cursors of one database."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._made: dict[type[Any], type[Any]] = {}

    def measured(self, kind: type[Any]) -> type[Any]:
        """A subclass of this kind of cursor; the same one for the same kind."""
        if kind not in self._made:
            make = _async_methods if issubclass(kind, AsyncCursor) else _sync_methods
            more = _server_methods if hasattr(kind, "_fetch_gen") else _client_methods
            names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
            marks = {"__slots__": (), "rearguard_measured": self._operations.instruments}
            methods = {**make(kind, self._operations), **more(kind, self._operations)}
            self._made[kind] = type(kind.__name__, (kind,), {**names, **marks, **methods})
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
            text = ""
            for part in query:
                text += leading_text(part)
                if len(text) > _LOOK_AT or first_word(text):
                    break
            return text
        case _:  # a template string (Python 3.14) begins with its first literal part
            strings = getattr(query, "strings", None)
            return str(strings[0]) if strings else ""


def _query(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else next(iter(kwargs.values()), "")


def _is_for_pipelines(kind: type[Any]) -> bool:
    """Whether `execute` may return before the result came; `executemany` waits, and no cursor on the server may."""
    return hasattr(kind, "_check_results") and not hasattr(kind, "_fetch_gen")


def _client_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    check = getattr(kind, "_check_results", None)  # there is no public way to know that results came
    if check is None:
        return {}

    def _check_results(self: Any, results: Any) -> None:  # of a pipeline or not, the first look at what arrived
        pipeline = getattr(getattr(self, "_conn", None), "_pipeline", None)
        if pipeline is None:
            check(self, results)
            return
        try:
            check(self, results)
        except BaseException as failure:
            arrived(pipeline, self, operations, failure)
            raise
        arrived(pipeline, self, operations, None)

    return {"_check_results": _check_results}


def _server_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    def _fetch_gen(self: Any, *args: Any) -> Generator[Any, Any, Any]:  # every way to the rows goes through it
        began = time.perf_counter()
        try:
            rows = yield from kind._fetch_gen(self, *args)  # noqa: SLF001
        except BaseException as failure:
            operations.since(began, "FETCH", failure)
            raise
        operations.since(began, "FETCH", None)
        return rows

    return {"_fetch_gen": _fetch_gen}


def _sync_timed(method: Callable[..., Any], operations: Operations, *, is_one: bool) -> Callable[..., Any]:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = args[0] if args else _query(args, kwargs)
        if query.__class__ is str and not query:
            return method(self, *args, **kwargs)
        began = time.perf_counter()
        pipeline = getattr(getattr(self, "_conn", None), "_pipeline", None) if is_one else None
        waiting = None if pipeline is None else sent(pipeline, self, operations, began, query)
        try:
            result = method(self, *args, **kwargs)
        except BaseException as failure:
            if waiting is None or take_back(waiting):
                operations.since(began, query, failure)
            raise
        if waiting is None:
            operations.since(began, query, None)
        return result

    return run


def _sync_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    def stream(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        spent, failed, query = 0.0, None, _query(args, kwargs)
        rows = kind.stream(self, *args, **kwargs)
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

    is_one = _is_for_pipelines(kind)
    methods = {
        "execute": _sync_timed(kind.execute, operations, is_one=is_one),
        "executemany": _sync_timed(kind.executemany, operations, is_one=False),
    }
    return methods | {"stream": stream, "copy": copy}


def _async_timed(method: Callable[..., Any], operations: Operations, *, is_one: bool) -> Callable[..., Any]:
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = args[0] if args else _query(args, kwargs)
        if query.__class__ is str and not query:
            return await method(self, *args, **kwargs)
        began = time.perf_counter()
        pipeline = getattr(getattr(self, "_conn", None), "_pipeline", None) if is_one else None
        waiting = None if pipeline is None else sent(pipeline, self, operations, began, query)
        try:
            result = await method(self, *args, **kwargs)
        except BaseException as failure:
            if waiting is None or take_back(waiting):
                operations.since(began, query, failure)
            raise
        if waiting is None:
            operations.since(began, query, None)
        return result

    return run


def _async_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    async def stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        spent, failed, query = 0.0, None, _query(args, kwargs)
        rows = kind.stream(self, *args, **kwargs)
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

    is_one = _is_for_pipelines(kind)
    methods = {
        "execute": _async_timed(kind.execute, operations, is_one=is_one),
        "executemany": _async_timed(kind.executemany, operations, is_one=False),
    }
    return methods | {"stream": stream, "copy": copy}
