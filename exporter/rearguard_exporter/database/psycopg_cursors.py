"""psycopg's cursors with their operations timed: subclasses of whatever cursors a connection makes.

`stream` is timed while psycopg works, not while the application uses a row. `copy` is timed from its beginning to its
end, a statement in a pipeline until its result arrives. A statement without text is a pool's check: not measured.
"""

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg import AsyncCursor, sql

from rearguard_exporter.database.operation_labels import first_word
from rearguard_exporter.database.operations import Operations
from rearguard_exporter.database.psycopg_pipeline import Statement, arrived, sent, take_back

_LOOK_AT = 2000  # characters of a query in which its first word is looked for


class Cursors:
    """Makes the measured cursor classes of one database."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._made: dict[type[Any], type[Any]] = {}

    def measured(self, kind: type[Any]) -> type[Any]:
        """A measured subclass of this cursor class; always the same one for the same class."""
        if kind not in self._made:
            is_async, operations = issubclass(kind, AsyncCursor), self._operations
            timed, make = (_async_timed, _async_methods) if is_async else (_sync_timed, _sync_methods)
            more = _server_methods if hasattr(kind, "_fetch_gen") else _client_methods
            names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
            marks = {"__slots__": (), "rearguard_measured": operations.instruments}
            methods = {
                "execute": timed(kind.execute, operations, is_for_pipelines=_is_for_pipelines(kind)),
                "executemany": timed(kind.executemany, operations, is_for_pipelines=False),
                **make(kind, operations),
                **more(kind, operations),
            }
            self._made[kind] = type(kind.__name__, (kind,), {**names, **marks, **methods})
        return self._made[kind]


def leading_text(query: object) -> str:
    """The beginning of a query, long enough for its first word. The query is not composed for this."""
    match query:
        case str():
            return query
        case bytes():
            return query[:_LOOK_AT].decode("latin-1")
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
    """Whether `execute` may return before its result came. `executemany` and cursors on the server always wait."""
    return hasattr(kind, "_check_results") and not hasattr(kind, "_fetch_gen")


def _in_pipeline(cursor: Any, operations: Operations, began: float, query: Any) -> Statement | None:
    """What a pipeline keeps of this statement until its result comes; None outside of pipelines."""
    pipeline = getattr(getattr(cursor, "_conn", None), "_pipeline", None)
    return None if pipeline is None else sent(pipeline, cursor, operations, began, query)


def _failed(
    operations: Operations, waiting: Statement | None, began: float, query: Any, failure: BaseException
) -> None:
    """Count a statement that failed, unless its pipeline counted it already."""
    if waiting is None or take_back(waiting):
        operations.since(began, query, failure)


class _Copying:
    """Times a `COPY` while a `with` block carries it out."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        """It began when it was made."""

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        """Count it."""
        self._operations.since(self._began, "COPY", failure)


class _Streaming:
    """Adds up the time that psycopg works on a stream: each row is fetched in a `with` block of its own."""

    def __init__(self, operations: Operations, query: Any) -> None:
        self._operations = operations
        self._query = query
        self._spent = 0.0
        self._failure: BaseException | None = None

    def __enter__(self) -> None:
        """A row is asked for."""
        self._began = time.perf_counter()

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        """It came, or there is none, or it failed."""
        self._spent += time.perf_counter() - self._began
        if not isinstance(failure, StopIteration | StopAsyncIteration):
            self._failure = failure

    def over(self) -> None:
        """Count the whole stream as one operation."""
        self._operations.lasted(self._spent, self._query, self._failure)


def _client_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    check = getattr(kind, "_check_results", None)  # there is no public way to know that results came
    if check is None:
        return {}

    def _check_results(self: Any, results: Any) -> None:  # called first when results arrive, in a pipeline or not
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


# A statement is timed without a `with` block, unlike all else: that would add a tenth to what measuring it costs.


def _sync_timed(method: Callable[..., Any], operations: Operations, *, is_for_pipelines: bool) -> Callable[..., Any]:
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = args[0] if args else _query(args, kwargs)
        if query.__class__ is str and not query:
            return method(self, *args, **kwargs)
        began = time.perf_counter()
        waiting = _in_pipeline(self, operations, began, query) if is_for_pipelines else None
        try:
            result = method(self, *args, **kwargs)
        except BaseException as failure:
            _failed(operations, waiting, began, query, failure)
            raise
        if waiting is None:
            operations.since(began, query, None)
        return result

    return run


def _async_timed(method: Callable[..., Any], operations: Operations, *, is_for_pipelines: bool) -> Callable[..., Any]:
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = args[0] if args else _query(args, kwargs)
        if query.__class__ is str and not query:
            return await method(self, *args, **kwargs)
        began = time.perf_counter()
        waiting = _in_pipeline(self, operations, began, query) if is_for_pipelines else None
        try:
            result = await method(self, *args, **kwargs)
        except BaseException as failure:
            _failed(operations, waiting, began, query, failure)
            raise
        if waiting is None:
            operations.since(began, query, None)
        return result

    return run


def _sync_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    def stream(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        streaming = _Streaming(operations, _query(args, kwargs))
        rows = kind.stream(self, *args, **kwargs)
        try:
            while True:
                try:
                    with streaming:
                        row = next(rows)
                except StopIteration:
                    return
                yield row
        finally:
            streaming.over()
            rows.close()

    @contextmanager
    def copy(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with _Copying(operations), kind.copy(self, *args, **kwargs) as copying:
            yield copying

    return {"stream": stream, "copy": copy}


def _async_methods(kind: type[Any], operations: Operations) -> dict[str, Callable[..., Any]]:
    async def stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        streaming = _Streaming(operations, _query(args, kwargs))
        rows = kind.stream(self, *args, **kwargs)
        try:
            while True:
                try:
                    with streaming:
                        row = await anext(rows)
                except StopAsyncIteration:
                    return
                yield row
        finally:
            streaming.over()
            await rows.aclose()

    @asynccontextmanager
    async def copy(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _Copying(operations):
            async with kind.copy(self, *args, **kwargs) as copying:
                yield copying

    return {"stream": stream, "copy": copy}
