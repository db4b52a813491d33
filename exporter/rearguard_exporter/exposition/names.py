"""Names of metrics and labels as a scraper can read them.

Prometheus 3 reads any UTF-8 name. Others are given the escaping that they ask for, which makes names of letters,
digits and underscores. Two names may become one then: of these the first is exposed. Our own names need no escaping.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum, unique

from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar, Sample

from rearguard_exporter.fault_barrier import log

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_PART_OF_NAME = {"counter": "_total", "info": "_info"}  # suffixes that the name on the wire always has
# Names that a family takes besides its own (OpenMetrics): `target_info` is what the info family `target` exposes.
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


@unique
class Escaping(StrEnum):
    """The schemes of Prometheus 3, as `Accept` names them."""

    NONE = "allow-utf-8"
    UNDERSCORES = "underscores"
    DOTS = "dots"
    VALUES = "values"


def escaped(name: str, escaping: Escaping, *, is_label: bool = False) -> str:
    """The name as this scheme writes it. Names of the old character set stay as they are, as in Prometheus itself."""
    allowed = _LABEL if is_label else _NAME
    if escaping is Escaping.NONE or allowed.fullmatch(name):
        return name
    # A digit may stand anywhere but in front, so that each character is tried behind a letter, the first alone.
    pieces = [
        _piece(character, escaping, is_allowed=allowed.fullmatch(f"a{character}" if at else character) is not None)
        for at, character in enumerate(name)
    ]
    return ("U__" if escaping is Escaping.VALUES else "") + "".join(pieces)


def _piece(character: str, escaping: Escaping, *, is_allowed: bool) -> str:
    if escaping is Escaping.UNDERSCORES:
        return character if is_allowed else "_"
    if character == "_":
        return "__"
    if is_allowed:
        return character
    if escaping is Escaping.DOTS:
        return "_dot_" if character == "." else "__"
    return "_FFFD_" if "\ud800" <= character <= "\udfff" else f"_{ord(character):x}_"


def renamed(metric: Metric, escaping: Escaping) -> Metric:
    """The family with all its names escaped; itself, if there is nothing to escape.

    Raises:
        ValueError: two labels of a sample get one name, for which Prometheus would refuse the whole scrape.
    """
    names = {metric.name, *(sample.name for sample in metric.samples)}
    labels = {label for sample in metric.samples for label in sample.labels}
    exemplars = {label for sample in metric.samples if sample.exemplar for label in sample.exemplar.labels}
    new_labels = {label: escaped(label, escaping, is_label=True) for label in labels}
    new_names = {name: _sample_name(name, metric, escaping) for name in names}
    is_same = all(old == new for new_ in (new_names, new_labels) for old, new in new_.items())
    if is_same and all(map(_LABEL.fullmatch, exemplars)):
        return metric
    made = copy.copy(metric)
    made.name = new_names[metric.name]
    made.samples = [
        sample._replace(
            name=new_names[sample.name],
            labels=_renamed_labels(metric, sample, new_labels),
            exemplar=_renamed_exemplar(sample.exemplar),
        )
        for sample in metric.samples
    ]
    return made


def _sample_name(name: str, metric: Metric, escaping: Escaping) -> str:
    if not name.startswith(metric.name):
        return escaped(name, escaping)
    own = _PART_OF_NAME.get(metric.type, "")
    base = escaped(metric.name + own, escaping).removesuffix(own)
    return base + name.removeprefix(metric.name)


def _renamed_labels(metric: Metric, sample: Sample, new: Mapping[str, str]) -> dict[str, str]:
    labels = {new[label]: value for label, value in sample.labels.items()}
    if len(labels) < len(sample.labels):
        raise ValueError(f"labels of {metric.name} differ only in characters that are escaped")
    return labels


def _renamed_exemplar(exemplar: Exemplar | None) -> Exemplar | None:
    # No encoder quotes these, so they are escaped for every scraper.
    if exemplar is None:
        return None
    labels = {escaped(label, Escaping.UNDERSCORES, is_label=True): value for label, value in exemplar.labels.items()}
    return exemplar._replace(labels=labels)


class TakenNames:
    """The names on the wire of one exposition, each with the name that it is made of and that one's family."""

    _told: set[str] = set()  # noqa: RUF012 - of all expositions: each clash is logged once

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, str]] = {}

    def takes(self, metric: Metric, escaping: Escaping, samples: Iterable[str] = ()) -> bool:
        """Whether this family has names of its own. They are taken from now on, and those of `samples`, too."""
        suffixes = _SUFFIXES.get(metric.type, ())
        names = {metric.name, *(metric.name + suffix for suffix in suffixes), *samples}
        wanted = {_sample_name(name, metric, escaping): name for name in names}
        for name in sorted(self._taken.keys() & wanted):
            original, family = self._taken[name]
            if wanted[name] != original:  # two of the very same name are no surprise
                self._tell(metric.name, family)
            return False
        self._taken |= {name: (original, metric.name) for name, original in wanted.items()}
        return True

    def _tell(self, name: str, other: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning(
                "rearguard_exporter: %s is left out of expositions in which it would have the name of %s; rename it, "
                "or let the scraper ask for escaping=allow-utf-8, as Prometheus 3 does",
                name, other,
            )  # fmt: skip
