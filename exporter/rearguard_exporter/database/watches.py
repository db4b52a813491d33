"""All databases that one monitor watches, and what the last checks say together."""

from collections.abc import Iterator

from rearguard_exporter.database.watch import Watch


class Watches:
    """The watched databases, in the order in which they were declared."""

    def __init__(self) -> None:
        self._all: list[Watch] = []

    def __iter__(self) -> Iterator[Watch]:
        """Every watch."""
        return iter(self._all)

    def add(self, watch: Watch) -> None:
        """Include this watch from now on."""
        self._all.append(watch)

    def answers(self) -> dict[str, bool | None]:
        """For each database whether the last check succeeded; None before the first check."""
        return {watch.name: watch.last.ok if watch.last else None for watch in self._all}

    def readiness(self) -> dict[str, str]:
        """For each database that matters for readiness: `ok`, or why it is not ready."""
        states = {}
        for watch in self._all:
            if watch.readiness:
                last = watch.last
                states[watch.name] = "not checked yet" if last is None else last.detail or "ok"
        return states

    def waiting(self) -> list[str]:
        """Names of the databases with a coroutine check that was never run."""
        return [watch.name for watch in self._all if watch.is_async and watch.last is None]
