"""The runtime: what lasts as long as the process, through every reload. One frozen record that is passed first.

Here: the record alone. A class that needs several of these takes the record and keeps what it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rearguard_controller.adapters.notices.notice import Notices
from rearguard_controller.adapters.telemetry import Telemetry
from rearguard_controller.journal.shards import Shard
from rearguard_controller.journal.store import Journal, Lead

__all__ = ["Clock", "Lead", "Runtime", "Shard"]

Clock = Callable[[], float]  # seconds


@dataclass(frozen=True, slots=True)
class Runtime:
    """What lasts as long as the process.

    Attributes:
        clock: the present time in seconds since the epoch. It may jump.
        steady: a clock in seconds that never jumps. Only its differences mean something.
        journal: what any replica may read and write.
        lead: what only the leader may write; each write fails while another replica leads.
        shards: what one replica each leads; one of them for all targets, unless the configuration says otherwise.
        telemetry: the controller's own metrics.
        notices: tells people of what happened.
        new_id: makes an id that begins with the given letter.
    """

    clock: Clock
    steady: Clock
    journal: Journal
    lead: Lead
    telemetry: Telemetry
    notices: Notices
    new_id: Callable[[str], str]
    shards: tuple[Shard, ...] = ()
