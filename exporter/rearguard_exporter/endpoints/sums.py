"""Histograms added up, and their quantiles, for the figures of the dashboard."""

from collections.abc import Sequence
from itertools import pairwise

from rearguard_exporter.values.slots import Child

Json = dict[str, object]

_P95 = 0.95


class Sum:
    """Several histogram children added up."""

    __slots__ = ("buckets", "count", "errors", "total")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.errors = 0.0
        self.buckets: dict[float, float] = {}

    def add(self, child: Child, *, error: bool) -> None:
        """Add one child."""
        *buckets, total = child.counts()
        upto = 0.0
        for bound, count in zip((*child.slots.family.bounds, float("inf")), buckets, strict=True):
            upto += count
            self.buckets[bound] = self.buckets.get(bound, 0.0) + upto
        self.total += total
        self.count += upto
        self.errors += upto if error else 0.0

    def figures(self) -> Json:
        """Count, mean, 95th percentile and errors. Times are in seconds, and None without observations."""
        return {
            "count": int(self.count),
            "mean_s": round(self.total / self.count, 6) if self.count else None,
            "p95_s": self.quantile(_P95),
            "errors": int(self.errors),
        }

    def quantile(self, rank: float) -> float | None:
        """The quantile of all observations; None without any."""
        return quantile(rank, sorted(self.buckets.items()))


def quantile(rank: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The quantile of cumulative (bound, count) pairs, linear inside a bucket, as Prometheus' histogram_quantile."""
    if not buckets or not buckets[-1][1]:
        return None
    wanted = rank * buckets[-1][1]
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *buckets]):
        if upto >= wanted:
            if high == float("inf"):
                return low
            return round(low + (high - low) * (wanted - below) / (upto - below), 6) if upto > below else high
    return None
