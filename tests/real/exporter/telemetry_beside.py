"""FastAPI with its own telemetry on, or with another Prometheus middleware, measured: prints our exposition.

Run by test_telemetry_beside, for what it sets up is the whole process's.
"""

import asyncio
import sys

from fastapi_versions import ask
from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_fastapi_instrumentator import Instrumentator

from rearguard_exporter import Monitor


async def main(beside):
    if beside == "native":  # FastAPI's own, from 0.142
        metrics.set_meter_provider(MeterProvider(metric_readers=[PrometheusMetricReader()]))
        trace.set_tracer_provider(TracerProvider())
    from fastapi import FastAPI  # noqa: PLC0415 - after the providers, as an application does it

    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int):
        return item_id

    if beside == "instrumentator":
        Instrumentator().instrument(app).expose(app)
    monitor = Monitor("shop", "1.0", "test")
    measured = monitor.instrument_asgi(monitor.instrument_asgi(app))
    for number in range(3):
        await ask(measured, "http", f"/items/{number}")
    await ask(measured, "http", "/metrics")
    sys.stdout.write(monitor._endpoints.metrics.render("application/openmetrics-text", "").body.decode())
    await monitor._lifecycle.leave()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
