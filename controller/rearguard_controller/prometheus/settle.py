"""How far back a PromQL figure reaches: after that long, no sample from before a rollback is left in it.

Here: a scan of PromQL text for range selectors, subqueries and offsets, through recorded names.
Never here: PromQL's meaning, or the network. The scan never fails: text that it cannot read counts as reaching
back `UNREADABLE` seconds, and Prometheus will say what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rearguard_controller import durations
from rearguard_controller.errors import InvalidInputError
from rearguard_controller.prometheus.answers import AlertingRule, RecordingRule, Rules

UNREADABLE = 300.0  # seconds: Prometheus' default look-back
_LONGEST_TEXT = 8_000  # characters; a longer expression is not scanned
_MAX_DEPTH = 50  # recorded names that stand for recorded names

# Every token also ends with the text, so that an unclosed one is read once and the scan stays linear.
_STRING = r'"(?:\\.?|[^"\\])*+(?:"|\Z)|\'(?:\\.?|[^\'\\])*+(?:\'|\Z)|`[^`]*+(?:`|\Z)'
_TOKEN = re.compile(
    rf"(?P<skip>\s+|\#[^\n]*|{_STRING})"
    r"|(?P<range>\[[^\]]*+(?:\]|\Z))"
    rf"|(?P<selector>\{{(?:{_STRING}|[^}}\"'`])*+(?:\}}|\Z))"
    r"|(?P<number>[0-9.][0-9A-Za-z_.]*)"
    r"|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_WITH_LABELS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})


def settle_seconds(figure: str, rules: Rules) -> float:
    """The longest way back of a figure.

    Args:
        figure: PromQL.
        rules: Prometheus' rules, so that recorded names are followed.

    Returns:
        Seconds: the longest sum of ranges, subqueries and offsets around one series, plus the evaluation intervals
        of the groups that recorded it. 0 for a figure of the newest samples only.
    """
    recorded: dict[str, list[RecordingRule]] = {}
    for rule in rules.recording:
        recorded.setdefault(rule.name, []).append(rule)
    return _Reach(recorded, {}).of(figure, 0)


def clear_seconds(rule: AlertingRule, rules: Rules) -> float:
    """How long after a rollback an alert may go on firing because of what was before.

    Returns:
        Seconds: the way back of its expression, its `keep_firing_for`, and one evaluation of its group. Its `for`
        delays the beginning of an alert, never its end.
    """
    return settle_seconds(rule.query, rules) + rule.keep_firing_for + rule.interval


@dataclass(slots=True)
class _Level:
    """One pair of parentheses while it is scanned."""

    longest: float = 0.0  # of what is complete
    last: float = 0.0  # of the operand just read, which ranges and offsets after it still lengthen

    def operand(self, reach: float) -> None:
        """Begin another operand."""
        self.longest = max(self.longest, self.last)
        self.last = reach

    def result(self) -> float:
        """The longest of all operands."""
        return max(self.longest, self.last)


@dataclass(frozen=True, slots=True)
class _Reach:
    recorded: Mapping[str, Sequence[RecordingRule]]
    known: dict[str, float]

    def of(self, expression: str, depth: int) -> float:
        """Seconds that an expression reaches back."""
        if len(expression) > _LONGEST_TEXT:
            return UNREADABLE
        levels = [_Level()]
        tokens = _tokens(expression)
        at = 0
        while at < len(tokens):
            kind, text = tokens[at]
            at += 1
            if kind == "name" and text.lower() in _WITH_LABELS:
                at = _after_parentheses(tokens, at)
            elif kind == "name" and text.lower() == "offset":
                at = _offset(tokens, at, levels[-1])
            elif kind == "name":
                levels[-1].operand(self.of_name(text, depth))
            elif kind == "selector" and not (at > 1 and tokens[at - 2][0] == "name"):
                levels[-1].operand(0.0)
            elif kind == "range":
                levels[-1].last += _seconds(text.strip("[]").partition(":")[0].strip())
            elif text == "(":
                levels.append(_Level())
            elif text == ")" and len(levels) > 1:
                inside = levels.pop().result()
                levels[-1].operand(inside)
        return max(level.result() for level in levels)

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
    matches: Iterable[re.Match[str]] = _TOKEN.finditer(expression)
    return [(match.lastgroup or "sign", match[0]) for match in matches if match.lastgroup != "skip"]


def _after_parentheses(tokens: Sequence[tuple[str, str]], at: int) -> int:
    """The place after a list of labels, which are no series."""
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
        level.last += _seconds(tokens[at][1])
        return at + 1
    level.last += UNREADABLE
    return at


def _seconds(text: str) -> float:
    """A duration, or seconds as Prometheus 3 also allows."""
    try:
        return durations.parse(text)
    except InvalidInputError:
        return (
            min(float(text), durations.LONGEST)
            if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", text)
            else UNREADABLE
        )
