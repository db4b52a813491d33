"""What an alerting rule could say: the labels that its alerts could carry, although none of them holds now.

Here: PromQL that asks for every series that a rule's expression compares, whatever the comparison says; which metrics
an expression reads in the end; the labels that a rule gives to its alerts. All are scans of text that never fail:
what they cannot read they leave as it is, and Prometheus will say what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from rearguard_controller.adapters.prometheus.alert_rules import filled
from rearguard_controller.adapters.prometheus.answers import AlertingRule, RecordingRule, Rules
from rearguard_controller.adapters.prometheus.promql import SET_OPERATORS, TOKEN, WITH_LABELS
from rearguard_controller.model import Labels

PRESENCE = frozenset({"up", "target_info", "ALERTS", "ALERTS_FOR_STATE", "process_start_time_seconds"})
_SCRAPE = "scrape_"  # with what Prometheus says of its own scrapes begins so
# True only right after a release; the series by which it is found are there at any time.
_ONLY_AFTER_RELEASE = {"version:service:young": "version:service:first_seen"}
_NEVER = "rearguard_no_such_series"
# Labels that say how something went, not whose it is: without a failure so far, no series has the value of one.
_OUTCOMES = (
    "code|status|status_code|status_class|http_status|http_status_code|http_response_status_code|grpc_code|grpc_status"
    "|rpc_grpc_status_code|outcome|result|success"
)
_ERRORS = "error|error_type|exception"  # the same; what went well may lack the label
_TEXT = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
_OUTCOME = re.compile(
    rf"(?:^|(?<=[{{,]))\s*(?P<name>{_OUTCOMES}|{_ERRORS})\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>{_TEXT})"
    r"\s*(?P<comma>,?)"
)

_EQUALS = re.compile(rf"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*({_TEXT})")
_NAME_IN_BRACES = re.compile(r"""__name__\s*=\s*["']([A-Za-z_:][A-Za-z0-9_:]*)["']""")
_NO_METRIC = SET_OPERATORS | WITH_LABELS | {"bool", "offset", "inf", "nan", "atan2"}
_AFTER_FUNCTION = frozenset({"(", "by", "without"})  # what follows the name of a function or of an aggregation
_MAX_DEPTH = 50  # recorded names that stand for recorded names

Token = tuple[str, str]  # kind and text


def compared(expression: str, *, whatever_outcome: bool = False, whatever_else: bool = False) -> str:
    """PromQL of the series that an expression compares, with the labels that its alerts would have.

    A comparison that filters is asked with `bool`, so that it gives a value for each pair of series that it can
    compare. What `unless` takes away is not taken away. `absent` is asked of a series that never exists.

    Args:
        expression: a rule's.
        whatever_outcome: also without the values of status codes and the like, of which a healthy service has none.
        whatever_else: also without what `and` demands, such as a release of the last minutes.
    """
    tokens = _without(_all_tokens(expression), {"unless", "and"} if whatever_else else {"unless"})
    written: list[str] = []
    for number, (kind, text) in enumerate(tokens):
        before = next((each for each in reversed(tokens[:number]) if each[0] != "skip"), ("", ""))
        if kind == "name":
            written.append(_ONLY_AFTER_RELEASE.get(text, text))
        elif kind == "compare" and _next(tokens, number + 1)[1].lower() != "bool":
            written.append(f"{text} bool ")
        elif kind == "selector" and whatever_outcome:
            written.append(_any_outcome(text, named=before[0] == "name"))
        else:
            written.append(text)
    return _always_absent("".join(written))


def raw_metrics(expression: str, rules: Rules) -> frozenset[str]:
    """The metrics that an expression reads in the end, recorded names followed to what they are recorded from."""
    return frozenset(name for name, _ in _raw(expression, _recorded(rules), set(), 0))


def raw_series(expression: str, rules: Rules) -> tuple[str, ...]:
    """PromQL of the series that an expression reads in the end, each with its own matchers, without `PRESENCE`."""
    found = _raw(expression, _recorded(rules), set(), 0)
    return tuple(f"{name}{matchers}" for name, matchers in sorted(found) if name not in PRESENCE)


def tells_presence_only(expression: str, rules: Rules) -> bool:
    """Whether an expression reads nothing but that something is there: it says nothing of how well it does."""
    return all(name in PRESENCE or name.startswith(_SCRAPE) for name in raw_metrics(expression, rules))


def alert_labels(rule: AlertingRule, sample: Labels) -> tuple[Labels, frozenset[str]]:
    """The labels of the rule's alert for a sample of its expression, and the names of those that cannot be foreseen.

    A label of the rule that copies another (`{{ $labels.app }}`) is foreseen, any other template is not.
    """
    found = {name: value for name, value in sample.items() if name != "__name__"}
    unforeseen = set()
    for name, template in rule.labels.items():
        value = filled(template, sample)
        if "{{" in value:
            unforeseen.add(name)
        found[name] = value
    return {**found, "alertname": rule.name}, frozenset(unforeseen)


def _all_tokens(expression: str) -> list[Token]:
    """All of the text, in pieces; a comparison is one piece."""
    found: list[Token] = []
    for match in TOKEN.finditer(expression):
        kind, text = match.lastgroup or "sign", match[0]
        if kind == "sign" and text == "=" and found and found[-1][1] in (">", "<", "=", "!"):
            found[-1] = ("compare", found[-1][1] + "=")
        else:
            found.append(("compare" if text in (">", "<") else kind, text))
    return found


def _without(tokens: Sequence[Token], words: Collection[str]) -> list[Token]:
    """The tokens without these set operators and the operands right of them."""
    kept: list[Token] = []
    depth, dropped_at = 0, -1
    for kind, text in tokens:
        is_operator = kind == "name" and text.lower() in SET_OPERATORS
        ends = depth == dropped_at and (is_operator or text in (")", ","))
        dropped_at = -1 if ends else dropped_at
        depth += (text == "(") - (text == ")")
        if dropped_at < 0 and is_operator and text.lower() in words:
            dropped_at = depth
        if dropped_at < 0:
            kept.append((kind, text))
    return kept


def _next(tokens: Sequence[Token], at: int) -> Token:
    return next((each for each in tokens[at:] if each[0] != "skip"), ("", ""))


def _any_outcome(selector: str, *, named: bool) -> str:
    inside = _OUTCOME.sub(_any_value, selector[1:-1]) if selector.endswith("}") else selector[1:]
    return "{" + inside.strip().rstrip(",") + "}" if named or inside.strip() else selector


def _any_value(matcher: re.Match[str]) -> str:
    """A matcher of an outcome that takes any: a series without the label has none, and can never have a failure."""
    is_needed = matcher["operator"] in ("=", "=~") and len(matcher["value"]) > len('""')
    is_needed &= matcher["name"] not in _ERRORS.split("|")
    return f'{matcher["name"]}!=""{matcher["comma"]}' if is_needed else ""


def _always_absent(expression: str) -> str:
    """The text, with every `absent` asked of a series that never exists, with the labels that it would have."""
    found = list(TOKEN.finditer(expression))
    written, at, copied = [], 0, 0
    while at < len(found):
        is_absent = found[at].lastgroup == "name" and found[at][0] in ("absent", "absent_over_time")
        opening = next((i for i in range(at + 1, len(found)) if found[i].lastgroup != "skip"), len(found))
        closing = _closing(found, opening) if is_absent else None
        if closing is not None:
            inside = [match for match in found[opening + 1 : closing] if match.lastgroup == "selector"]
            pairs = [f"{name}={value}" for name, value in _EQUALS.findall(inside[0][0])] if len(inside) == 1 else []
            matchers = ",".join(pair for pair in pairs if not pair.startswith("__name__"))
            written += [expression[copied : found[at].start()], f"absent({_NEVER}{{{matchers}}})"]
            at, copied = closing, found[closing].end()
        at += 1
    return "".join(written) + expression[copied:]


def _closing(found: Sequence[re.Match[str]], opening: int) -> int | None:
    """The index of the parenthesis that closes the one at `opening`; None if there is none."""
    depth = 0
    for at in range(opening, len(found)):
        depth += (found[at][0] == "(") - (found[at][0] == ")")
        if depth <= 0:
            return at if at > opening else None
    return None


def _recorded(rules: Rules) -> dict[str, list[RecordingRule]]:
    recorded: dict[str, list[RecordingRule]] = {}
    for rule in rules.recording:
        recorded.setdefault(rule.name, []).append(rule)
    return recorded


def _raw(
    expression: str, recorded: Mapping[str, Iterable[RecordingRule]], seen: set[str], depth: int
) -> set[tuple[str, str]]:
    """Raw metrics, each with its matchers in braces, or "".

    What rules record of native histograms has the names of the classic ones, which others show still.
    """
    tokens = [each for each in _all_tokens(expression) if each[0] != "skip"]
    found: set[tuple[str, str]] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        after, following = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
        if kind == "name" and text.lower() in WITH_LABELS and following == "(":
            at += next((i for i, each in enumerate(tokens[at:]) if each[1] == ")"), len(tokens))
        elif kind == "name" and text.lower() not in _NO_METRIC and following.lower() not in _AFTER_FUNCTION:
            found.add((text, following if after == "selector" else ""))
        elif kind == "selector":
            found.update((name, "") for name in _NAME_IN_BRACES.findall(text))
        at += 1
    raw: set[tuple[str, str]] = set()
    for name, matchers in found:
        natively = any(rule.labels.get("histogram") == "native" for rule in recorded.get(name, ()))
        if name not in recorded or depth > _MAX_DEPTH or natively:
            raw.add((name, matchers))
        if name in recorded and depth <= _MAX_DEPTH and name not in seen:
            seen.add(name)
            for rule in recorded[name]:
                raw |= _raw(rule.query, recorded, seen, depth + 1)
    return raw
