"""Controllers as users start them: replicas that share one journal in PostgreSQL, and what they are asked.

Here: starting, ending and asking one replica; waiting with a deadline.
Never here: expectations.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time

import aiohttp
import yaml

from deadline import in_time
from local_stack.process import free_ports
from rearguard_controller.model.shards import shard_of

DEADLINE = 60.0  # seconds within which what is waited for must happen
ASK_LIMIT = 2.0  # seconds that an answer may take


async def until(condition, *, what, within=DEADLINE, every=0.05):
    """Poll a condition, plain or async, with a deadline; returns what it found and the seconds that took."""
    began = time.monotonic()
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found, time.monotonic() - began
        assert time.monotonic() - began < within, f"not within {within:g} s: {what}"
        await asyncio.sleep(every)


class Program:
    """A process of its own group that can be started, sent signals, and started again."""

    def __init__(self, folder, name, words, url, *, ready="/healthz"):
        self.folder, self.name, self.words, self.url = folder, name, [str(word) for word in words], url
        self._ready = ready
        self._process = None
        self._session = None

    @property
    def runs(self):
        return self._process is not None and self._process.returncode is None

    async def start(self, env=None):
        """Start it and wait until it answers."""
        assert not self.runs
        if self._session is None:
            self._session = aiohttp.ClientSession()
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.words, stdout=log, stderr=log, start_new_session=True, cwd=self.folder, env=env
            )
        await until(self._answers, what=f"{self.name} answers\n{self.log()[-3000:]}", within=30)

    async def _answers(self):
        assert self.runs, f"{self.name} ended at once\n{self.log()[-3000:]}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            return (await self.ask("GET", self._ready))[0] == 200

    def send(self, number):
        os.kill(self._process.pid, number)

    async def end(self, number=signal.SIGTERM):
        """Send a signal and wait for the end; returns the exit status."""
        self.send(number)
        return await in_time(self._process.wait(), DEADLINE)

    async def ask(self, method, path, *, within=ASK_LIMIT, **body):
        """Status and text of an answer; raises what aiohttp raises."""
        limit = aiohttp.ClientTimeout(within)
        async with self._session.request(method, self.url + path, timeout=limit, **body) as answer:
            return answer.status, await answer.text()

    def log(self):
        file = self.folder / f"{self.name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    async def remove(self):
        """Whatever happened: nothing of it is left."""
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGKILL)
            await self._process.wait()
        if self._session is not None:
            await self._session.close()


class Replica(Program):
    """One controller."""

    def __init__(self, folder, name, journal, shops, *, poll, shards=1):
        (port,) = free_ports(1)
        self.of_shards = shards
        content = {
            "environment": "production",
            "journal": journal,
            "listen": f"127.0.0.1:{port}",
            "prometheus": {"url": shops.url, "poll_interval": poll},
            "storm": {"targets": len(shops.all)},  # they get their bad releases side by side
            "policies": {"standard": {"mode": "act", "cooldown": "0s", "known_good_after": "1h"}},
            **({"sharding": {"shards": shards}} if shards != 1 else {}),
            "targets": [shop.configuration(shops.url) for shop in shops.all.values()],
        }
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        words = (sys.executable, "-m", "rearguard_controller", "serve", "--insecure", "--config", file)
        super().__init__(folder, name, words, f"http://127.0.0.1:{port}")

    async def metric(self, name, *, within=ASK_LIMIT):
        """The value of one series (its name with labels); None when there is no answer."""
        try:
            status, text = await self.ask("GET", "/metrics", within=within)
        except (aiohttp.ClientError, TimeoutError):
            return None
        assert status == 200, text
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def leads(self):
        return await self.metric("rearguard_leader") == 1

    async def leads_of(self, target):
        """Whether it leads the shard of a target."""
        if self.of_shards == 1:
            return await self.leads()
        return shard_of(target, self.of_shards) in (await self.shards() or ())

    async def leads_all(self):
        return await self.leads() if self.of_shards == 1 else await self.shards() == set(range(self.of_shards))

    async def shards(self, *, within=ASK_LIMIT):
        """The shards that it leads; None when there is no answer."""
        try:
            _, text = await self.ask("GET", "/metrics", within=within)
        except (aiohttp.ClientError, TimeoutError):
            return None
        led = re.findall(r'^rearguard_shard_leader\{shard="(\d+)"\} 1', text, re.MULTILINE)
        return {int(number) for number in led}

    async def post(self, path, **fields):
        """A request that changes something: its status and its JSON."""
        status, _ = answer = await self.ask("POST", path, json=fields, within=10)
        return status, yaml.safe_load(answer[1])

    async def deliver(self, *alerts, status="firing"):
        """A delivery as Alertmanager makes it; returns the HTTP status."""
        body = {"version": "4", "status": status, "alerts": [_delivered(labels, status) for labels in alerts]}
        return (await self.ask("POST", "/webhook/alertmanager", json=body))[0]


def _delivered(labels, status):
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"status": status, "labels": labels, "annotations": {}, "startsAt": began, "fingerprint": "0"}


@contextlib.asynccontextmanager
async def removed_at_the_end(*programs):
    """Whatever happens in between."""
    try:
        yield
    finally:
        for program in programs:
            await program.remove()
