"""Amounts as Kubernetes writes them, and what one pod of a template asks for. Pure.

Sources: kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity, and
kubernetes.io/docs/concepts/workloads/pods/init-containers ("Resource sharing within containers").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from rearguard_controller.adapters.kubernetes.objects import Document

_WRITTEN = re.compile(r"(?P<number>[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30}))(?P<unit>[A-Za-z]{0,2}|[eE][+-]?\d{1,2})")
_UNITS: Mapping[str, Decimal] = {
    "": Decimal(1),
    **{
        unit: Decimal(10) ** power for unit, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}

Amounts = dict[str, Decimal]


def quantity(written: object) -> Decimal | None:
    """The number that an amount stands for; None if it is none."""
    if isinstance(written, int) and not isinstance(written, bool):
        return Decimal(written)
    found = _WRITTEN.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        return None
    unit = found["unit"]
    factor = _UNITS.get(unit)
    if factor is None:
        factor = Decimal(10) ** int(unit[1:]) if unit[:1] in ("e", "E") and unit[1:] else None
    return None if factor is None else Decimal(found["number"]) * factor


def shown(resource: str, amount: Decimal) -> str:
    """An amount for people: memory in Mi, the rest as it is."""
    if "memory" in resource or "storage" in resource:
        return f"{_plain(amount / _UNITS['Mi'])}Mi"
    return _plain(amount)


def of_pod(template: Document) -> Amounts:
    """What one pod of a template takes of a quota: `pods`, `requests.cpu`, `limits.memory` and so on."""
    spec = _part(template, "spec")
    inits = _dicts(spec.get("initContainers"))
    beside = [each for each in inits if each.get("restartPolicy") == "Always"]  # sidecars go on beside the containers
    found: Amounts = {"pods": Decimal(1)}
    _add(found, (_of_container(each) for each in [*_dicts(spec.get("containers")), *beside]))
    for each in inits:
        for name, amount in _of_container(each).items():
            found[name] = max(found.get(name, Decimal(0)), amount)
    _add(found, [_named("requests", _part(spec, "overhead"))])
    return found


def _of_container(container: Document) -> Amounts:
    resources = _part(container, "resources")
    limits = _part(resources, "limits")
    asked = {**limits, **_part(resources, "requests")}  # what has only a limit asks for as much
    return {**_named("requests", asked), **_named("limits", limits)}


def _named(prefix: str, amounts: Mapping[str, object]) -> Amounts:
    read = ((f"{prefix}.{name}", quantity(written)) for name, written in amounts.items())
    return {name: amount for name, amount in read if amount is not None}


def _add(total: Amounts, more: Iterable[Amounts]) -> None:
    for each in more:
        for name, amount in each.items():
            total[name] = total.get(name, Decimal(0)) + amount


def _plain(number: Decimal) -> str:
    text = f"{number:.3f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _part(document: Document, name: str) -> Document:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _dicts(value: object) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
