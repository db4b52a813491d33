"""A plain HTTP client of the stand-in cluster: what it sends and gets is what stands in the test."""

import json
import ssl
from contextlib import asynccontextmanager

import aiohttp

from deadline import in_time

DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"


class Client:
    def __init__(self, cluster, session, token):
        self._cluster = cluster
        self._session = session
        self.token = token

    async def send(self, method, path, body=None, *, media="application/json", **query):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": media}
        data = None if body is None else json.dumps(body)
        url = self._cluster.url + path
        async with self._session.request(method, url, data=data, headers=headers, params=query) as response:
            return response.status, json.loads(await response.read()), response.headers

    async def get(self, path, **query):
        return await self.send("GET", path, **query)

    async def patch(self, path, body, media="merge-patch+json", **query):
        return await self.send("PATCH", path, body, media=f"application/{media}", **query)

    @asynccontextmanager
    async def watch(self, path, **query):
        headers = {"Authorization": f"Bearer {self.token}"}
        params = {"watch": "1", **query}
        async with self._session.get(self._cluster.url + path, headers=headers, params=params) as response:
            yield Stream(response)


class Stream:
    """The events of a watch, one by one."""

    def __init__(self, response):
        self.response = response

    async def next(self, within=20):
        """Return the next event, None at the end of the stream."""
        line = await in_time(self.response.content.readline(), within)
        return json.loads(line) if line else None

    async def seen(self):
        """Return the next event as its type and the name of its object."""
        event = await self.next()
        return event and (event["type"], event["object"]["metadata"]["name"])


@asynccontextmanager
async def client_of(cluster, token=None):
    context = ssl.create_default_context(cadata=cluster.ca_pem.decode())
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield Client(cluster, session, token or cluster.admin_token)
