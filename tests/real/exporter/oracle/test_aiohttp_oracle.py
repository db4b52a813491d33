"""aiohttp: what is recorded is what the caller saw, for every server and behaviour."""

import pytest

from real.exporter.oracle.behaviours import TABLE, Behaviour, Leaves
from real.exporter.oracle.comparison import wrong_cells
from real.exporter.oracle.servers import AIOHTTP, serve

OWN = (
    Behaviour("large_file", leaves=Leaves.READING),
    # The answer dies after the handler is over.
    Behaviour("signal", fails=True),  # a signal of the application raises
    Behaviour("payload", fails=True),  # what the body is read from raises
    Behaviour("payload_os_error", fails=True),
    Behaviour("payload_cancels", fails=True),
    Behaviour("refuses_streaming", fails=True),  # an HTTPException after the head
    Behaviour("nothing", fails=True),  # the handler returns None
    Behaviour("times_out", fails=True),
    # aiohttp answers by itself.
    Behaviour("refuses"),
    Behaviour("expects_oddly", method="POST", headers=(("Expect", "oddly"),), body=b"x" * 100),
    Behaviour("too_large", method="POST", body=b"x" * 20_000),
    # A middleware outside of the exporter's has the last word.
    Behaviour("outer_raises", fails=True),
    Behaviour("outer_answers"),
    Behaviour("outer_refuses"),
    Behaviour("outer_turns"),
    Behaviour("outer_waits"),
)


@pytest.mark.parametrize("server", ["aiohttp", *(pytest.param(each, marks=pytest.mark.soak) for each in AIOHTTP)])
def test_what_is_recorded_is_what_the_caller_saw(server, tmp_path):
    with serve(AIOHTTP[server], "aiohttp_app:app", tmp_path) as served:
        assert wrong_cells(served, TABLE + OWN) == {}, served.said()
