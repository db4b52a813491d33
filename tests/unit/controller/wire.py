"""A Prometheus faked at the wire: answers from tables, behind a real HTTP server.

Here: what it answers, and in whose words versions are labelled.
Never here: expectations.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from rearguard_controller.model import Sample
from unit.controller.factories import MATCH, NOW


def version(name: str, **more: str) -> dict[str, str]:
    return {**MATCH, "service_version": name, **more}


@dataclass
class Wire:
    """What a Prometheus behind a real HTTP server answers: vectors by expression, figures over time by function."""

    vectors: dict[str, list[Sample]] = field(default_factory=dict)
    over_time: dict[str, dict[str, Callable[[float], float | None]]] = field(default_factory=dict)  # by version
    asked: list[str] = field(default_factory=list)
    asked_over_time: list[tuple[str, str, str]] = field(default_factory=list)  # with start and end

    async def query(self, request: web.Request) -> web.Response:
        expression = (await request.post())["query"]
        self.asked.append(expression)
        if expression not in self.vectors:
            return web.json_response({"status": "error", "errorType": "bad_data", "error": "unknown"}, status=400)
        result = [{"metric": each.labels, "value": [NOW, str(each.value)]} for each in self.vectors[expression]]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    async def query_range(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked_over_time.append((form["query"], form["start"], form["end"]))
        start, end, step = (float(form[name]) for name in ("start", "end", "step"))
        assert (end - start) / step <= 11_000  # as Prometheus has it
        moments = [start + step * number for number in range(int((end - start) / step) + 1)]
        result = []
        asked = form["query"]
        known = self.over_time.get(asked) or self.over_time[asked.partition("{")[0]]  # of one target only
        for name, value in known.items():
            points = [(at, str(value(at))) for at in moments if value(at) is not None]
            result.append({"metric": version(name), "values": points})
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})
