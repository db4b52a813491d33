"""A small real service for the dashboard's test: aiohttp, SQLite through SQLAlchemy, a WebSocket, all instrumented.

Also shows the controller's own metrics for one configured target at /controller. Each POST to /rollback records an
alert, its answer, a decision against a rollback, and a rollback that recovered, with the controller's own verbs.
Never here: traffic; the test makes it.
"""

import sys
import threading
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector
from sqlalchemy import create_engine, text

from rearguard_controller import config
from rearguard_controller.adapters.telemetry import Span, Telemetry
from rearguard_controller.model import (
    Decision,
    Outcome,
    Phase,
    Reason,
    ReasonCode,
    Rollback,
    StepState,
    Trigger,
    Verdict,
)
from rearguard_controller.model.checks import READY_CHECKS
from rearguard_controller.rollback.plan import plan
from rearguard_exporter import Monitor

PORT, VERSION, CONFIGURATION, WORKERS = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]

engine = create_engine("sqlite://")
targets = config.load(CONFIGURATION).targets
telemetry = Telemetry(targets)


class Silent(Collector):
    """A collector of the application that never answers."""

    def describe(self):
        return ()

    def collect(self):
        threading.Event().wait()
        return ()


def _ask():
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1")).scalar_one()


async def _order(_request):
    return web.json_response({"orders": _ask()})


async def _fail(_request):
    return web.Response(status=500)


async def _feed(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def _controller(request):
    body, kind = telemetry.render(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": kind})


async def _rollback(_request):
    reasons = (Reason(ReasonCode.RECENT_RELEASE, holds=False, detail="no release"),)
    left = {"verdict": Verdict.LEAVE, "would": Verdict.LEAVE, "decided_at": 1.0, "trigger": Trigger.ALERT}
    telemetry.decided(Decision(id="d1", target="checkout", reasons=reasons, **left))
    telemetry.alert_received("webhook")
    telemetry.webhook_answered(202)
    telemetry.notified("slack", "sent")
    telemetry.span("checkout", Span.COMMAND, 1.5)
    for step in plan(targets[0], conditions=()):
        telemetry.step_ended("checkout", replace(step, state=StepState.DONE, started_at=1.0, ended_at=2.5))
    telemetry.closed(
        Rollback(
            id="r1",
            decision_id="d0",
            target="checkout",
            trigger=Trigger.ALERT,
            reason="HighErrorRate",
            from_version="1.4.3",
            to_version="1.4.2",
            phase=Phase.CLOSED,
            opened_at=1.0,
            steps=(),
            outcome=Outcome.RECOVERED,
            closed_at=31.0,
        )
    )
    return web.Response()


def _stand():
    """How the target stands, as a controller that leads would say it."""
    telemetry.leads(leading=True)
    telemetry.know_services(["slack"])
    telemetry.feed_poll(lambda: 0.2, skew=lambda: -0.01)
    telemetry.armed("checkout", armed=False, by=Outcome.NOT_RECOVERED)
    telemetry.ready("checkout", {check: check != "clock" for check in READY_CHECKS})
    telemetry.versions("checkout", serving=VERSION, last_known_good="1.4.1")


def main():
    _stand()
    monitor = Monitor(
        service="shop", version=VERSION, environment="production", vitals=["/cart"], workers_dir=WORKERS
    )
    REGISTRY.register(Silent())
    app = web.Application()
    app.router.add_get("/orders", _order)
    app.router.add_get("/fail", _fail)
    app.router.add_get("/feed", _feed)
    app.router.add_get("/controller", _controller)
    app.router.add_post("/rollback", _rollback)
    monitor.instrument_aiohttp(app)
    monitor.instrument_sqlalchemy(engine, "orders")
    monitor.watch_database("orders", _ask, interval=0.5)
    web.run_app(app, host="127.0.0.1", port=PORT, print=None)


if __name__ == "__main__":
    main()
