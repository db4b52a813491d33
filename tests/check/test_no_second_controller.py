"""No test re-implements the controller: whoever judges, plans and asks for the next move by himself would do that.

Such a test proves what it made itself. Tests of the whole way use the product's own wiring (see
tests/real/controller/decision_controller.py).
"""

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TOGETHER = {  # what of the controller, and the modules or names by which a test may get at it
    "policy": {
        "rearguard_controller.judgement.policy",
        "rearguard_controller.judgement.policy.decide",
    },
    "plan": {"rearguard_controller.rollback.plan", "rearguard_controller.rollback.plan.plan"},
    "next move": {
        "rearguard_controller.rollback.next_move",
        "rearguard_controller.rollback.next_move.next_move",
    },
}


def imported(tree):
    """The modules and names that a module imports, at its top or anywhere else."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def of_test(file, seen=None):
    """What a test imports, also by way of the kits that it uses."""
    seen = {file} if seen is None else seen
    names = set(imported(ast.parse(file.read_text(encoding="utf-8"))))
    for name in sorted(names):
        kit = (TESTS / Path(*name.split("."))).with_suffix(".py")
        if kit.is_file() and kit not in seen:
            seen.add(kit)
            names |= of_test(kit, seen)
    return names


def is_a_second_controller(names):
    return all(names & of_these for of_these in TOGETHER.values())


def second_controllers(folder):
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*.py"))
        if is_a_second_controller(of_test(file))
    ]


def test_no_test_judges_plans_and_asks_for_the_next_move_by_itself():
    assert second_controllers(TESTS) == []


def test_what_is_looked_for_still_has_these_names():
    package = TESTS.parent / "controller"
    for names in TOGETHER.values():
        module = min(names, key=len)
        assert (package / Path(*module.split("."))).with_suffix(".py").is_file(), module


def test_a_planted_second_controller_is_seen(tmp_path):
    planted = [
        (
            "from rearguard_controller.judgement import policy\n"
            "from rearguard_controller.rollback import next_move\n"
            "from rearguard_controller.rollback.plan import plan, waiting_for\n"
        ),
        (
            "import rearguard_controller.judgement.policy\n"
            "def test_x():\n"
            "    from rearguard_controller.rollback.next_move import next_move\n"
            "    from rearguard_controller.rollback import plan\n"
        ),
        (
            "from rearguard_controller.judgement.policy import decide\n"
            "from rearguard_controller.rollback import RunStep, next_move\n"
            "from unit.controller import factories\n"
        ),  # which plans
    ]
    fine = [
        "from rearguard_controller.judgement import policy\nfrom rearguard_controller.rollback.plan import plan\n",
        "from rearguard_controller.rollback import next_move\nfrom unit.controller import factories\n",
    ]
    for number, text in enumerate((*planted, *fine)):
        (tmp_path / f"test_{number}.py").write_text(text)
    assert second_controllers(tmp_path) == ["test_0.py", "test_1.py", "test_2.py"]
