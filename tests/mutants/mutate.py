"""From a module to its mutants: the same text with one guard taken away.

Here: which places of a syntax tree are changed, how, and what a mutant is called; and the same text with functions
that tell when they are called. Ways to change:

- `never`: a condition that ends in an early `return`, `raise`, `continue` or `break` is never true
- `turned`: any other condition of an `if`, a `while` or an `a if b else c` is turned round
- `without`: one operand of an `and` or `or` is dropped
- `always`: the guard of a `case` is dropped
- `dropped`: a statement is dropped that is a call, or that gives a name a new value made of its old one

Nothing is changed of logging, counting, conditions of nothing else, and checks for programmers (`assert`).
"""

import ast
from dataclasses import dataclass
from hashlib import blake2b

UNSEEN = ("log.", "self._telemetry.", "telemetry.", "assert_never")  # what is told, not what is done
ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True)
class Mutant:
    """One change: `old` between two offsets of the module's text becomes `new`.

    Attributes:
        name: of this change; the same as long as its function's line and the change are.
        file: below the package, such as execution/step.py.
        function: qualified name of the outermost function that it is in.
        line: counted from 1.
        before, after: the changed lines without indentation, as one line each.
    """

    name: str
    file: str
    function: str
    way: str
    line: int
    start: int
    end: int
    new: str
    before: str
    after: str

    def applied(self, text):
        """The module's text with this change; offsets are in bytes, as in syntax trees."""
        data = text.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()


def mutants(text, file):
    """All mutants of a module, in the order of its text."""
    finder = _Finder(text)
    finder.visit(ast.parse(text))
    found, taken = [], set()
    for function, way, node, new in sorted(
        finder.found, key=lambda each: (each[2].lineno, each[2].col_offset, each[1])
    ):
        start, end = finder.span(node)
        before, after = finder.lines(start, end, new)
        key, again = f"{file} {function} {way} {before} {after}", 0
        while (name := blake2b(f"{key} {again}".encode(), digest_size=4).hexdigest()) in taken:
            again += 1
        taken.add(name)
        found.append(Mutant(name, file, function, way, node.lineno, start, end, new, before, after))
    return found


def telling(text, file):
    """The module's text where each function first puts its place into a set, if there is one: see who_calls.py."""
    finder, lines = _Finder(text), text.splitlines(keepends=True)
    finder.visit(ast.parse(text))
    for function, first in sorted(finder.bodies, key=lambda each: -each[1].lineno):
        words = f"__import__('builtins').__dict__.get('_called', set()).add({f'{file} {function}'!r})"
        lines.insert(first.lineno - 1, " " * first.col_offset + words + "\n")
    return "".join(lines)


class _Finder(ast.NodeVisitor):
    def __init__(self, text):
        self.data = text.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found = []
        self.bodies = []  # of each function, also within another: the outermost one's name, its first statement
        self.scope = []  # names of classes and of the outermost function
        self.inside = False

    # --- where it is

    def visit_ClassDef(self, node):
        if not self.inside:
            self.scope.append(node.name)
        self.generic_visit(node)
        if not self.inside:
            self.scope.pop()

    def visit_FunctionDef(self, node):
        outermost, self.inside = not self.inside, True
        if outermost:
            self.scope.append(node.name)
        body = [each for each in node.body if not _is_docstring(each)]
        self.bodies += [(".".join(self.scope), each) for each in body[:1]]
        for each in node.body:
            self.visit(each)
        if outermost:
            self.scope.pop()
            self.inside = False

    visit_AsyncFunctionDef = visit_FunctionDef

    # --- what is changed

    def visit_If(self, node):
        if all(self._is_unseen(each) for each in (*node.body, *node.orelse)):
            return
        ends = isinstance(node.body[-1], ENDS) and not node.orelse
        self._add("never" if ends else "turned", node.test, "False" if ends else f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_While(self, node):
        if not isinstance(node.test, ast.Constant):
            self._add("turned", node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self._add("turned", node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        word = " and " if isinstance(node.op, ast.And) else " or "
        for dropped in node.values:
            rest = word.join(f"({self._text(each)})" for each in node.values if each is not dropped)
            self._add("without", node, f"({rest})")
        self.generic_visit(node)

    def visit_match_case(self, node):
        if node.guard is not None:
            self._add("always", node.guard, "True")
        self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call | ast.Await):
            self._add("dropped", node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node):
        names = {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        used = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
        if isinstance(node.value, ast.Call | ast.Await) and names & used:
            self._add("dropped", node, "pass")
        self.generic_visit(node)

    # --- text

    def _is_unseen(self, node):
        return self._text(node).removeprefix("await ").startswith(UNSEEN)

    def _add(self, way, node, new):
        if self.inside and not self._is_unseen(node):
            self.found.append((".".join(self.scope), way, node, new))

    def _text(self, node):
        start, end = self.span(node)
        return self.data[start:end].decode()

    def span(self, node):
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def lines(self, start, end, new):
        """The lines that a change touches, before and after it, each as one line."""
        first = self.data.rfind(b"\n", 0, start) + 1
        last = self.data.find(b"\n", end)
        before = self.data[first:last].decode()
        after = (self.data[first:start] + new.encode() + self.data[end:last]).decode()
        return " ".join(before.split()), " ".join(after.split())


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
