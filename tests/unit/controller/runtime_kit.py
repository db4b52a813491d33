"""What lasts as long as a process, for a test: real parts, each open to be overridden.

Here: the record alone. Tests without a fence pass one journal for both what any replica and what the leader writes.
"""

import itertools
import time

from rearguard_controller.adapters.notices.delivery import Notify
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.runtime import Runtime


def runtime(journal, **fields):
    """A record with this journal; nobody is told of anything, and ids are counted."""
    numbers = itertools.count()
    base = {
        "clock": time.time,
        "steady": time.monotonic,
        "journal": journal,
        "lead": journal,
        "telemetry": Telemetry([]),
        "notices": Notify(lambda _service, _result: None),
        "new_id": lambda letter: f"{letter}{next(numbers)}",
    }
    return Runtime(**{**base, **fields})
