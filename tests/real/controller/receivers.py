"""A receiver of notices over a real socket, which answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from aiohttp import web

HANG = "hang"  # an answer that never comes


class Receiver:
    """Keeps what is posted; answers with the next of `answers`, and with the last one from then on.

    An answer is a status, seconds to wait before a good one, an address to go to instead, HANG, or a status, a body
    (text, or what JSON shows) and headers.
    """

    def __init__(self, *answers):
        self.answers = list(answers) or [200]
        self.posted = []  # bodies, in order, whatever was answered
        self.headers = []
        self.methods = []
        self.paths = []
        self.host = ""

    @property
    def url(self):
        return f"http://{self.host}/hook"

    @property
    def events(self):
        return [body["event"] for body in self.posted]

    async def answer(self, request):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.paths.append(request.path_qs)
        self.headers.append(dict(request.headers))
        self.methods.append(request.method)
        content = await request.read()
        self.posted.append(json.loads(content) if content[:1] == b"{" and b"\n{" not in content else content)
        if answer == HANG:
            await asyncio.Event().wait()
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response()
        if isinstance(answer, str):  # somewhere else
            return web.Response(status=307, headers={"Location": answer})
        if isinstance(answer, tuple):
            status, body, headers = answer
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, headers=headers)
        return web.Response(status=answer)

    async def got(self, number, within=10.0):
        """The first bodies, once there are so many."""
        deadline = time.monotonic() + within
        while len(self.posted) < number:
            assert time.monotonic() < deadline, self.posted
            await asyncio.sleep(0.01)
        return self.posted[:number]


@contextlib.asynccontextmanager
async def receiving(*answers, ssl_context=None):
    receiver = Receiver(*answers)
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
        receiver.host = f"127.0.0.1:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()
