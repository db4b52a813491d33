"""The measures of the controller's house: rooms with few arrows between them, short files, small constructors."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "controller" / "rearguard_controller"
MOST_ARROWS = 123  # pairs of rooms of which one imports the other
MOST_LINES = 400  # of a file
MOST_ARGUMENTS = 7  # of a constructor; records, which only hold values by name, may have more


def trees():
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE), ast.parse(file.read_text(encoding="utf-8"))


def rooms_imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            inner = (node.module or "").split(".")[1:]
            yield from inner[:1] or [each.name for each in node.names]
        elif isinstance(node, ast.Import):
            names = [each.name.split(".") for each in node.names]
            yield from (name[1] for name in names if name[0] == PACKAGE.name and len(name) > 1)


def test_few_pairs_of_rooms_import_one_another():
    room_of = {file: file.parts[0].removesuffix(".py") for file, _ in trees()}
    arrows = {(room_of[file], other) for file, tree in trees() for other in rooms_imported(tree)}
    arrows = {(room, other) for room, other in arrows if room != other}
    assert ("watching", "intake") in arrows  # or nothing would be counted
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)


def test_every_file_is_short():
    lines = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file, _ in trees()}
    assert {file: count for file, count in lines.items() if count > MOST_LINES} == {}


def test_every_constructor_is_small():
    found = {}
    for file, tree in trees():
        for one in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for method in (each for each in one.body if isinstance(each, ast.FunctionDef)):
                if method.name == "__init__":
                    found[f"{file}: {one.name}"] = len(method.args.args) - 1 + len(method.args.kwonlyargs)
    assert len(found) > 50  # or nothing would be counted
    assert {name: count for name, count in found.items() if count > MOST_ARGUMENTS} == {}
