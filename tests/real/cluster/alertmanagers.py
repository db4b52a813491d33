"""A real clustered pair of Alertmanagers, who feeds them, and a witness of what controllers acknowledged.

Here: the two processes, alerts posted to both as Prometheus does, a proxy between them and the controllers that
keeps what was answered 2xx, a sender that delivers to the controllers directly, and a look at who leads.
Never here: troubles, expectations.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter

import aiohttp
import orjson
import yaml
from aiohttp import web

from local_stack import binaries
from local_stack.process import free_ports
from real.cluster.checks import key_of
from real.cluster.replicas import Program

STREAM_EVERY, DIRECT_EVERY, LOOK_EVERY = 0.5, 0.1, 0.1  # seconds
NOISE = 20  # alerts without a target that fire at any moment
LIVES_FOR = 4.0  # seconds until an alert that is not posted again is resolved
LIMIT = aiohttp.ClientTimeout(5)


def alertmanagers(folder, urls):
    """Two that know each other; each delivers everything to every address, at once, and again every 2 s."""
    first, second, first_gossip, second_gossip = free_ports(4)
    content = {
        "route": {
            "receiver": "rearguard",
            "group_by": ["alertname", "service_name"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "2s",
        },
        "receivers": [{"name": "rearguard", "webhook_configs": [{"url": url} for url in urls]}],
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(content))
    return [
        _alertmanager(folder, "alertmanager-1", first, first_gossip, second_gossip),
        _alertmanager(folder, "alertmanager-2", second, second_gossip, first_gossip),
    ]


def _alertmanager(folder, name, port, gossip, peer):
    words = (
        binaries.find("prometheus-alertmanager"),
        "--config.file=alertmanager.yml",
        f"--storage.path={folder / name}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--cluster.listen-address=127.0.0.1:{gossip}",
        f"--cluster.advertise-address=127.0.0.1:{gossip}",
        f"--cluster.peer=127.0.0.1:{peer}",
        "--cluster.peer-timeout=1s",
        "--cluster.gossip-interval=100ms",
        "--cluster.reconnect-interval=1s",
        "--cluster.settle-timeout=5s",
    )
    return Program(folder, name, words, f"http://127.0.0.1:{port}", ready="/-/ready")


class Witness:
    """Keeps what was acknowledged, and who led."""

    def __init__(self, shops):
        self.shops = shops
        self.replicas = ()
        self.acknowledged = Counter()  # (labels, firing) -> how often a controller answered 2xx
        self.answers = Counter()  # HTTP status, or "none" -> how often
        self.two_leaders = []
        self.looks = 0
        self.urls = ()

    @contextlib.asynccontextmanager
    async def running(self):
        """The proxy; one address for each controller."""
        application = web.Application(client_max_size=2**24)
        application.add_routes([web.post("/to/{number}", self._forward)])
        server = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", 0).start()
        self.urls = [f"http://127.0.0.1:{server.addresses[0][1]}/to/{number}" for number in (0, 1)]
        try:
            async with aiohttp.ClientSession(timeout=LIMIT) as self._session:
                yield self
        finally:
            await server.cleanup()

    @contextlib.asynccontextmanager
    async def working(self, managers):
        """Alerts flow and leaders are watched; a part that fails makes the block fail at its end."""
        tasks = [asyncio.create_task(work) for work in (self._stream(managers), self._direct(), self._look())]
        try:
            yield
            assert not [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward(self, request):
        url = self.replicas[int(request.match_info["number"])].url
        return web.Response(status=await self._deliver(url, await request.read()) or 502)

    async def _deliver(self, url, body):
        """The status of an answer, after noting what it acknowledged; None when there was no answer."""
        try:
            async with self._session.post(f"{url}/webhook/alertmanager", data=body) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
        self.answers[status or "none"] += 1
        if status == 202:
            alerts = orjson.loads(body)["alerts"]
            self.acknowledged.update(key_of(each["labels"], firing=each["status"] == "firing") for each in alerts)
        return status

    async def _stream(self, managers):
        """Post what fires to both Alertmanagers, as Prometheus does; noise comes and goes."""
        for number in itertools.count():
            noise = [{"alertname": "Noise", "n": str(number + each)} for each in range(NOISE)]
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + LIVES_FOR))
            body = [{"labels": labels, "endsAt": ends} for labels in (*self.shops.firing(), *noise)]
            for manager in managers:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with self._session.post(f"{manager.url}/api/v2/alerts", json=body) as answer:
                        assert answer.status == 200, await answer.text()
            await asyncio.sleep(STREAM_EVERY)

    async def _direct(self):
        """Deliver to the controllers in turn, each alert once."""
        for number in itertools.count():
            alert = {"labels": {"alertname": "Direct", "n": str(number)}, "status": "firing", "annotations": {}}
            body = orjson.dumps({"version": "4", "status": "firing", "alerts": [alert]})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._deliver(self.replicas[number % 2].url, body)
            await asyncio.sleep(DIRECT_EVERY)

    async def _look(self):
        """Ask both who leads; the first is asked again, so that leading which passes on between is no error."""
        first, second = self.replicas
        while True:
            seen = [await _led_by(each) for each in (first, second, first)]
            self.looks += None not in seen
            if None not in seen and set.intersection(*seen):
                self.two_leaders.append((time.time(), seen))
            await asyncio.sleep(LOOK_EVERY)


async def _led_by(replica):
    """What a replica leads: shards, or all targets; None when there is no answer."""
    if replica.of_shards != 1:
        return await replica.shards(within=3)
    leads = await replica.metric("rearguard_leader", within=3)
    return None if leads is None else {"all"} if leads else set()
