"""What the log warned of lately, target by target: status, page and API say it in the log's own words.

Here: memory of warnings and errors that name a target. What a check of the target tells for as long as it lasts is
left to the check, which has the same words.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rearguard_controller.wording import clock_time, one_line, plain

TOLD_FOR = 3600.0  # seconds since the line for which it is told
MOST_OF_ONE = 4  # that are told of one target, the newest
MOST_TARGETS = 5000  # of which something is kept
MOST_WORDS = 600  # letters of one sentence
LEVELS = ("warning", "error", "critical", "exception")
BY_A_CHECK = ("target_not_ready", "target_unreadable")  # the checks say it until it is mended
_ABOUT = ("target", "targets", "workload")  # fields that name whom a line is about
_WORDS = ("error", "problem", "why", "detail", "hint")  # fields that hold sentences, in this order
_OF_EVERY_LINE = ("event", "level", "logger", "timestamp", "exc_info", *_ABOUT, *_WORDS)


@dataclass(slots=True)
class Logged:
    """Remembers; `clock` gives seconds since the epoch. Lines may come from any thread."""

    clock: Callable[[], float]
    _kept: OrderedDict[str, OrderedDict[str, float]] = field(default_factory=OrderedDict, init=False)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, init=False)

    def note(self, level: str, line: Mapping[str, object]) -> None:
        """A line was logged; `level` is its level, and `line` its fields with the event's name."""
        if level not in LEVELS or line.get("event") in BY_A_CHECK:
            return
        names = list(_names(line))
        if not names:
            return
        said, now = words_of(line), self.clock()
        with self._one_at_a_time:
            for name in names:
                known = self._kept.setdefault(name, OrderedDict())
                known[said] = now
                known.move_to_end(said)
                while len(known) > MOST_OF_ONE:
                    known.popitem(last=False)
                self._kept.move_to_end(name)
            while len(self._kept) > MOST_TARGETS:
                self._kept.popitem(last=False)

    def of(self, *names: str) -> list[str]:
        """What was said of a target that is known by these names, the newest first, each with its time."""
        oldest = self.clock() - TOLD_FOR
        with self._one_at_a_time:
            found = [(at, said) for name in names for said, at in self._kept.get(name, {}).items() if at >= oldest]
        found.sort(key=lambda each: each[0])  # of one moment: in the order in which they came
        return [f"Logged at {clock_time(at)} as {said}" for at, said in reversed(found[-MOST_OF_ONE:])]


def words_of(line: Mapping[str, object]) -> str:
    """The event's name and what the line says, in its own words."""
    sentences = [str(line[name]).strip() for name in _WORDS if line.get(name)]
    fault = line.get("exc_info")
    if isinstance(fault, BaseException):
        sentences.append(f"{type(fault).__name__}: {fault}".removesuffix(": "))
    facts = [f"{name}={value}" for name, value in line.items() if name not in _OF_EVERY_LINE and value is not None]
    words = f": {' '.join(sentences)}" if sentences else ""
    more = f" ({', '.join(facts)})" if facts else ""
    text = plain(one_line(f"{line.get('event')}{words}{more}"))
    return text if len(text) <= MOST_WORDS else f"{text[: MOST_WORDS - 3]}..."


def _names(line: Mapping[str, object]) -> Iterator[str]:
    for each in _ABOUT:
        value = line.get(each)
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (str(name) for name in value)
