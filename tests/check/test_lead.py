"""What only the leader may write and what any replica may write are two types: a swap does not type-check."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WIRED = """
from rearguard_controller.journal.store import Journal, Lead
from rearguard_controller.runtime import Runtime


def wired(kept: Runtime, journal: Journal, lead: Lead) -> Runtime:
    return Runtime(
        clock=kept.clock,
        steady=kept.steady,
        journal={journal},
        lead={lead},
        telemetry=kept.telemetry,
        notices=kept.notices,
        new_id=kept.new_id,
    )
"""
MARKED = """
from rearguard_controller.journal.store import Journal, Lead


async def marked(journal: Journal, lead: Lead) -> None:
    await {name}.mark_judged([1], 0.0)
"""


def found_by_mypy(folder, snippet):
    """The complaints of mypy, with the settings of `make check`, about a module with this text."""
    module = folder / "snippet.py"
    module.write_text(snippet)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(module)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr
    return re.findall(r"error: (.*?)  \[", done.stdout)


def test_each_in_its_own_place_passes(tmp_path):
    assert found_by_mypy(tmp_path, WIRED.format(journal="journal", lead="lead")) == []


@pytest.mark.parametrize(
    ("journal", "lead", "refused"),
    [
        ("lead", "journal", ["journal", "lead"]),
        ("journal", "journal", ["lead"]),
        ("lead", "lead", ["journal"]),
    ],
)
def test_one_in_the_place_of_the_other_does_not_pass(tmp_path, journal, lead, refused):
    found = found_by_mypy(tmp_path, WIRED.format(journal=journal, lead=lead))
    assert [re.match(r'Argument "(\w+)" to "Runtime" has incompatible type', each)[1] for each in found] == refused


def test_what_only_the_leader_may_do_is_no_method_of_the_journal_for_all(tmp_path):
    assert found_by_mypy(tmp_path, MARKED.format(name="lead")) == []
    assert found_by_mypy(tmp_path, MARKED.format(name="journal")) == ['"Journal" has no attribute "mark_judged"']
