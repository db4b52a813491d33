"""FastAPI measured from outside and from inside, as the README has both: the metrics are the same."""

import contextlib

from fastapi import FastAPI, HTTPException

from unit.exporter.test_asgi_copied_scopes import ask
from unit.exporter.test_readme import PROGRAMS

PATHS = ("/items/1", "/items/2", "/items/x", "/nowhere", "/fails", "/refuses", "/healthz", "/metrics")


async def counted(name):
    made = {}
    exec(PROGRAMS[name], made)  # noqa: S102 - our own README
    app = made["app"]

    @app.get("/fails")
    async def fails():
        raise LookupError

    @app.get("/refuses")
    async def refuses():
        raise HTTPException(409)

    for path in PATHS:
        with contextlib.suppress(LookupError):
            await ask(app, path)
    parts = made["monitor"]._parts if "monitor" in made else app.rearguard_parts
    known = parts.instruments.http_duration.known()
    parts.lifecycle.stop()
    return isinstance(app, FastAPI), {key: sum(child.counts()[:-1]) for key, child in known.items()}


async def test_the_exporter_as_a_middleware_gives_the_same_metrics_and_leaves_the_application_what_it_is():
    is_itself, inside = await counted("Middleware")
    _, outside = await counted("FastAPI")
    assert is_itself
    assert inside == outside
    assert sorted(key[1:] for key in inside) == [
        ("/fails", "500", "LookupError"),
        ("/items/{item_id}", "200", ""),
        ("/items/{item_id}", "422", ""),
        ("/refuses", "409", ""),
        ("__unmatched__", "404", ""),
    ]
