"""The body of `/metrics`, made in one go in the exporter's thread or in pieces on the application's event loop.

Requests that wait for the same rendering share it, and the time of the one that waits least. Nobody is given one that
began before they asked.
"""

import asyncio
import threading
import weakref
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from functools import partial

from rearguard_exporter.background.threads import Worker
from rearguard_exporter.endpoints.shared_rendering import LoopRenderings, Rendering
from rearguard_exporter.exposition.accept import DEFAULT_SECONDS, Form, asked
from rearguard_exporter.exposition.foreign import Patience
from rearguard_exporter.exposition.render import GZIP_LEVEL, Exposition, Part, Sources, prepare, render, steps
from rearguard_exporter.fork_safety import tell_after_fork


class MetricsEndpoint:
    """The exposition of all `sources`. `seconds` is filled with the time that each family took.

    What it is asked for comes with the seconds that collectors of the application may take (`seconds_allowed`). With
    `has_created` OpenMetrics says when counters and histograms began.
    """

    def __init__(
        self, sources: Sources, seconds: dict[str, float], worker: Worker, *, has_created: bool = False
    ) -> None:
        self._sources = sources
        self._seconds = seconds
        self._worker = worker
        self._has_created = has_created
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """In a forked process nothing is being rendered yet."""
        self._lock = threading.Lock()
        # None of them has begun.
        self._submitted: dict[Form, tuple[Future[Exposition], Patience]] = {}
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopRenderings]
        self._of_loops = weakref.WeakKeyDictionary()

    def render(self, accept: str, encoding: str, seconds: float = DEFAULT_SECONDS) -> Exposition:
        """The exposition in the format that these headers prefer."""
        return render(self._sources, self._form(asked(accept, encoding)), Patience(seconds), self._seconds)

    def submit(self, accept: str, encoding: str, seconds: float = DEFAULT_SECONDS) -> Future[Exposition]:
        """As `render`, made in the exporter's own thread. Do not cancel it: others may wait for the same future."""
        form, patience = self._form(asked(accept, encoding)), Patience(seconds)
        self._hurry(patience)
        with self._lock:
            if form in self._submitted:
                future, shared = self._submitted[form]
                shared.shorten(patience.until)
                return future
            future = self._worker.submit(partial(self._render_submitted, form, patience))
            self._submitted[form] = (future, patience)
            return future

    def _hurry(self, patience: Patience) -> None:
        if self._sources.foreign is not None:
            self._sources.foreign.hurry(patience)

    def _form(self, form: Form) -> Form:
        return form._replace(has_created=True) if self._has_created and form.is_openmetrics else form

    def _render_submitted(self, form: Form, patience: Patience) -> Exposition:
        with self._lock:
            self._submitted.pop(form, None)  # whoever asks from here on gets the next one
        return render(self._sources, form, patience, self._seconds)

    async def shared(self, form: Form, seconds: float = DEFAULT_SECONDS) -> Rendering:
        """The body, made on the running loop in short steps; of all loops' requests one is made at a time."""
        patience = Patience(seconds)
        self._hurry(patience)
        form = self._form(form)
        return await self._of_this_loop().next(form, patience, partial(self._pieces, form, patience))

    async def send(self, rendering: Rendering, write: Callable[[bytes], Awaitable[object]]) -> bool:
        """Write a body piece by piece. False: the reader was too slow and was given up, so the body is not whole."""
        return await self._of_this_loop().send(rendering, write)

    def _of_this_loop(self) -> LoopRenderings:
        loop = asyncio.get_running_loop()
        found = self._of_loops.get(loop)
        if found is None:
            found = self._of_loops[loop] = LoopRenderings()
        return found

    async def _pieces(self, form: Form, patience: Patience) -> AsyncIterator[bytes]:
        """The body: what is not in slots is collected and written in the exporter's thread, the rest on this loop."""
        parts: list[Part] = await self._in_thread(partial(prepare, self._sources, form, patience, self._seconds))
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
