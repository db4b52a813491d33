"""Server-sent events over real sockets: what is told, going on after a lost connection, bounds, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

from real.controller.served import BASE, OPERATOR, SENDER, VIEWER, alerts, serving
from rearguard_controller.api import events as api_events
from rearguard_controller.api import feed

EVENTS = f"{BASE}/events"


class Stream:
    """Reads one stream as a browser does."""

    def __init__(self, response):
        self.response, self.last_id = response, None

    async def event(self, seconds=20):
        """The next event: its type and data."""
        async with asyncio.timeout(seconds):
            name, data = "message", ""
            while line := await self.response.content.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    self.last_id = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif not field and data:
                    return name, json.loads(data)
        raise EOFError

    async def until(self, wanted, seconds=30):
        """All events up to one that is wanted, which comes last."""
        found = []
        async with asyncio.timeout(seconds):
            while True:
                _, data = await self.event(seconds)
                found.append(data)
                if wanted(data):
                    return found


@contextlib.asynccontextmanager
async def following(service, last_id=None, token=VIEWER):
    headers = {"Authorization": token} | ({"Last-Event-ID": last_id} if last_id else {})
    async with service.session.get(service.url + EVENTS, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Stream(response)


async def trigger(service):
    body = {"target": "checkout", "reason": "the cart is empty", "to_version": "v1", "force": True}
    status, answer = await service.post(f"{BASE}/rollback/trigger", body)
    assert status == 202, answer
    return answer["rollback_id"]


def closed(rollback):
    return lambda event: event["subject"] == rollback and event["what"] == "closed"


async def test_a_rollback_is_told_step_by_step_within_a_second_of_the_journal(tmp_path):
    async with serving(tmp_path) as service, following(service) as stream:
        rollback = await trigger(service)
        story = await stream.until(closed(rollback))
        late = time.time() - (await service.controller.journal.rollback(rollback)).closed_at
        told = [(each["kind"], each["what"]) for each in story if each["target"] == "checkout"]
        assert ("action", "trigger") in told
        assert ("decision", "roll_back") in told
        of_rollback = [what for kind, what in told if kind == "rollback"]
        assert of_rollback[0] == "opened"
        assert "step_started" in of_rollback
        assert len({each["key"] for each in story}) == len(story), "nothing is told twice"
        assert late < 5  # a second on a machine that has time


async def test_who_lost_the_connection_gets_what_came_meanwhile(tmp_path):
    async with serving(tmp_path) as service:
        async with following(service) as stream:
            await service.post(f"{BASE}/targets/search/disarm", {"reason": "freeze"})
            await stream.until(lambda event: event["what"] == "disarmed")
            last = stream.last_id
        rollback = await trigger(service)
        await service.closed(rollback)
        async with following(service, last) as stream:
            story = await stream.until(closed(rollback))
        assert next(each["what"] for each in story if each["subject"] == rollback) == "opened"
        async with following(service, "of another world") as stream:
            assert (await stream.event())[0] == "missed"


async def test_arming_releases_and_drills_are_told(tmp_path):
    async with serving(tmp_path) as service, following(service) as stream:
        await service.post(f"{BASE}/targets/search/disarm", {"reason": "freeze"})
        found = await stream.until(lambda event: event["kind"] == "arming")
        assert found[-1] == found[-1] | {"target": "search", "what": "disarmed"}
        await service.post(f"{BASE}/targets/checkout/drill", {"reason": "friday"})
        found = await stream.until(lambda event: event["kind"] == "drill")
        assert found[-1]["target"] == "checkout"


async def test_only_who_may_read_follows_and_a_revoked_token_ends_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(api_events, "HEARTBEAT", 0.2)
    async with serving(tmp_path) as service:
        for token in (None, SENDER):
            headers = {"Authorization": token} if token else {}
            async with service.session.get(service.url + EVENTS, headers=headers) as response:
                assert response.status in (401, 403)
        async with following(service, token=VIEWER) as stream:
            (tmp_path / "viewer").write_text("dora:read-2\n")
            async with asyncio.timeout(20):
                with contextlib.suppress(EOFError):
                    await stream.event()
                assert stream.response.content.at_eof()


async def test_one_look_serves_all_readers_and_there_is_none_without_readers(tmp_path):
    async with serving(tmp_path) as service:
        journal, looks = service.controller.journal, []
        news = journal.news

        async def counted(*arguments):
            looks.append(time.monotonic())
            return await news(*arguments)

        journal.news = counted
        async with contextlib.AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(following(service)) for _ in range(40)]
            looks.clear()
            began = time.monotonic()
            rollback = await trigger(service)
            await asyncio.gather(*(each.until(closed(rollback)) for each in streams))
            assert len(looks) <= (time.monotonic() - began) / feed.LOOK_EVERY + 2
        deadline = time.monotonic() + 20
        while service.controller.web[api_events.FEED]._readers:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        looks.clear()
        await asyncio.sleep(2 * feed.LOOK_EVERY)
        assert not looks


async def test_there_are_at_most_so_many_readers(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "MOST_READERS", 2)
    async with serving(tmp_path) as service, following(service), following(service):
        response = await service.session.get(service.url + EVENTS, headers={"Authorization": VIEWER})
        assert response.status == 503
        assert response.headers["Retry-After"]


async def test_a_reader_that_takes_nothing_is_dropped_and_delays_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "MOST_QUEUED", 20)
    monkeypatch.setattr(api_events, "SLOWEST", 0.5)
    async with serving(tmp_path) as service:
        host, port = "127.0.0.1", int(service.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(host, port, limit=1)
        writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: {VIEWER}\r\n\r\n".encode())
        readers = service.controller.web[api_events.FEED]._readers
        await reader.readexactly(15)
        assert readers
        flood = [feed.Told("1-1-1.1", b"data: " + b"x" * 1_000_000 + b"\n\n")] * 5
        async with asyncio.timeout(30):
            while readers:
                for each in list(readers):
                    each.give(flood)
                body = json.dumps(alerts("Fire", service_name="checkout"))
                sent = {"Authorization": SENDER, "Content-Type": "application/json"}
                async with service.session.post(
                    f"{service.url}/webhook/alertmanager", data=body, headers=sent
                ) as answer:
                    assert answer.status == 202
        writer.close()
        del reader


async def test_a_controller_that_stops_ends_its_streams_at_once(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        async with serving(tmp_path) as service:
            session = service.session
            response = await session.get(service.url + EVENTS, headers={"Authorization": OPERATOR})
            stack.callback(response.close)
            began = time.monotonic()
        assert time.monotonic() - began < 20
