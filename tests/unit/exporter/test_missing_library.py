"""An `instrument_` method without its library says what to install; other import errors are not hidden."""

from __future__ import annotations

import subprocess
import sys

import pytest

METHODS = ["aiohttp", "sqlalchemy", "asyncpg", "psycopg"]


def instrument(library, missing):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {missing!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
from rearguard_exporter import Monitor
Monitor(service="shop").instrument_{library}(object())
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("library", METHODS)
def test_a_missing_library_is_named_with_the_command_that_installs_it(library):
    last = instrument(library, library).stderr.splitlines()[-1]
    assert last == (
        f"ModuleNotFoundError: instrument_{library} needs the library {library}, which is not installed;"
        f" run: pip install 'rearguard[{library}]'"
    )


@pytest.mark.parametrize(("library", "missing"), [("aiohttp", "yarl"), ("sqlalchemy", "sqlalchemy.engine")])
def test_a_damaged_library_is_told_as_it_is(library, missing):
    last = instrument(library, missing).stderr.splitlines()[-1]
    assert missing in last
    assert "pip install" not in last
