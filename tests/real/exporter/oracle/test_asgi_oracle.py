"""ASGI: what is recorded is what the caller saw, for every server, framework and behaviour."""

from functools import partial

import pytest

from local_stack.binaries import ROOT
from real.exporter.oracle.behaviours import TABLE
from real.exporter.oracle.comparison import wrong_cells
from real.exporter.oracle.limits import LIMITS, limit_of
from real.exporter.oracle.servers import ASGI, serve

QUICK = [
    ("uvicorn-h11", "plain_asgi"),
    ("uvicorn-httptools", "starlette_base"),
    ("gunicorn-asgi", "django_asgi"),
    ("hypercorn", "fastapi_inside"),
]
COMMON = ("plain_asgi", "starlette", "starlette_base", "fastapi", "fastapi_inside", "django_asgi")
CELLS = [
    *((server, app) for server in ASGI if "loop" not in server for app in COMMON),
    *((server, app) for server in ASGI if "loop" in server for app in ("plain_asgi", "starlette")),
    *((server, "channels") for server in ("daphne", "uvicorn-httptools", "gunicorn-asgi")),
]


def judge(server, app, folder):
    """The wrong cells of one server with one application, and what that server said."""
    with serve(ASGI[server], f"{app}:app", folder) as served:
        wrong = wrong_cells(served, TABLE, partial(limit_of, server, app))
        assert wrong == {}, served.said()


@pytest.mark.parametrize(("server", "app"), QUICK)
def test_what_is_recorded_is_what_the_caller_saw(server, app, tmp_path):
    judge(server, app, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize(("server", "app"), [cell for cell in CELLS if cell not in QUICK])
def test_what_is_recorded_is_what_the_caller_saw_behind_every_server(server, app, tmp_path):
    judge(server, app, tmp_path)


def test_every_limit_stands_in_the_readme_with_its_reason():
    readme = (ROOT / "exporter" / "README.md").read_text()
    assert [each.reason for each in LIMITS if f"| {each.reason} |" not in readme] == []
