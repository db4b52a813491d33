"""The body of `/metrics`, made in one go in the exporter's thread or in pieces on the application's event loop.

Requests that wait for the same rendering share it. Nobody is given one that began before they asked.
"""

import asyncio
import threading
import weakref
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial

from prometheus_client.registry import Collector

from rearguard_exporter.background.threads import Worker
from rearguard_exporter.endpoints.shared_rendering import LoopRenderings, Rendering
from rearguard_exporter.exposition.render import (
    GZIP_LEVEL,
    Exposition,
    Form,
    Part,
    asked,
    prepare,
    render,
    steps,
)
from rearguard_exporter.fork_safety import tell_after_fork


class MetricsEndpoint:
    """The exposition of all `registries`. `seconds` is filled with the time that each family took."""

    def __init__(self, registries: Sequence[Collector], seconds: dict[str, float], worker: Worker) -> None:
        self._registries = registries
        self._seconds = seconds
        self._worker = worker
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process nothing is being rendered yet."""
        self._lock = threading.Lock()
        self._submitted: dict[Form, Future[Exposition]] = {}  # none of them has begun
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopRenderings]
        self._of_loops = weakref.WeakKeyDictionary()

    def render(self, accept: str, encoding: str) -> Exposition:
        """The exposition in the format that these headers prefer."""
        return render(self._registries, asked(accept, encoding), self._seconds)

    def submit(self, accept: str, encoding: str) -> Future[Exposition]:
        """As `render`, made in the exporter's own thread. Do not cancel it: others may wait for the same future."""
        form = asked(accept, encoding)
        with self._lock:
            waiting = self._submitted.get(form)
            if waiting is None:
                waiting = self._submitted[form] = self._worker.submit(partial(self._render_submitted, form))
            return waiting

    def _render_submitted(self, form: Form) -> Exposition:
        with self._lock:
            self._submitted.pop(form, None)  # whoever asks from here on gets the next one
        return render(self._registries, form, self._seconds)

    async def shared(self, form: Form) -> Rendering:
        """The body, made on the running loop in short steps; of all loops' requests one is made at a time."""
        return await self._of_this_loop().next(form, partial(self._pieces, form))

    async def send(self, rendering: Rendering, write: Callable[[bytes], Awaitable[object]]) -> bool:
        """Write a body piece by piece. False: the reader was too slow and was given up, so the body is not whole."""
        return await self._of_this_loop().send(rendering, write)

    def _of_this_loop(self) -> LoopRenderings:
        loop = asyncio.get_running_loop()
        found = self._of_loops.get(loop)
        if found is None:
            found = self._of_loops[loop] = LoopRenderings()
        return found

    async def _pieces(self, form: Form) -> AsyncIterator[bytes]:
        """The body: foreign families are collected and written in the exporter's thread, the others on this loop."""
        parts: list[Part] = await self._in_thread(partial(prepare, self._registries, form, self._seconds))
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS) if form.is_gzip else None
        for piece in steps(parts, form, self._seconds):
            if packer is None:
                yield piece
                await asyncio.sleep(0)  # lets other tasks run first
            elif packed := await asyncio.wrap_future(self._worker.submit(partial(packer.compress, piece))):
                yield packed
        if packer is not None:
            yield packer.flush()

    async def _in_thread(self, work: Callable[[], list[Part]]) -> list[Part]:
        return await asyncio.wrap_future(self._worker.submit(work))
