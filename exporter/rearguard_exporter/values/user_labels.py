"""Labels that the user adds: constant ones on every family of a monitor, and those of a hook on each request.

A hook is the application's code, and its input comes from strangers. What it raises is reported, what it returns
becomes text, and each label has a limited number of values; further ones become the overflow value, and are
counted.
"""

import copy
import re
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from rearguard_exporter.families import FAMILIES, OVERFLOW
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.fork_safety import tell_after_fork
from rearguard_exporter.values.label_values import clean

Hook = Callable[[Any], object]
"""Called with aiohttp's request, the ASGI scope or the WSGI environ; returns text, a number or None."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN = frozenset({"le", "quantile"}).union(*(family.labels for family in FAMILIES))


def check_names(names: Iterable[object]) -> None:
    """Check that these can be label names beside those of the exporter.

    Raises:
        ValueError: a name is not valid, is reserved by Prometheus, or belongs to a family already.
    """
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"a label's name has letters, digits and single underscores in front, unlike {name!r}")
        if name in _TAKEN:
            raise ValueError(f"the label {name!r} exists already; choose another name")


def constant(labels: Mapping[str, object], of_requests: Iterable[str] = ()) -> dict[str, str]:
    """Constant labels as they are exposed. `of_requests` are the names of labels that hooks give to requests.

    Raises:
        ValueError: as `check_names`; or a hook gives a label of the same name.
    """
    check_names(labels)
    for name in of_requests:
        if name in labels:
            raise ValueError(f"the label {name!r} cannot be constant and of each request")
    return {name: clean(str(value)) for name, value in labels.items()}


def parse_pairs(text: str) -> dict[str, str]:
    """The labels of `region=eu,zone=a`.

    Raises:
        ValueError: a part has no `=`.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, sign, _ in pairs:
        if not sign:
            raise ValueError(f"labels are given as name=value,name=value; {name.strip()!r} has no value")
    return {name.strip(): value.strip() for name, _, value in pairs}


class Labelled(Collector):
    """A collector whose samples carry constant labels."""

    def __init__(self, inner: Collector, labels: Mapping[str, str]) -> None:
        self._inner = inner
        self._labels = labels

    def describe(self) -> Iterable[Metric]:
        """What the inner collector describes."""
        return self._inner.describe() if hasattr(self._inner, "describe") else self._inner.collect()

    def collect(self) -> Iterator[Metric]:
        """The families of the inner collector, with the constant labels."""
        for metric in self._inner.collect():
            shown = copy.copy(metric)  # some collectors hand out the same object each time
            shown.samples = [sample._replace(labels={**self._labels, **sample.labels}) for sample in metric.samples]
            yield shown


class RequestLabels:
    """The label values that hooks give to each request.

    A label has at most `limit` values. `folded` is called for each request with a further one.
    """

    def __init__(self, hooks: Mapping[str, Hook], limit: int, folded: Callable[[], None]) -> None:
        check_names(hooks)
        self._hooks = tuple(hooks.values())
        self._seen: tuple[set[str], ...] = tuple(set() for _ in hooks)
        self._limit = limit
        self._folded = folded
        self.forget_parent()
        tell_after_fork(self)

    def forget_parent(self) -> None:
        """Replace the lock: the parent may have held it at the fork."""
        self._lock = threading.Lock()

    def of(self, request: object) -> tuple[str, ...]:
        """The values in the order of the hooks; empty if a hook has none or fails, or if no request is known."""
        if request is None:
            return ("",) * len(self._hooks)
        return tuple(self._value(hook, seen, request) for hook, seen in zip(self._hooks, self._seen, strict=True))

    def _value(self, hook: Hook, seen: set[str], request: object) -> str:
        try:
            value = _text(hook(request))
        except (Exception, CancelledError):  # noqa: BLE001 - the wall between the exporter and the application
            report("request label")
            return ""
        if not value or value in seen:
            return value
        with self._lock:
            if len(seen) < self._limit:
                seen.add(value)
                return value
        self._folded()
        return OVERFLOW


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return clean(value[:1000].decode("utf-8", "replace"))
    if isinstance(value, str | int | float):  # an enum of texts is one
        return clean(str(value))
    raise TypeError(f"a request label is text, a number or None, not {type(value).__name__}")
