"""A stand-in for Prometheus, as a program of its own: `stand_in.py TARGETS [YOUNG]`; prints its port.

Here: answers in Prometheus' shapes for any number of services that all serve v2 and fail since a minute, as many
firing alerts as were announced with `POST /fire?alerts=N`, and how often each question was asked. With YOUNG, only
the first YOUNG services serve v2, all others v1, and none fails but those whose alerts were announced.
Never here: delays, or anything that a real Prometheus would refuse to say.
"""

import asyncio
import math
import sys
import time
from collections import Counter

import orjson
from aiohttp import web

NAME = "ReleaseErrorRate"
FIGURE = "version:error_ratio"
RECORDED = "sum by (service_version) (rate(http_server_request_duration_seconds_count[15s]))"
ANNOTATIONS = {"figure": FIGURE, "threshold": "> 0.1", "summary": "Too many errors in the new version."}


def labels(number, targets, young=None):
    """The labels of one alert: its service, which shows v1 if it is not `young`, and a pod of its own."""
    return {
        "alertname": NAME,
        "action": "rollback",
        "severity": "critical",
        "service_name": f"svc-{number % targets}",
        "deployment_environment_name": "production",
        "service_version": "v2" if young is None or number % targets < young else "v1",
        "pod": f"svc-{number % targets}-7c9d8f5b6-{number:05d}",
    }


class StandIn:
    def __init__(self, targets, young=None):
        self.targets = targets
        self.young = targets if young is None else young
        self.failing = targets if young is None else 0
        self.began = time.time() - 60
        self.deployed = time.time() - 600
        self.asked = Counter()
        self.fired, self.alerts = 0, self._alerts(0)

    def _alerts(self, many):
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began))
        alerts = [
            {
                "labels": labels(number, self.targets, self.young),
                "annotations": ANNOTATIONS,
                "state": "firing",
                "activeAt": since,
                "value": "0.3",
            }
            for number in range(many)
        ]
        return _body({"alerts": alerts})

    def routes(self):
        rule = {
            "type": "alerting", "name": NAME, "query": f"{FIGURE} > 0.1", "duration": 30,
            "labels": {"action": "rollback"}, "annotations": ANNOTATIONS, "health": "ok",
        }  # fmt: skip
        recorded = {"type": "recording", "name": FIGURE, "query": RECORDED, "health": "ok"}
        rules = _body({"groups": [{"name": "release", "interval": 5, "rules": [recorded, rule]}]})
        active = [
            {"labels": {"job": "shop", "instance": f"svc-{n}:1"}, "scrapeInterval": "5s"} for n in range(self.targets)
        ]
        scraped = _body({"activeTargets": active})
        return [
            web.get("/api/v1/alerts", self._answering("alerts", lambda: self.alerts)),
            web.get("/api/v1/rules", self._answering("rules", lambda: rules)),
            web.get("/api/v1/targets", self._answering("targets", lambda: scraped)),
            web.post("/api/v1/query", self.query),
            web.post("/api/v1/query_range", self.query_range),
            web.post("/fire", self.fire),
            web.get("/asked", lambda _request: _later(web.json_response(self.asked))),
        ]

    def _answering(self, name, body):
        async def answer(_request):
            self.asked[name] += 1
            return web.Response(body=body(), content_type="application/json")

        return answer

    async def fire(self, request):
        many = int(request.query["alerts"])
        if self.young < self.targets:
            self.failing, self.began = many, time.time()
        self.fired, self.alerts = many, self._alerts(many)
        return web.Response(text="firing")

    async def query(self, request):
        self.asked["query"] += 1
        asked, now = (await request.post())["query"], time.time()
        if "resets(" in asked or "ambiguous" in asked or "== Inf" in asked:  # one process each; no odd threshold
            return _answer({"resultType": "vector", "result": []})
        if "ALERTS" in asked:
            return _answer({"resultType": "vector", "result": self._series_of_alerts(asked, now)})
        value = now if asked.startswith("timestamp") else 1.0 if asked.startswith("target_info") else None
        result = [
            {"metric": self._metric(n, self._version(n)), "value": [now, str(value or self._share(n))]}
            for n in range(self.targets)
        ]
        return _answer({"resultType": "vector", "result": result})

    def _series_of_alerts(self, asked, now):
        """What is asked when the list of alerts takes long."""
        name, value = ("ALERTS_FOR_STATE", self.began) if "FOR_STATE" in asked else ("ALERTS", now)
        return [
            {
                "metric": {"__name__": name, "alertstate": "firing", **labels(number, self.targets, self.young)},
                "value": [now, str(value)],
            }
            for number in range(self.fired)
        ]

    async def query_range(self, request):
        self.asked["query_range"] += 1
        fields = await request.post()
        start, end, step = (float(fields[name]) for name in ("start", "end", "step"))
        moments = [start + step * n for n in range(int((end - start) // step) + 1)]
        changed = self.began if self.young == self.targets else self.deployed
        result = [
            {"metric": self._metric(n, version), "values": values}
            for n in range(self.targets)
            for version, values in self._curves(n, moments, changed)
            if values
        ]
        return _answer({"resultType": "matrix", "result": result})

    def _curves(self, number, moments, changed):
        """A version each, with its figures: v2 came at `changed`, and its service fails since then or since later."""
        if number >= self.young:
            return (("v1", [(moment, "0.001") for moment in moments]),)
        since = self.began if number < self.failing else math.inf
        after = [(moment, "0.3" if moment > since else "0.001") for moment in moments if moment > changed]
        return (("v1", [(moment, "0") for moment in moments if moment <= changed]), ("v2", after))

    def _version(self, number):
        return "v2" if number < self.young else "v1"

    def _share(self, number):
        return 0.3 if number < self.failing else 0.001

    def _metric(self, number, version):
        return {
            "service_name": f"svc-{number}", "deployment_environment_name": "production",
            "service_version": version, "job": "shop", "instance": f"svc-{number}:1",
        }  # fmt: skip


def _body(data):
    return orjson.dumps({"status": "success", "data": data})


def _answer(data):
    return web.Response(body=_body(data), content_type="application/json")


async def _later(response):
    return response


async def main(targets, young=None):
    application = web.Application()
    application.add_routes(StandIn(targets, young).routes())
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
