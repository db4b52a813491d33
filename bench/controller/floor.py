"""The floor: the least that answers a webhook durably. `floor.py PORT JOURNAL`; a path is SQLite, a URL PostgreSQL.

Here: aiohttp, one parse of the JSON, one row for each request, and one commit for all requests that wait.
Never here: roles, limits, checks, records: all that the controller does beyond this is what its ratio shows.
"""

import asyncio
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import orjson
from aiohttp import web

TABLE = "create table if not exists inbox (id {number} primary key, body {bytes})"


class Group:
    """Whatever waits when the store is free goes into its next commit."""

    def __init__(self, store):
        self.store, self.waiting, self.some = store, [], asyncio.Event()

    async def add(self, body):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((body, future))
        self.some.set()
        await future

    async def run(self):
        while True:
            await self.some.wait()
            self.some.clear()
            batch, self.waiting = self.waiting, []
            await self.store([body for body, _ in batch])
            for _, future in batch:
                if not future.done():
                    future.set_result(None)


def into_sqlite(path):
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute(TABLE.format(number="integer", bytes="blob"))
    thread = ThreadPoolExecutor(1)

    def write(bodies):
        connection.execute("begin immediate")
        connection.executemany("insert into inbox (body) values (?)", [(body,) for body in bodies])
        connection.execute("commit")

    async def store(bodies):
        await asyncio.get_running_loop().run_in_executor(thread, write, bodies)

    return store


async def into_postgres(url):
    connection = await asyncpg.connect(url)
    await connection.execute(TABLE.format(number="bigserial", bytes="bytea"))

    async def store(bodies):
        await connection.execute("insert into inbox (body) select * from unnest($1::bytea[])", bodies)

    return store


async def main(port, journal):
    group = Group(await into_postgres(journal) if journal.startswith("postgresql:") else into_sqlite(journal))

    async def receive(request):
        body = await request.read()
        accepted = sum(alert["status"] == "firing" for alert in orjson.loads(body)["alerts"])
        await group.add(body)
        return web.json_response({"accepted": accepted}, status=202)

    application = web.Application(client_max_size=2**24)
    application.router.add_post("/webhook/alertmanager", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await group.run()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
