"""The lowest versions that pyproject.toml allows, in an environment of their own: unit tests, odd requests, demo."""

import os
import re
import subprocess
import sys
import tomllib

import psutil
import pytest
from packaging.requirements import Requirement

from local_stack.binaries import ROOT

STORY = [
    "started",
    "v1 is known good",
    "fault began",
    "alert pending ReleaseErrorRate",
    "alert firing ReleaseWorse",
    "webhook received ReleaseWorse",
    "decision: roll_back ReleaseWorse",
    "save-state",
    "drain",
    "rollback",
    "health",
    "restore",
    "clear-cache",
    "recovery",
    "recovered",
    "alerts over",
]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ITSELF = PROJECT["name"]

pytestmark = [pytest.mark.soak, pytest.mark.alone]  # alone: the demo tells how long it took, and has limits


def lowest(requirement):
    """A requirement that only its own lower bound satisfies; as it is where it has none."""
    bounds = [each.version for each in requirement.specifier if each.operator == ">="]
    assert len(bounds) == len(requirement.specifier), f"{requirement}: only lower bounds are expected"
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{''.join(f'=={each}' for each in bounds)}"


def pins():
    """One line for each library. Where two extras name different bounds, the higher one counts: both are allowed."""
    found = {}
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in (Requirement(each) for group in groups for each in group):
        if requirement.name == ITSELF:
            continue
        name = requirement.name.lower()
        known = found.get(name)
        if known is not None:
            requirement.extras |= known.extras
            if bound(known) > bound(requirement):
                requirement.specifier = known.specifier
        found[name] = requirement
    return sorted(map(lowest, found.values()))


def bound(requirement):
    return [int(part) for each in requirement.specifier for part in each.version.split(".") if part.isdigit()]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has the lowest versions and this tree, as one who installs it."""
    home = tmp_path_factory.mktemp("lowest")
    (home / "pins.txt").write_text("\n".join(pins()) + "\n")
    found = home / "env/bin/python"
    ran(sys.executable, "-m", "venv", home / "env")
    install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    ran(*install, "-r", home / "pins.txt")
    ran(*install, "--no-deps", ROOT)
    return found


def ran(*words, **more):
    """What a program prints; it must end well."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith("PYT")
    }  # no PYTHONPATH, no PYTEST_…
    done = subprocess.run(
        list(map(str, words)), cwd=ROOT, env=own | more, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.timeout(1500)
def test_the_unit_tests_pass_on_the_lowest_versions(python):
    tests = ("tests/unit", "tests/real/controller/test_greedy_requests.py")
    told = ran(python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-m", "not soak", *tests)
    assert " passed" in told


@pytest.mark.timeout(600)
def test_the_demo_rolls_back_once_and_proves_it_on_the_lowest_versions(python, tmp_path):
    """Versions as pinned go the same way in test_end_to_end.py."""
    text = ran(python, "-m", "local_stack.demo", PYTHONPATH=str(ROOT / "deploy/local"), TMPDIR=str(tmp_path))
    lines = text.splitlines()
    told = [" ".join(re.sub(r"^ *-?[\d.]* +", "", line).split()) for line in lines]
    places = [next((n for n, line in enumerate(told) if line.startswith(what)), None) for what in STORY]
    assert None not in places, dict(zip(STORY, places, strict=True))
    assert places == sorted(places), text
    assert len([line for line in lines if line.startswith("yes  ")]) == 4
    decided = next(line for line in lines if line.startswith("fault began → decision"))
    assert float(decided.split()[-2]) <= 60
    assert list(tmp_path.iterdir()) == []
    assert [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(each.info["cmdline"])] == []
