"""Where every driver's adapter reports its operations."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rearguard_exporter.database.operation_labels import error_type, operation_name
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.instruments import Instruments


@dataclass(frozen=True, slots=True)
class Operations:
    """Counts the operations on one database. Raises nothing into the application."""

    instruments: Instruments
    system: str  # OpenTelemetry's `db.system.name`
    namespace: str
    library: str  # the driver, or SQLAlchemy, by the name of its module
    text: Callable[[object], str] = str  # gives the beginning of a statement that is no text itself

    def since(self, began: float, statement: object, failure: BaseException | None) -> None:
        """An operation that began at `began` (of `time.perf_counter`) is over now."""
        try:
            seconds = time.perf_counter() - began
            shown = statement if isinstance(statement, str) else self.text(statement)
            name = operation_name(shown)
            kind = "" if failure is None else error_type(failure)
            key = (self.system, self.namespace, name, kind)
            self.instruments.db_duration.observe(key, seconds)
            if self.instruments.exemplars.on:
                self.instruments.exemplars.note(self.instruments.db_duration, key, seconds)
            told = self.instruments.on_operation
            if told is not None:
                told(self.library, self.system, self.namespace, shown, seconds, failure)
        except Exception:  # noqa: BLE001 - the wall between the exporter and the application
            report("database operation")

    def lasted(self, seconds: float, statement: object, failure: BaseException | None) -> None:
        """An operation took `seconds`, and is over now."""
        self.since(time.perf_counter() - seconds, statement, failure)
