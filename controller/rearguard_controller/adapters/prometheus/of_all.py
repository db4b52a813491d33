"""Every Prometheus that is asked, and which of them each target is judged by.

Here: connecting them, and following a reload. Nobody gets an answer of one that is not the target's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rearguard_controller.adapters.prometheus.client import Prometheus
from rearguard_controller.adapters.prometheus.replicas import connect
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.model import Target

PrometheusOf = Callable[[str], Prometheus]  # by the name of a target


class PrometheusOfAll:
    """Holds a connection to each; close it when done."""

    def __init__(self, settings: PrometheusSettings, clock: Callable[[], float] | None = None) -> None:
        """Nothing is connected yet, and no target is known; `clock` is ours, see `Prometheus`."""
        self._clock = clock
        self._settings: dict[str, PrometheusSettings] = {}
        self._each: dict[str, Prometheus] = {}
        self._of: dict[str, Prometheus] = {}  # by target; one that is none any more keeps its own, for its rollback
        self.use(settings)

    @property
    def each(self) -> Mapping[str, Prometheus]:
        """By its name in the configuration; that of `prometheus.url` has none."""
        return self._each

    def use(self, settings: PrometheusSettings) -> tuple[Prometheus, ...]:
        """Ask these from now on; returns those that are not asked any more, for whoever called to retire."""
        wanted = {each.name: each for each in settings.each}
        before, self._each = (
            self._each,
            {
                name: self._each[name] if self._settings.get(name) == each else connect(each, self._clock)
                for name, each in wanted.items()
            },
        )
        self._settings = wanted
        anew = {id(one): self._each[name] for name, one in before.items() if name in self._each}
        self._of = {target: anew.get(id(one), one) for target, one in self._of.items()}
        return tuple(one for name, one in before.items() if self._each.get(name) is not one)

    def know(self, targets: Iterable[Target]) -> None:
        """These are the targets now."""
        self._of.update({target.name: self._each[target.prometheus] for target in targets})

    def of(self, target: str) -> Prometheus:
        """The one that a target is judged by."""
        return self._of.get(target, self._each[""])

    async def close(self) -> None:
        """Close open connections."""
        for one in self._each.values():
            await one.close()
