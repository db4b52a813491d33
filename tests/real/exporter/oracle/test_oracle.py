"""What is recorded is what the caller saw, for every server, framework and behaviour."""

from functools import partial

import pytest

from local_stack.binaries import ROOT
from real.exporter.oracle.behaviours import AIOHTTP_TABLE, BACKGROUND_TABLE, PLAIN_TABLE, TABLE, WSGI_TABLE
from real.exporter.oracle.comparison import wrong_cells
from real.exporter.oracle.limits import LIMITS, SOCKET_LIMITS, limit_of, socket_limit_of
from real.exporter.oracle.servers import AIOHTTP, ASGI, COMMANDS, HTTP2, WSGI, serve
from real.exporter.oracle.sockets import reasons_of_vanished, refused, routes, wrong_reasons
from real.exporter.oracle.wire import ask
from real.exporter.oracle.wire_h2 import ask as ask_h2

QUICK = [
    ("uvicorn-h11", "plain_asgi"),
    ("uvicorn-httptools", "starlette_base"),
    ("gunicorn-asgi", "django_asgi"),
    ("hypercorn", "fastapi_inside"),
    ("gunicorn-gthread", "flask_wsgi"),
    ("waitress", "plain_wsgi"),
    ("aiohttp", "aiohttp_app"),
]
COMMON = ("plain_asgi", "starlette", "starlette_base", "fastapi_inside", "django_asgi")
CELLS = [
    *((server, app) for server in ASGI if "loop" not in server and server != "hypercorn-trio" for app in COMMON),
    *(("hypercorn-trio", app) for app in COMMON if app != "django_asgi"),  # which needs asyncio
    *((server, app) for server in ASGI if "loop" in server for app in ("plain_asgi", "starlette")),
    *((server, app) for server in HTTP2 for app in ("plain_asgi", "starlette")),
    *((server, "fastapi") for server in ("uvicorn-httptools", "hypercorn", "gunicorn-asgi")),
    *((server, "channels") for server in ("daphne", "uvicorn-httptools", "gunicorn-asgi")),
    *((server, app) for server in WSGI for app in ("plain_wsgi", "flask_wsgi", "django_wsgi")),
    *((server, "aiohttp_app") for server in AIOHTTP),
]
SOCKETS = [
    (server, app)
    for server in ASGI
    for app in ("sockets_asgi", "sockets_starlette", "sockets_channels")
    if (server, app) != ("daphne", "sockets_asgi")  # each takes half a minute
    and (server, app) != ("hypercorn-trio", "sockets_channels")  # which needs asyncio
]

ROUTES = {"sockets_asgi": "__unmatched__", "sockets_starlette": "/ws/{name}", "sockets_channels": "/ws/<str:name>"}


def table_of(server, app):
    """What is asked of this server with this application."""
    if server in WSGI:
        return WSGI_TABLE
    if server in AIOHTTP:
        return AIOHTTP_TABLE
    # Whether such an answer ends there depends on when the stream is reset.
    apart = {"short_at_once"} if server in HTTP2 else set()
    if server == "h2-hypercorn-trio":
        apart |= {"large", "ends_short"}
    of_app = {"plain_asgi": PLAIN_TABLE, "starlette": BACKGROUND_TABLE, "starlette_base": BACKGROUND_TABLE}
    return [each for each in of_app.get(app, TABLE) if each.name not in apart]


def judge(server, app, folder):
    """Fails with the wrong cells of one server with one application, and with what that server said."""
    asking = ask_h2 if server in HTTP2 else ask
    with serve(COMMANDS[server], f"{app}:app", folder) as served:
        wrong = wrong_cells(served, table_of(server, app), partial(limit_of, server, app), asking)
        assert wrong == {}, served.said()


@pytest.mark.parametrize(("server", "app"), QUICK)
def test_what_is_recorded_is_what_the_caller_saw(server, app, tmp_path):
    judge(server, app, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize(("server", "app"), [cell for cell in CELLS if cell not in QUICK])
def test_what_is_recorded_is_what_the_caller_saw_behind_every_server(server, app, tmp_path):
    judge(server, app, tmp_path)


def judge_sockets(server, app, folder):
    with serve(ASGI[server], f"{app}:app", folder) as served:
        wrong = wrong_reasons(served, partial(socket_limit_of, server))
        assert wrong == {}, served.said()
        assert refused(served.port) == 403
        assert routes(served) == {ROUTES[app]}


@pytest.mark.parametrize("app", ["sockets_starlette", "sockets_channels"])
def test_the_reason_of_a_socket_s_end_is_what_caller_and_handler_did(app, tmp_path):
    judge_sockets("uvicorn-httptools", app, tmp_path)


def test_callers_who_vanish_are_no_errors_whatever_the_event_loop_raises(tmp_path):
    with serve(ASGI["gunicorn-asgi"], "sockets_starlette:app", tmp_path) as served:  # on uvloop
        assert reasons_of_vanished(served, 12) == {"abnormal": 12}


@pytest.mark.soak
@pytest.mark.parametrize(("server", "app"), SOCKETS)
def test_the_reason_of_a_socket_s_end_is_what_caller_and_handler_did_behind_every_server(server, app, tmp_path):
    judge_sockets(server, app, tmp_path)


def test_every_limit_stands_in_the_readme_with_its_reason():
    readme = (ROOT / "exporter" / "README.md").read_text()
    assert [each.reason for each in (*LIMITS, *SOCKET_LIMITS) if f"| {each.reason} |" not in readme] == []
