"""How far back a PromQL figure reaches: after that time it contains no sample from before a rollback.

Here: a scan of PromQL text for range selectors, subqueries and offsets, which follows recorded names. The scan never
fails: text that it cannot read counts as reaching back `LOOK_BACK` seconds, and Prometheus will say what is wrong
with it. Labels, durations and texts are written as PromQL here, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rearguard_controller.adapters.prometheus.answers import AlertingRule, RecordingRule, Rules
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.model import Labels
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, LABEL_NAME, OLDER_ENVIRONMENT_LABEL, normalised
from rearguard_controller.times import durations

LOOK_BACK = 300.0  # seconds after its last sample for which Prometheus still shows a series, by default
_LONGEST_TEXT = 8_000  # characters; a longer expression is not scanned
_MAX_DEPTH = 50  # recorded names that stand for recorded names
_MOST_GROUPS = 8  # of selectors with the same names of labels, in one question
_MOST_VALUES = 100  # of a label, in one question

# Every token also ends with the text, so that an unclosed one is read once and the scan stays linear.
_STRING = r'"(?:\\.?|[^"\\])*+(?:"|\Z)|\'(?:\\.?|[^\'\\])*+(?:\'|\Z)|`[^`]*+(?:`|\Z)'
TOKEN = re.compile(
    rf"(?P<skip>\s+|\#[^\n]*|{_STRING})"
    r"|(?P<range>\[[^\]]*+(?:\]|\Z))"
    rf"|(?P<selector>\{{(?:{_STRING}|[^}}\"'`])*+(?:\}}|\Z))"
    r"|(?P<number>[0-9.][0-9A-Za-z_.]*)"
    r"|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
METRIC_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
SET_OPERATORS = frozenset({"and", "unless", "or"})
WITH_LABELS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


def settle_seconds(figure: str, rules: Rules, baseline: Collection[str] = ()) -> float:
    """How far back a figure reaches.

    Args:
        figure: PromQL.
        rules: Prometheus' rules, so that recorded names are followed.
        baseline: recorded names that are not followed: what a figure is compared with may be older than a rollback.

    Returns:
        Seconds: the longest sum of ranges, subqueries and offsets around one series, plus the evaluation intervals
        of the groups that recorded it. 0 for a figure that uses only the newest samples. What stands right of an
        `unless` does not count: it takes values away, and gives none.
    """
    return _reach(rules, figure, None, frozenset(baseline))


def clear_seconds(rule: AlertingRule, rules: Rules, figure: str = "", baseline: Collection[str] = ()) -> float:
    """How long after a rollback an alert may still fire because of samples from before it.

    Args:
        rule: the alert's.
        rules: Prometheus' rules, so that recorded names are followed.
        figure: what the alert declares as its figure, if anything.
        baseline: as in `settle_seconds`.

    Returns:
        Seconds: how far back its expression reaches, plus its `keep_firing_for`, plus one evaluation of its group.
        Its `for` delays only the beginning of an alert. If the expression compares the figure by its name, then
        operands that `and` or `unless` adds to that comparison do not count: once the figure is not past its
        threshold any more, they cannot keep the alert firing.
    """
    name = figure if METRIC_NAME.fullmatch(figure) else None
    return _reach(rules, rule.query, name, frozenset(baseline)) + rule.keep_firing_for + rule.interval


def _reach(rules: Rules, expression: str, figure: str | None, baseline: frozenset[str]) -> float:
    """Seconds that an expression reaches back, see `_Reach.of`; worked out once for each reading of the rules."""
    key = expression, figure, baseline
    found = rules.reaches.get(key)
    if found is None:
        known = dict.fromkeys(baseline, 0.0)
        found = rules.reaches[key] = _Reach(rules.recorded, known).of(expression, 0, figure)
    return found


@dataclass(slots=True)
class _Part:
    """What was read of an expression so far."""

    full: float = 0.0  # seconds that it reaches back
    bound: float = 0.0  # the same, without operands that `and` or `unless` adds to the figure
    compares: bool = False  # the figure is in it

    def beside(self, other: _Part) -> _Part:
        """Both together, as operands of a comparison, of arithmetic or of a function."""
        return _Part(max(self.full, other.full), max(self.bound, other.bound), self.compares or other.compares)


@dataclass(slots=True)
class _Level:
    """One pair of parentheses while it is scanned."""

    last: _Part = field(default_factory=_Part)  # the operand just read, which ranges and offsets still lengthen
    operands: _Part = field(default_factory=_Part)  # those before it, since the last `and`, `unless` or `or`
    joined: _Part = field(default_factory=_Part)  # what is complete since the last `or`
    complete: _Part = field(default_factory=_Part)
    excludes: bool = False  # it stands right of an `unless`, and makes nothing fire

    def operand(self, part: _Part) -> None:
        """Begin another operand."""
        self.operands = self.operands.beside(self.last)
        self.last = part

    def longer(self, seconds: float) -> None:
        """A range or offset follows the operand."""
        self.last.full += seconds
        self.last.bound += seconds

    def join(self, word: str) -> None:
        """An `and`, `unless` or `or` follows, or the end."""
        part = self.operands.beside(self.last)
        self.last, self.operands = _Part(), _Part()
        before = self.joined
        compares = part.compares and not self.excludes
        bound = max(before.bound, part.bound) if compares else before.bound
        full = before.full if self.excludes else max(before.full, part.full)
        self.joined = _Part(full, bound, before.compares or compares)
        self.excludes = word == "unless"
        if word == "or":
            found = self.joined
            self.complete = self.complete.beside(found if found.compares else replace(found, bound=found.full))
            self.joined = _Part()

    def result(self) -> _Part:
        """All that was read."""
        self.join("or")
        return self.complete


@dataclass(frozen=True, slots=True)
class _Reach:
    recorded: Mapping[str, Sequence[RecordingRule]]
    known: dict[str, float]

    def of(self, expression: str, depth: int, figure: str | None = None) -> float:
        """Seconds that an expression reaches back; with a `figure` as `clear_seconds` counts them."""
        if len(expression) > _LONGEST_TEXT:
            return LOOK_BACK
        levels = [_Level()]
        tokens = _tokens(expression)
        at = 0
        while at < len(tokens):
            kind, text = tokens[at]
            at += 1
            if kind == "name" and text.lower() in WITH_LABELS:
                at = _after_parentheses(tokens, at)
            elif kind == "name" and text.lower() == "offset":
                at = _offset(tokens, at, levels[-1])
            elif kind == "name" and text.lower() in SET_OPERATORS:
                levels[-1].join(text.lower())
            elif kind == "name":
                reach = self.of_name(text, depth)
                levels[-1].operand(_Part(reach, reach, text == figure))
            elif kind == "selector" and not (at > 1 and tokens[at - 2][0] == "name"):
                levels[-1].operand(_Part())
            elif kind == "range":
                levels[-1].longer(_seconds(text.strip("[]").partition(":")[0].strip()))
            elif text == "(":
                levels.append(_Level())
            elif text == ",":  # another argument of a function, which stands by itself
                levels[-1].join("or")
            elif text == ")" and len(levels) > 1:
                inside = levels.pop().result()
                levels[-1].operand(inside)
        return max(level.result().bound for level in levels)

    def of_name(self, name: str, depth: int) -> float:
        """Seconds that a recorded name reaches back; 0 for any other name, and for one that refers to itself."""
        rules = self.recorded.get(name, ())
        if not rules or depth > _MAX_DEPTH:
            return 0.0
        if name not in self.known:
            self.known[name] = 0.0
            self.known[name] = max(rule.interval + self.of(rule.query, depth + 1) for rule in rules)
        return self.known[name]


def _tokens(expression: str) -> list[tuple[str, str]]:
    matches: Iterable[re.Match[str]] = TOKEN.finditer(expression)
    return [(match.lastgroup or "sign", match[0]) for match in matches if match.lastgroup != "skip"]


def _after_parentheses(tokens: Sequence[tuple[str, str]], at: int) -> int:
    """The index after a list of labels in parentheses, which names no series."""
    if at < len(tokens) and tokens[at][1] == "(":
        while at < len(tokens) and tokens[at][1] != ")":
            at += 1
        return at + 1
    return at


def _offset(tokens: Sequence[tuple[str, str]], at: int, level: _Level) -> int:
    """Lengthen the operand by an offset; one into the future does not shorten it."""
    if at < len(tokens) and tokens[at][1] == "-":
        return at + 2
    if at < len(tokens) and tokens[at][0] == "number":
        level.longer(_seconds(tokens[at][1]))
        return at + 1
    level.longer(LOOK_BACK)
    return at


def _seconds(text: str) -> float:
    """A duration, or seconds as Prometheus 3 also allows."""
    try:
        return durations.parse(text)
    except InvalidInputError:
        return (
            min(float(text), durations.LONGEST) if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", text) else LOOK_BACK
        )


def selector_text(labels: Labels) -> str:
    """Labels as a PromQL selector: values quoted, and names that Prometheus 2 would not have allowed."""
    return "{" + ",".join(f"{_name(name)}={quoted(value)}" for name, value in sorted(labels.items())) + "}"


def series_of(name: str, labels: Labels) -> str:
    """PromQL of every series of a metric with these labels, whichever of its names a label has."""
    return " or ".join(f"{name}{selector_text(each)}" for each in alternatives(labels))


def over_time(function: str, name: str, labels: Labels, seconds: float) -> str:
    """PromQL of a function such as `last_over_time` over the last `seconds` of these series (see `series_of`)."""
    within = f"[{duration(seconds)}]"
    return " or ".join(f"{function}({name}{selector_text(each)}{within})" for each in alternatives(labels))


def alternatives(labels: Labels) -> tuple[Labels, ...]:
    """The sets of labels, one for each name of a label that has two: a series that agrees has one of the sets."""
    newer = normalised(labels)
    if ENVIRONMENT_LABEL not in newer:
        return (newer,)
    return newer, {**newer, ENVIRONMENT_LABEL: "", OLDER_ENVIRONMENT_LABEL: newer[ENVIRONMENT_LABEL]}


def presence(selector: Labels) -> str:
    """PromQL that returns one value for each instance of a target: 1 where it is scraped now."""
    return f"{series_of('target_info', selector)} or {series_of('up', selector)}"


def presence_of_any(selectors: Iterable[Labels]) -> str:
    """PromQL that returns, in one answer, what `presence` returns for each of these selectors; and perhaps more.

    Labels that all selectors of the same names have narrow it, as long as their values are few.
    """
    by_names: dict[frozenset[str], list[Labels]] = {}
    for selector in map(normalised, selectors):
        by_names.setdefault(frozenset(selector), []).append(selector)
    groups = list(by_names.values()) if len(by_names) <= _MOST_GROUPS else [[{}]]
    wanted = [matchers for group in groups for matchers in _any_of(group)]
    return " or ".join(f"{name}{matchers}" for name in ("target_info", "up") for matchers in wanted)


def _any_of(selectors: Sequence[Labels]) -> Iterable[str]:
    """Selectors in braces that together take what any of these takes, which all name the same labels."""
    values = {name: sorted({selector[name] for selector in selectors}) for name in selectors[0]}
    few = {name: of for name, of in values.items() if len(of) <= _MOST_VALUES}
    yield _one_of(few)
    if ENVIRONMENT_LABEL in few:
        yield _one_of({**few, ENVIRONMENT_LABEL: [""], OLDER_ENVIRONMENT_LABEL: few[ENVIRONMENT_LABEL]})


def agreeing(labels: Labels) -> str:
    """Labels as a selector that also takes series without some of them, or with the older name of one."""
    return _one_of({name: (value, "") for name, value in normalised(labels).items()})


def _one_of(values: Mapping[str, Sequence[str]]) -> str:
    """A selector in braces: each label has one of these values."""
    matchers = [
        f"{_name(name)}={quoted(of[0])}"
        if len(of) == 1
        else f"{_name(name)}=~{quoted('|'.join(_as_pattern(each) for each in of))}"
        for name, of in sorted(values.items())
    ]
    return "{" + ",".join(matchers) + "}"


def _as_pattern(text: str) -> str:
    """A text as a regular expression of RE2 that means just this text."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", text)


def duration(seconds: float) -> str:
    """Seconds as a PromQL duration."""
    return f"{round(seconds * 1000)}ms"


def _name(label: str) -> str:
    return label if LABEL_NAME.fullmatch(label) else quoted(label)


def quoted(text: str) -> str:
    """A text as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
