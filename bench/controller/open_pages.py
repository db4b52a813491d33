"""So many open pages in one process: plain sockets that do what the page's script does.

Each loads a page, follows the events, asks for the page again after an event, at most every 0.4 s, and every 15 s
in any case. `python open_pages.py PORT NUMBER`; prints a line once all are open, and at the end of its input what
they saw.
"""

import asyncio
import contextlib
import json
import sys
import time

LEAST, OFTEN = 0.4, 15.0  # seconds, as in page.js
PATHS = ("/", "/targets/svc-0", "/targets/svc-1", "/")
READ = 256 * 1024


class Page:
    def __init__(self, port, number):
        self.port, self.path = port, PATHS[number % len(PATHS)]
        self.events = self.looks = 0
        self.asked, self.last, self.due = asyncio.Event(), 0.0, number % 15

    async def load(self):
        """One request over a connection that stays, as a browser's does."""
        if self.looks == 0:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=READ)
        self.writer.write(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self.reader.readexactly(int(length.partition(b":")[2]))
        self.looks, self.last = self.looks + 1, time.monotonic()

    async def follow(self, opened):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /page/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        opened()
        while line := await reader.readline():
            if line.startswith(b"data: "):
                self.events += 1
                if self.concerns(json.loads(line[6:])):
                    self.asked.set()

    def concerns(self, event):
        target = self.path.rpartition("/")[2]
        return event.get("target") == target if target else event.get("kind") != "decision"

    async def look(self):
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OFTEN if self.looks > 1 else self.due or OFTEN):
                    await self.asked.wait()
            await asyncio.sleep(max(0.0, self.last + LEAST - time.monotonic()))
            self.asked.clear()
            await self.load()


async def run(port, number):
    pages, opened = [Page(port, each) for each in range(number)], 0
    everything = asyncio.Event()

    def one():
        nonlocal opened
        opened += 1
        if opened == number:
            everything.set()

    tasks = []
    for page in pages:
        await page.load()
        tasks += [asyncio.create_task(page.follow(one)), asyncio.create_task(page.look())]
    await everything.wait()
    print(number, flush=True)
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([end, *tasks], return_when=asyncio.FIRST_COMPLETED)
    broken = [task.exception() for task in tasks if task.done()]
    print(min(page.events for page in pages), sum(page.looks for page in pages), broken[:1] or "", flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))
