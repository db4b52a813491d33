"""ASGI: what is recorded is what the caller saw, for every server, framework and behaviour."""

import pytest

from real.exporter.oracle.behaviours import TABLE
from real.exporter.oracle.comparison import wrong_cells
from real.exporter.oracle.servers import ASGI, serve


@pytest.mark.parametrize("app", ["plain_asgi", "starlette"])
@pytest.mark.parametrize("server", ["uvicorn-h11"])
def test_what_is_recorded_is_what_the_caller_saw(server, app, tmp_path):
    with serve(ASGI[server], f"{app}:app", tmp_path) as served:
        wrong = wrong_cells(served, [each for each in TABLE if each.name in {"quick", "done", "raises", "range"}])
        assert wrong == {}, served.said()
