"""The body of `/metrics`, made in one go in the exporter's thread or in pieces on the application's event loop."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from functools import partial

from prometheus_client.registry import Collector

from rearguard_exporter.background.threads import Worker
from rearguard_exporter.exposition.render import GZIP_LEVEL, Exposition, Form, Part, prepare, render, steps


class MetricsEndpoint:
    """The exposition of all `registries`. `seconds` is filled with the time that each family took."""

    def __init__(self, registries: Sequence[Collector], seconds: dict[str, float], worker: Worker) -> None:
        self._registries = registries
        self._seconds = seconds
        self._worker = worker

    def render(self, accept: str, encoding: str) -> Exposition:
        """The exposition in the format that these headers prefer."""
        return render(self._registries, accept, encoding, self._seconds)

    def submit(self, accept: str, encoding: str) -> Future[Exposition]:
        """As `render`, made in the exporter's own thread."""
        return self._worker.submit(partial(self.render, accept, encoding))

    async def prepare(self, form: Form) -> list[Part]:
        """The parts that `stream` sends. Foreign families are collected and written now, in the exporter's thread."""
        return await asyncio.wrap_future(self._worker.submit(partial(prepare, self._registries, form, self._seconds)))

    async def stream(self, parts: Sequence[Part], form: Form) -> AsyncIterator[bytes]:
        """The body in pieces: written on the running loop in short steps, compressed in the exporter's thread."""
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS) if form.is_gzip else None
        for piece in steps(parts, form, self._seconds):
            if packer is None:
                yield piece
                await asyncio.sleep(0)  # lets other tasks run first
            elif packed := await asyncio.wrap_future(self._worker.submit(partial(packer.compress, piece))):
                yield packed
        if packer is not None:
            yield packer.flush()
