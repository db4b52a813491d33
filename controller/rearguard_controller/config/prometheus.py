"""Prometheus: how each that is asked is reached, and which of several a target is judged by.

Here: the settings, reading them, and what can only be checked once the targets are read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rearguard_controller.config import hooks
from rearguard_controller.config.discover import Discover
from rearguard_controller.config.http_config import HttpConfig, base_addresses, block_of, http_config
from rearguard_controller.config.keys.discover import DISCOVER, DISCOVER_KUBERNETES
from rearguard_controller.config.keys.service import OTHER_PROMETHEUS, PROMETHEUS
from rearguard_controller.config.keys.targets import TARGET
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.config.reading import SECOND, Block, Place, meant
from rearguard_controller.model import Target

_PLAIN_HTTP = HttpConfig()


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """How Prometheus is reached.

    Attributes:
        urls: base addresses of one or of its replicas, without a slash at the end.
        poll_interval: seconds between two readings of its alerts.
        name: of one of `others`; empty: the first one.
        others: further ones, each with targets of its own.
    """

    urls: tuple[str, ...]
    poll_interval: float = 15.0
    http: HttpConfig = _PLAIN_HTTP
    name: str = ""
    others: tuple[PrometheusSettings, ...] = ()

    @property
    def each(self) -> tuple[PrometheusSettings, ...]:
        """All of them, the first one before the others."""
        return (replace(self, others=()), *self.others)

    @property
    def key(self) -> str:
        """Where it stands in the configuration."""
        return f"prometheus.others.{self.name}" if self.name else "prometheus"

    @property
    def called(self) -> str:
        """What people are told that it is."""
        return f"Prometheus {self.name}" if self.name else "Prometheus"


def prometheus(place: Place, folder: Path) -> PrometheusSettings:
    """What `prometheus` says; paths start from `folder`."""
    block = block_of(place, PROMETHEUS)
    interval, others = block.duration("poll_interval", 15.0, least=SECOND), block.get("others")
    first = PrometheusSettings(base_addresses(block.need("url")), interval, http_config(block, folder))
    if others is None:
        return first
    known, found, mistakes = dict.fromkeys(first.urls, first.key), list[PrometheusSettings](), Mistakes()
    for name, entry in others.entries("a mapping of name to Prometheus").items():
        one = mistakes.of(partial(_other, name, entry, folder, interval, known), None)
        found += [] if one is None else [one]
    mistakes.tell()
    return replace(first, others=tuple(found))


def _other(name: str, place: Place, folder: Path, interval: float, known: dict[str, str]) -> PrometheusSettings:
    """One of the others; its addresses are put among those that are `known`."""
    if not hooks.NAME.fullmatch(name):
        raise place.error("this is no name", "use letters, digits, `.` `_` `-`, at most 100")
    block = block_of(place, OTHER_PROMETHEUS)
    one = PrometheusSettings(base_addresses(block.need("url")), interval, http_config(block, folder), name)
    for url in one.urls:
        if url in known:
            raise block.need("url").error(
                f"{url} stands in {known[url]}, too",
                "name each Prometheus once; replicas that scrape the same targets are a list in one url",
            )
    known.update(dict.fromkeys(one.urls, one.key))
    return one


def refuse_wrong_names(
    top: Block,
    settings: PrometheusSettings,
    targets: Sequence[Target],
    workloads: Sequence[Discover],
    *,
    finds_services: bool,
) -> None:
    """Refuse names of a Prometheus that there is not, and one that no target names.

    Args:
        top: the whole file.
        settings: what `prometheus` says.
        targets: those that are listed.
        workloads: where further ones are found.
        finds_services: whether further ones are found in every Prometheus.

    Raises:
        ConfigError: the message names file, line and key. What else is wrong stands in its `others`.
    """
    known, mistakes = {each.name for each in settings.others}, Mistakes()
    listed, found = top.get("targets"), top.get("discover")
    places = [] if listed is None else [item.block(TARGET).get("prometheus") for item in listed.items("a list")]
    for entry in [] if found is None else found.items("a list"):
        workload = entry.block(DISCOVER).get("kubernetes")
        places += [] if workload is None else [workload.block(DISCOVER_KUBERNETES).get("prometheus")]
    for place in places:
        if place is not None:
            mistakes.of(partial(_refuse_unknown, place, known), None)
    mistakes.tell()
    unused = known - {each.prometheus for each in targets} - {each.prometheus for each in workloads}
    if unused and not finds_services:
        name = min(unused)
        place = block_of(top.need("prometheus"), PROMETHEUS).need("others").entries("a mapping")[name]
        raise place.error("no target is judged by it", f"add `prometheus: {name}` to its targets, or remove it")


def _refuse_unknown(place: Place, known: Collection[str]) -> None:
    name = place.line("name of a Prometheus")
    if name not in known:
        raise place.error(
            f"there is no Prometheus {name!r} in prometheus.others",
            meant(name, sorted(known)) if known else f"add `others: {{{name}: {{url: ...}}}}` to `prometheus`",
        )
