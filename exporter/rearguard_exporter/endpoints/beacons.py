"""The answers to browsers: the script that measures, and what becomes of the beacons that it sends.

Here: status and headers. Never here: how a body is read, which is each framework's own way.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from rearguard_exporter.browser.beacon import MOST_BYTES, BeaconError, parse
from rearguard_exporter.browser.measurements import Measurements
from rearguard_exporter.browser.script import make
from rearguard_exporter.browser.senders import Origins, RateLimit, Sender
from rearguard_exporter.browser.vitals import Vitals
from rearguard_exporter.exposition.accept import asked
from rearguard_exporter.fault_barrier import report
from rearguard_exporter.values.instruments import Instruments

BODY_SECONDS: Final = 10.0
"""Seconds that a beacon may take to arrive, where the server leaves reading to us."""

_TYPES = ("text/plain", "application/json")  # the first is sendBeacon's own for a text
_RESULTS = ("taken", "malformed", "too_large", "wrong_type", "foreign_origin", "too_many")


class Reply(NamedTuple):
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class BeaconEndpoint:
    """Serves `vitals.js`, and takes what it sends."""

    def __init__(self, vitals: Vitals, instruments: Instruments) -> None:
        self._script = make(vitals.sample)
        self._origins = Origins(vitals.origins)
        self._rate = RateLimit(vitals.rate)
        self._measurements = Measurements(vitals, instruments)
        self._taken = {
            origin: Reply(HTTPStatus.NO_CONTENT.value, {"Vary": "Origin", **self._allowing(origin)})
            for origin in vitals.origins
        }
        self._results = {result: instruments.beacons.child(result) for result in _RESULTS}

    def script(self, sender: Sender, accept_encoding: str) -> Reply:
        """The script; compressed where that is accepted."""
        is_gzip = asked("", accept_encoding).is_gzip
        headers = self._allowing(sender.origin) | {
            "Content-Type": "text/javascript; charset=utf-8",
            "Cache-Control": "public, max-age=3600",
            "X-Content-Type-Options": "nosniff",
            "Vary": "Accept-Encoding, Origin",
        }
        if is_gzip:
            headers["Content-Encoding"] = "gzip"
        return Reply(HTTPStatus.OK, headers, self._script.compressed if is_gzip else self._script.plain)

    def preflight(self, sender: Sender) -> Reply:
        """Whether a page of another origin may send JSON. The script needs no such leave: it sends plain text."""
        allowing = self._allowing(sender.origin)
        if allowing:
            allowing |= {
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": "Content-Type",
                "Access-Control-Max-Age": "86400",
            }
        return Reply(HTTPStatus.NO_CONTENT, {"Vary": "Origin", **allowing})

    def refused(self, sender: Sender) -> Reply | None:
        """Why a beacon is not even read; None if its body is to be read, and passed to `take`."""
        if not self._rate.allows():
            return self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "too_many", "too many beacons")
        if not self._origins.may_send(sender):
            return self._refuse(
                HTTPStatus.FORBIDDEN, "foreign_origin", "this origin is not one of those that may send"
            )
        if not sender.content_type.lower().startswith(_TYPES):
            return self._refuse(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wrong_type", "send text/plain or application/json"
            )
        if len(sender.content_length) > 4 or not _fits(sender.content_length):  # noqa: PLR2004 - of digits
            return self.too_large()
        return None

    def too_large(self) -> Reply:
        """The answer to a body of more than `MOST_BYTES`."""
        return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"at most {MOST_BYTES} bytes")

    def take(self, body: bytes, sender: Sender) -> Reply:
        """Count a beacon. It counts as a whole, or not at all."""
        try:
            beacon = parse(body)
        except BeaconError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, "malformed", str(error))
        try:
            self._measurements.take(beacon)
            self._results["taken"].inc()
        except Exception:  # noqa: BLE001 - a browser is told nothing of our faults
            report("beacon")
        return self._taken.get(sender.origin, _TAKEN)

    def _allowing(self, origin: str) -> dict[str, str]:
        listed = self._origins.listed(origin)
        if listed is None:
            return {}
        return {"Access-Control-Allow-Origin": listed, "Access-Control-Allow-Credentials": "true"}

    def _refuse(self, status: HTTPStatus, result: str, text: str) -> Reply:
        self._results[result].inc()
        return Reply(status, _PLAIN, f"{text}\n".encode())


_PLAIN = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_TAKEN = Reply(HTTPStatus.NO_CONTENT.value, {})


def _fits(content_length: str) -> bool:
    return not content_length or (content_length.isdecimal() and int(content_length) <= MOST_BYTES)
