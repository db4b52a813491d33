"""What fails in the same way on every framework: a handler for each such behaviour, whatever it is given."""

import asyncio

import anyio
import sniffio


async def raises(*_):
    """Raise."""
    raise LookupError("oracle")


async def os_error(*_):
    """Raise as a connection of the handler's own does."""
    raise ConnectionResetError("oracle")


async def cancels(*_):
    """Await a task that is cancelled by nobody else than this."""
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def cancels_itself(*_):
    """Cancel the task that asks, and let it come to that."""
    if sniffio.current_async_library() == "trio":
        raise LookupError("oracle")  # no scope of trio's lets a cancellation out
    asyncio.current_task().cancel()
    await asyncio.sleep(10)


async def group(*_):
    """Raise in a task of a group."""
    async with anyio.create_task_group() as tasks:  # also on trio
        tasks.start_soon(raises)


async def times_out(*_):
    """Wait for something for too short a time."""
    with anyio.fail_after(0.01):
        await anyio.sleep(10)


HANDLERS = {each.__name__: each for each in (raises, os_error, cancels, cancels_itself, group, times_out)}


def raises_blocking(*_):
    """As `raises`, for a thread."""
    raise LookupError("oracle")


def os_error_blocking(*_):
    """As `os_error`, for a thread."""
    raise ConnectionResetError("oracle")


def group_blocking(*_):
    """As `group`, for a thread."""
    raise ExceptionGroup("oracle", [LookupError("oracle")])


BLOCKING = {"raises": raises_blocking, "os_error": os_error_blocking, "group": group_blocking}
