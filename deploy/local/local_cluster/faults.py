"""Faults that a test switches on: refusals, slow and broken answers, for all requests or for some."""

import asyncio
import re
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from local_cluster.errors import ApiError

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(slots=True)
class Fault:
    """One fault and the requests it meets; those that only watch, or none of them, where `watches` is set."""

    answer: int | None = None  # this HTTP status, as a Status object
    retry_after: int | None = None  # seconds, in the header and in the Status
    message: str = "a test wants it so"
    delay: float = 0.0  # seconds before anything else
    late: float = 0.0  # seconds between doing what was asked and the answer
    half: bool = False  # the right answer, but only its first half
    cut: bool = False  # the connection is closed without an answer
    methods: tuple[str, ...] = ()  # all when empty
    path: str = ""  # a regular expression, found anywhere in the path
    query: str = ""  # another, found anywhere in the query
    watches: bool | None = None
    times: int | None = None  # so many requests, then it is over; None: until it is cleared
    met: int = 0  # requests met so far

    def meets(self, request: web.Request) -> bool:
        """Return true when this request gets the fault."""
        watches = request.query.get("watch", "") in ("1", "true")
        return (
            self.times != 0
            and (not self.methods or request.method in self.methods)
            and (self.watches is None or self.watches == watches)
            and re.search(self.path, request.path) is not None
            and re.search(self.query, request.query_string) is not None
        )


@dataclass(slots=True)
class Faults:
    """The faults that are on."""

    now: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on; returns it, so that a test can read how many requests it met."""
        self.now.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all faults off."""
        self.now.clear()

    async def meet(self, request: web.Request) -> Fault | None:
        """Have the request meet the first fault that wants it; raises `ApiError` where that is an answer."""
        fault = next((one for one in self.now if one.meets(request)), None)
        if fault is None:
            return None
        fault.met += 1
        if fault.times is not None:
            fault.times -= 1
        await asyncio.sleep(fault.delay)
        if fault.answer is not None:
            reason = _REASONS.get(fault.answer, HTTPStatus(fault.answer).phrase)
            raise ApiError(fault.answer, reason, fault.message, retry_after=fault.retry_after)
        return fault
