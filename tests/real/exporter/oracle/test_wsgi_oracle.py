"""WSGI: what is recorded is what the caller saw, for every server, framework and behaviour."""

from functools import partial

import pytest

from real.exporter.oracle.behaviours import WSGI_TABLE
from real.exporter.oracle.comparison import wrong_cells
from real.exporter.oracle.limits import limit_of
from real.exporter.oracle.servers import WSGI, serve

QUICK = [("gunicorn-gthread", "flask_wsgi"), ("waitress", "plain_wsgi")]
CELLS = [(server, app) for server in WSGI for app in ("plain_wsgi", "flask_wsgi", "django_wsgi")]


def judge(server, app, folder):
    """The wrong cells of one server with one application, and what that server said."""
    with serve(WSGI[server], f"{app}:app", folder) as served:
        wrong = wrong_cells(served, WSGI_TABLE, partial(limit_of, server, app))
        assert wrong == {}, served.said()


@pytest.mark.parametrize(("server", "app"), QUICK)
def test_what_is_recorded_is_what_the_caller_saw(server, app, tmp_path):
    judge(server, app, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize(("server", "app"), [cell for cell in CELLS if cell not in QUICK])
def test_what_is_recorded_is_what_the_caller_saw_behind_every_server(server, app, tmp_path):
    judge(server, app, tmp_path)
