"""What a cluster is asked to do with a workload, and how it went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """Which version is to take which one's place, and for whom: for annotations, events and sentences."""

    target: str
    from_version: str
    to_version: str
    rollback: str = ""


@dataclass(frozen=True, slots=True)
class Pods:
    """What is known of the pods of a version.

    Attributes:
        unready: one clause if none of them is ready, so that the version does not serve; else empty.
        ready_for: seconds since the first of them became ready; None where that was not seen.
        runs: images named by a tag, with the digests as they run, each once and in order; empty where not known.
    """

    unready: str = ""
    ready_for: float | None = None
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """How it went.

    Attributes:
        detail: one sentence.
        output: what happened meanwhile, one line each.
        timed_out: the limit was over.
        superseded: somebody else changed the workload; nothing was done.
        unknown: the API server gave no verdict; nothing was done, and asking again may help.
    """

    ok: bool
    detail: str
    output: str = ""
    timed_out: bool = False
    superseded: bool = False
    unknown: bool = False
