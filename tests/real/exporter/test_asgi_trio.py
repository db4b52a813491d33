"""An ASGI application on trio: it is served, measured, and told once what is missing there."""

import pytest
import requests

from real.exporter.oracle.comparison import recorded
from real.exporter.oracle.servers import ASGI, serve
from real.exporter.oracle.truth import Recorded

SAID = "an event loop that is not asyncio's"


@pytest.mark.parametrize("server", ["hypercorn-trio", "hypercorn"])
def test_on_trio_everything_is_served_and_the_log_says_once_what_is_missing(server, tmp_path):
    with serve(ASGI[server], "plain_asgi:app", tmp_path) as served:
        site = f"http://127.0.0.1:{served.port}"
        for _ in range(2):
            assert requests.get(f"{site}/quick", timeout=10).text == "ok"
        for path in ("/healthz", "/readyz"):
            assert requests.get(site + path, timeout=10).json()["status"]
        assert requests.get(f"{site}/api/monitoring/dashboard", timeout=10).json()["service"] == "oracle"
        assert requests.head(f"{site}/metrics", timeout=10).status_code == 200
        assert recorded(served)["quick"] == [Recorded("200", is_error=False)] * 2
        assert served.said().count(SAID) == (server == "hypercorn-trio")
    assert "Traceback" not in served.said()
