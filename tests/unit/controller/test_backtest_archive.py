"""Long questions to Prometheus, which is faked at the wire: parts, halves, and what is said while it is asked."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rearguard_controller.adapters.prometheus import AnswerTooLargeError, Prometheus
from rearguard_controller.backtest.archive import Archive
from rearguard_controller.backtest.nouns import Stretch
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError

TOO_MUCH = "query processing would load too many samples into memory in query execution"


class Limited:
    """A Prometheus that refuses more than so many points, and can be out of order."""

    def __init__(self):
        self.most = 11_000
        self.broken = False
        self.asked = []

    async def query_range(self, request):
        form = await request.post()
        start, end, step = (float(form[name]) for name in ("start", "end", "step"))
        self.asked.append((start, end))
        count = round((end - start) / step) + 1
        if self.broken:
            return web.json_response({"status": "error", "error": "no such function"}, status=400)
        if count > self.most:
            return web.json_response({"status": "error", "error": TOO_MUCH}, status=422)
        values = [[start + n * step, "1"] for n in range(count)]
        return matrix([{"metric": {"a": "b"}, "values": values}])

    async def query(self, request):
        form = await request.post()
        seconds = float(form["query"].partition("[")[2].removesuffix("ms]")) / 1000
        end = float(form["time"])
        self.asked.append((end - seconds, end))
        if seconds > self.most:
            return web.json_response({"status": "error", "error": TOO_MUCH}, status=422)
        values = [[at, "1"] for at in (100.5, 200.5, 4000.5) if end - seconds < at <= end]
        return matrix([{"metric": {"__name__": "up", "a": "b"}, "values": values}] if values else [])


def matrix(result):
    return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})


@pytest.fixture
def limited():
    return Limited()


@pytest.fixture
def said():
    return []


@pytest.fixture
async def archive(limited, said):
    app = web.Application()
    app.router.add_post("/api/v1/query", limited.query)
    app.router.add_post("/api/v1/query_range", limited.query_range)
    async with TestServer(app) as server:
        edge = Prometheus(PrometheusSettings(urls=(str(server.make_url("")).rstrip("/"),)), timeout=5.0)
        yield Archive(edge, lambda *words: said.append(words))
        await edge.close()


async def test_a_long_time_is_asked_in_parts_that_prometheus_answers_and_no_point_comes_twice(archive, limited, said):
    times = await archive.over("versions", "up", 0.0, 250_000.0, 10.0)
    assert times == {(("a", "b"),): [n * 10.0 for n in range(25_001)]}
    assert sorted(limited.asked) == [(0.0, 99_990.0), (100_000.0, 199_990.0), (200_000.0, 250_000.0)]
    assert said == [("versions", 1, 3), ("versions", 2, 3), ("versions", 3, 3)]


@pytest.mark.parametrize(("start", "end"), [(0.0, 95.0), (-9.9, 99.9), (-3.0, 90.0)])
async def test_the_points_are_the_same_wherever_the_time_begins_and_ends(archive, start, end):
    (moments,) = (await archive.over("versions", "up", start, end, 10.0)).values()
    assert moments == [n * 10.0 for n in range(10)]


async def test_what_is_too_much_at_once_is_asked_in_halves(archive, limited):
    limited.most = 30
    (moments,) = (await archive.over("versions", "up", 0.0, 1000.0, 10.0)).values()
    assert moments == [n * 10.0 for n in range(101)]


async def test_what_is_too_much_however_little_is_asked_is_an_error(archive, limited):
    limited.most = 0
    with pytest.raises(AnswerTooLargeError, match="too many samples"):
        await archive.over("versions", "up", 0.0, 1000.0, 10.0)
    with pytest.raises(AnswerTooLargeError, match="too many samples"):
        await archive.stored("alerts", "up", [Stretch(0.0, 500.0)])


async def test_an_error_ends_the_other_questions(archive, limited):
    limited.broken = True
    with pytest.raises(SourceError, match="no such function"):
        await archive.over("versions", "up", 0.0, 900_000.0, 10.0)
    assert [task for task in asyncio.all_tasks() if "Archive" in task.get_coro().__qualname__] == []


async def test_stored_samples_come_once_also_where_windows_meet_or_are_halved(archive, limited):
    limited.most = 90
    asked = [Stretch(90.0, 150.0), Stretch(140.0, 260.0), Stretch(3990.0, 4010.0)]
    assert await archive.stored("alerts", "up", asked) == {(("a", "b"),): [100.5, 200.5, 4000.5]}
