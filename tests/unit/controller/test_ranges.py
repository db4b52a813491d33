"""A range query that is too much for one answer is asked for in parts, at the wire."""

import json

import pytest
from aiohttp import web

from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from unit.controller.test_prometheus import success


class Limited:
    """A server of range queries that refuses those with more than `most` points; each point is its own moment."""

    def __init__(self, most, status=422, words="query processing would load too many samples into memory"):
        self.most, self.asked = most, 0
        self._refusal = {"status": status, "text": json.dumps({"status": "error", "error": words})}

    async def answer(self, request: web.Request) -> web.Response:
        fields, self.asked = await request.post(), self.asked + 1
        start, end, step = (float(fields[name]) for name in ("start", "end", "step"))
        moments = [start + step * number for number in range(int((end - start) / step + 1e-9) + 1)]
        if len(moments) > self.most:
            return web.Response(**self._refusal)
        values = [[moment, str(moment)] for moment in moments]
        result = [{"metric": {"n": "1"}, "values": values}]
        result += [{"metric": {"n": "late"}, "values": values[-1:]}] if end == 1_000_900.0 else []
        return web.Response(body=success({"resultType": "matrix", "result": result}))


@pytest.fixture
async def limited():
    """Makes a limited server, and a Prometheus that asks it."""
    runners, edges = [], []

    async def make(most, **refusal):
        server, app = Limited(most, **refusal), web.Application()
        app.router.add_post("/api/v1/query_range", server.answer)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        edges.append(Prometheus(PrometheusSettings((f"http://127.0.0.1:{runners[-1].addresses[0][1]}",))))
        return server, edges[-1]

    yield make
    for edge in edges:
        await edge.close()
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("most", [1000, 181, 100, 7, 2])
@pytest.mark.parametrize(
    "words",
    ["query processing would load too many samples into memory in query execution", "exceeded maximum resolution"],
)
async def test_a_range_that_is_too_much_is_asked_for_in_parts_and_no_moment_is_lost_or_doubled(limited, most, words):
    server, edge = await limited(most, words=words)
    found = {series.labels["n"]: series.points for series in await edge.query_range("x", 1e6, 1_000_900.0, 5.0)}
    moments = [1e6 + 5.0 * number for number in range(181)]
    assert found["1"] == tuple((moment, moment) for moment in moments)
    assert found["late"] == ((1_000_900.0, 1_000_900.0),)
    assert server.asked <= 2 * 181 / most * 2 + 8


async def test_a_range_of_which_no_part_can_be_answered_is_given_up_soon(limited):
    server, edge = await limited(0)
    with pytest.raises(SourceError, match="too many samples"):
        await edge.query_range("x", 1e6, 1_000_900.0, 5.0)
    assert server.asked <= 9


async def test_a_range_that_is_refused_for_another_reason_is_not_asked_again(limited):
    server, edge = await limited(0, words="many-to-many matching not allowed")
    with pytest.raises(SourceError, match="many-to-many"):
        await edge.query_range("x", 1e6, 1_000_900.0, 5.0)
    assert server.asked == 1
