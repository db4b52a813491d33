"""A wheel and an sdist of this tree, and empty virtual environments that the wheel is installed in."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRACEBACK = "Traceback"
PATIENCE = 240.0  # seconds for one program: pip may have to fetch


def environment(**more):
    """This environment, without what would lead a program back into the tree."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return {name: value for name, value in kept.items() if not name.startswith("REARGUARD_")} | more


def run(*words, cwd, patience=PATIENCE, **more):
    return subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def succeed(*words, cwd, **more):
    done = run(*words, cwd=cwd, **more)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(source, into, *kinds):
    """Build in the environment of the tests, whose backend constraints.txt pins."""
    options = [f"--{kind}" for kind in kinds]
    succeed(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", into, source, cwd=into)


def contents(wheel):
    """Name -> bytes of a wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel, and a folder to run its programs in that holds nothing of the tree."""

    home: Path
    folder: Path

    @classmethod
    def of(cls, folder, wheel, extra=""):
        home, work = folder / "venv", folder / "work"
        work.mkdir()
        succeed(sys.executable, "-m", "venv", "--without-pip", home, cwd=folder)
        made = cls(home, work)
        pip = (sys.executable, "-m", "pip", "--python", made.python, "install", "--quiet")
        succeed(*pip, "--constraint", ROOT / "constraints.txt", f"{wheel}{extra}", cwd=folder)
        return made

    @property
    def python(self):
        return self.home / "bin/python"

    @property
    def program(self):
        return self.home / "bin/rearguard"

    def run(self, *words, **more):
        return run(*words, cwd=self.folder, patience=60.0, **more)

    def rearguard(self, *words, **more):
        return self.run(self.program, *words, **more)
