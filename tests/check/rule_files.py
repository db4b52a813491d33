"""The shipped rules as data: what they record, what they alert on, and which series and labels an expression reads.

Here: reading rules/*.yml and walking PromQL. Never here: what is right (test_rules.py says that).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import promql_parser as promql
import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
FILES = sorted(RULES.glob("*.yml"))
OPTIONAL = sorted((RULES / "optional").glob("*.yml"))
TESTS = sorted((RULES / "tests").glob("*.test.yml"))

OPENTELEMETRY = {
    "container_memory_usage_bytes": {"id"},
    "container_memory_available_bytes": {"id"},
    "process_memory_utilization_ratio": set[str](),
    "process_cpu_time_seconds_total": set[str](),
    "cpython_gc_collections_total": set[str](),
    "http_client_request_duration_seconds_count": {"server_address", "http_response_status_code", "error_type"},
}
"""What rules and dashboard read of services that OpenTelemetry instruments, and the labels that they name.

By `id` they leave out cAdvisor's metric of the same name.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `name` is the alert's or the recorded series'."""

    file: str
    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]
    wait: str
    alerting: bool


@dataclass(frozen=True, slots=True)
class Read:
    """One selector: the series it reads, labels it names, seconds it looks back (range and offset)."""

    series: str
    labels: frozenset[str]
    seconds: float


def rules() -> list[Rule]:
    """Every rule of every file, in order."""
    return [
        Rule(
            file=path.name,
            name=rule.get("alert") or rule["record"],
            expr=str(rule["expr"]),
            labels=rule.get("labels", {}),
            annotations=rule.get("annotations", {}),
            wait=rule.get("for", "0s"),
            alerting="alert" in rule,
        )
        for path in FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def nodes(expression: str) -> Iterator[object]:
    """Every node of a PromQL expression, parents first; raises ValueError when it does not parse."""
    waiting: list[object] = [promql.parse(expression)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(_children(node))


def _children(node: object) -> list[object]:
    match node:
        case promql.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql.AggregateExpr():
            return [node.expr, *([node.param] if node.param is not None else [])]
        case promql.Call():
            return list(node.args)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [node.expr]
        case promql.MatrixSelector():
            return [node.vector_selector]
        case _:
            return []


@cache
def reads(expression: str) -> list[Read]:
    """The selectors of an expression."""
    found = []
    over = 0.0  # of the range whose selector comes next
    for node in nodes(expression):
        if isinstance(node, promql.MatrixSelector):
            over = node.range.total_seconds()
        if isinstance(node, promql.VectorSelector):
            labels = frozenset(matcher.name for matcher in node.matchers.matchers)
            since = node.offset.total_seconds() if node.offset is not None else 0.0
            found.append(Read(node.name or "", labels, over + since))
            over = 0.0
    return found


def grouping(expression: str) -> set[str]:
    """The labels named by `by`, `without`, `on`, `ignoring` and `group_left` in an expression."""
    named: set[str] = set()
    for node in nodes(expression):
        modifier = getattr(node, "modifier", None)
        if isinstance(node, promql.AggregateExpr) and modifier is not None:
            named |= set(modifier.labels)
        if isinstance(node, promql.BinaryExpr) and modifier is not None:
            named |= set(modifier.matching.labels if modifier.matching is not None else [])
            named |= set(modifier.group_labels or [])
    return named


def made(expression: str) -> set[str]:
    """The labels that `label_replace` adds in an expression."""
    calls = [node for node in nodes(expression) if isinstance(node, promql.Call)]
    return {str(call.args[1].val) for call in calls if call.func.name == "label_replace"}


def alert_tests() -> dict[str, dict[str, int]]:
    """For each alert name: in how many checks it is expected (`fires`), and in how many not to be (`silent`)."""
    counted: dict[str, dict[str, int]] = {}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for check in test.get("alert_rule_test", []):
                count = counted.setdefault(check["alertname"], {"fires": 0, "silent": 0})
                count["fires" if check["exp_alerts"] else "silent"] += 1
    return counted
