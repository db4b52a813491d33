"""A missing library of an extra is told in one sentence; nothing else that fails to import is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from rearguard_controller.errors import missing_library

ROOT = Path(__file__).resolve().parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONFIGURATION = """\
environment: production
journal: JOURNAL
listen: 127.0.0.1:0
prometheus: {url: "http://127.0.0.1:9"}
targets: [{name: a, match: {service_name: a}, release: {command: {current: [c], rollback: [r]}}}]
"""


def without(modules, *words):
    """The command in a process in which these modules are not installed."""
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {modules!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
from rearguard_controller.cli import main
sys.exit(main({list(words)!r}))
"""
    command = [sys.executable, "-c", code]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def modules_of(extra):
    names = {requirement.partition(">")[0] for requirement in PYPROJECT["project"]["optional-dependencies"][extra]}
    return sorted(module for module, given in packages_distributions().items() if names & set(given))


@pytest.mark.parametrize(
    ("words", "library"),
    [
        (("status",), "requests"),
        (("explain", "shop"), "requests"),
        (("rollback", "shop", "--reason", "text"), "requests"),
        (("watch", "shop", "--version", "v2"), "requests"),
        (("check", "--config", "nowhere.yaml"), "yaml"),
        (("serve", "--config", "nowhere.yaml"), "structlog"),
        (("backtest", "--config", "nowhere.yaml", "--since", "1d"), "orjson"),
    ],
)
def test_a_missing_library_of_the_controller_is_one_sentence_and_exit_code_2(words, library):
    done = without([library], *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"rearguard: This command needs the library {library}, which is not installed;"
        " run: pip install 'rearguard[controller]'\n"
    )


def test_a_journal_in_postgresql_without_its_driver_is_told_with_its_own_extra(tmp_path):
    file = tmp_path / "rearguard.yaml"
    file.write_text(CONFIGURATION.replace("JOURNAL", "postgresql://rearguard@127.0.0.1/rearguard"))
    done = without(["asyncpg"], "serve", "--insecure", "--config", str(file))
    assert done.returncode == 2
    assert done.stderr == (
        "rearguard: A journal in PostgreSQL needs the library asyncpg, which is not installed;"
        " run: pip install 'rearguard[postgres]'\n"
    )


@pytest.mark.parametrize("module", ["yarl", "rearguard_controller.cli.show", "urllib3", "asyncpg.pool"])
def test_a_module_that_is_no_library_of_ours_is_not_explained_away(module):
    assert missing_library(ModuleNotFoundError(f"No module named {module!r}", name=module)) is None


def test_a_damaged_library_ends_in_a_traceback_that_names_it():
    done = without(["urllib3"], "status")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "urllib3" in done.stderr


@pytest.mark.parametrize("extra", ["controller", "postgres"])
def test_every_library_of_an_extra_is_known_with_it(extra):
    known = {module for module in modules_of(extra) if missing_library(ModuleNotFoundError("", name=module))}
    assert known
    assert set(modules_of(extra)) - known <= {"_yaml"}  # PyYAML's own part of C
    for module in known:
        assert f"'rearguard[{extra}]'" in missing_library(ModuleNotFoundError("", name=module)).message
