"""The rules know no clock and no I/O: what import contracts cannot see, the syntax trees of these rooms show.

The rooms are those of the import contract in pyproject.toml, with every module of ours that they import.
"""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "controller"
CONTRACT = "Rules know no clock and no I/O"
LIBRARIES = {
    "__future__",
    "bisect",
    "collections.abc",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "hashlib",
    "itertools",
    "math",
    "re",
    "typing",
}
CLOCKS = {"now", "utcnow", "today"}  # methods of datetime and date
NEVER = {  # built-in functions and names that reach files, people, or modules that no import names
    "open", "input", "print", "breakpoint", "eval", "exec", "compile", "__import__", "__builtins__", "__loader__",
    "__spec__", "globals", "locals", "vars", "getattr", "setattr",
}  # fmt: skip
NEVER_ATTRIBUTES = {"__subclasses__", "__globals__", "__builtins__", "__loader__", "__spec__", "__import__"}


def rooms():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [each for each in settings["tool"]["importlinter"]["contracts"] if each["name"] == CONTRACT]
    return contract["source_modules"]


def file_of(module):
    path = PACKAGE / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def files_of(room):
    path = PACKAGE / Path(*room.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imports(tree):
    """The modules that a module imports, and a name that may be one: `from package import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or ".", f"{node.module}.{each.name}") for each in node.names)


def scanned():
    """Every file of the rooms, and of what they import of ours, with its syntax tree."""
    found, waiting = {}, [file for room in rooms() for file in files_of(room)]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = ast.parse(file.read_text(encoding="utf-8"))
        for names in imports(found[file]):
            ours = [file_of(name) for name in names if name.startswith("rearguard_controller")]
            waiting += [each for each in ours if each.exists()]
    return found


def faults(tree):
    """What a module does that a pure one does not, as text with its line."""
    of_datetime = {"datetime", "date"} | {
        each.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "datetime" in (getattr(node, "module", None) or "datetime")
        for each in node.names
        if each.asname
    }
    found = [f"import {module}" for module, _ in imports(tree) if not is_allowed(module)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in NEVER:
            found.append(f"{node.lineno}: {node.id}")
        if isinstance(node, ast.Attribute) and node.attr in NEVER_ATTRIBUTES:
            found.append(f"{node.lineno}: .{node.attr}")
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", None)
            if owner in of_datetime:
                found.append(f"{node.lineno}: {owner}.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            found.append(f"{node.lineno}: .{node.func.attr}()")
    return found


def is_allowed(module):
    return module in LIBRARIES or module.split(".")[0] == "rearguard_controller"


def test_the_rules_read_no_clock_open_nothing_and_import_nothing_by_name():
    trees = scanned()
    names = {str(file.relative_to(PACKAGE / "rearguard_controller")) for file in trees}
    assert {"model/facts.py", "judgement/policy.py", "rollback/next_move.py", "releases/trust.py"} <= names
    assert {"releases/adoption.py", "wording.py"} <= names  # a file of the contract, and one that the rooms import
    found = {file.name: said for file, tree in trees.items() if (said := faults(tree))}
    assert found == {}


@pytest.mark.parametrize(
    "planted",
    [
        "from datetime import UTC, datetime\n\ndef age(at):\n    return datetime.now(UTC).timestamp() - at",
        "from datetime import datetime as moment\nclock = moment.utcnow",
        "import datetime\nclock = datetime.datetime.now",
        "import datetime as dt\nclock = dt.date.today",
        "def age(facts, clock):\n    return clock.now() - facts.now",
        "import importlib\nclock = importlib.import_module('time').time",
        "from importlib import import_module",
        "clock = __import__('time').time",
        "import time",
        "from pathlib import Path",
        "def read(name):\n    return open(name).read()",
        "def read(name):\n    return eval(name)",
        "def read(what, name):\n    return getattr(what, name)()",
        "clock = replace.__globals__['sys'].modules['time'].time",
        "if True:\n    from rearguard_controller import x\n    import sys",
    ],
)
def test_a_planted_clock_file_or_import_is_seen(planted):
    assert faults(ast.parse(planted))


def test_the_moment_that_facts_bring_along_is_no_clock():
    assert (
        faults(
            ast.parse(
                "from datetime import UTC, datetime\nage = facts.now - at\nmoment = datetime.fromtimestamp(0, UTC)"
            )
        )
        == []
    )
