"""The sentences of the code: none has a colon after a colon, which leaves open what explains what.

Here: every text in the source, with `{}` where a value is put in. A label before a sentence (`checkout: `,
`file:line: `) is no part of it. What a command prints as a whole is looked at in the real tests of the first hour.
"""

import ast

import pytest

from check.documents import ROOT
from check.plain_words import nested

CONTROLLER = ROOT / "controller/rearguard_controller"
MADE_TO_BE_COPIED = ("cli/first_files.py",)  # lines of YAML


def text_of(node):
    """A literal as it would be printed, `{}` for each value; None if it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(each.value if isinstance(each, ast.Constant) else "{}" for each in node.values)
    return None


def texts(tree):
    """Every text of a module with its line, without docstrings."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        text = None if id(node) in skipped else text_of(node)
        if text is not None:
            skipped.update(id(each) for each in ast.walk(node))
            yield node.lineno, text


def test_no_sentence_has_a_colon_after_a_colon():
    found = []
    for path in sorted(CONTROLLER.rglob("*.py")):
        name = path.relative_to(CONTROLLER).as_posix()
        if name in MADE_TO_BE_COPIED:
            continue
        for number, text in texts(ast.parse(path.read_text())):
            found += [f"{name}:{number}: {each}" for each in nested(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "orders is not ready: figures fails: No target_info has it.",
        "cart: no version, so nothing can be blamed: set it: Monitor(version=...)",
        "Take it from them: chmod o= FILE, or defaultMode: 0440.",
    ],
)
def test_one_would_be_found(text):
    assert nested(text)


@pytest.mark.parametrize(
    "text",
    [
        "rearguard.yaml:7: policies.standard.mode: it must be observe or ask or act",
        "orders: No instance of it is seen: no `up` has it. Correct `match`: it says `a: b`.",
        "rearguard: Prometheus at http://h:1 cannot be asked: Cannot connect to host h:1",
        '{}: one thing: {"a": 1}',
    ],
)
def test_labels_addresses_and_code_are_not_taken_for_one(text):
    assert not nested(text)
