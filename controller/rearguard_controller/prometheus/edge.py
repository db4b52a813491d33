"""Asking Prometheus: the questions of its HTTP API (v1) that are asked here.

Here: paths and fields of the questions, and what an operator is told of a refusal.
Never here: the network (`asking`), the shape of answers (`answers`), retries, caches.
"""

from __future__ import annotations

import orjson

from rearguard_controller.asking import AnswerTooLargeError, Asking, NextAddressError, Source
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Sample
from rearguard_controller.prometheus import answers
from rearguard_controller.prometheus.answers import PrometheusAlert, Rules, Series
from rearguard_controller.shapes import address

TIMEOUT = 5.0  # seconds for one address
_OUR_FAULT = (400, 422)  # the expression or parameters are bad: no other address would help
_TOO_MUCH = ("too many samples", "exceeded maximum resolution")  # of a query that would be answered in parts
_GOOD = 200
_SHOWN = 300  # characters of an error text that a sentence repeats
_HINTS = {
    401: "Set prometheus.token_file to a token that may read.",
    403: "Set prometheus.token_file to a token that may read.",
    404: "prometheus.url must be the base address, without /api/v1.",
    503: "Prometheus is starting or stopping; it will be asked again.",
}
_AWAY = "Is Prometheus running, and prometheus.url right?"


class Prometheus:
    """The Prometheus of the configuration. Close it when done. Every method raises `SourceError` only."""

    def __init__(self, settings: PrometheusSettings, *, timeout: float = TIMEOUT) -> None:
        """Ask as these settings say; `timeout` is for one question to one address, in seconds."""
        self._timeout = timeout
        self._asking = Asking(
            Source(
                name="Prometheus",
                key="prometheus",
                urls=settings.urls,
                token_file=settings.token_file,
                ca_file=settings.ca_file,
                timeout=timeout,
                content=_content,
                away=_AWAY,
                wanted="Is it Prometheus 2.42 or later, and the expression one value per series?",
            )
        )

    async def alerts(self) -> tuple[PrometheusAlert, ...]:
        """What is pending or firing now."""
        return await self._asking.ask("GET", "/api/v1/alerts", {}, answers.alerts)

    async def rules(self) -> Rules:
        """All rules that are loaded."""
        return await self._asking.ask("GET", "/api/v1/rules", {}, answers.rules)

    async def scrape_intervals(self) -> dict[tuple[str, str], float]:
        """Seconds between two scrapes of each active target, by (job, instance)."""
        return await self._asking.ask("GET", "/api/v1/targets?state=active", {}, answers.scrape_intervals)

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """A vector or scalar at a moment (seconds since the epoch), or now. NaN is left out, Inf is kept."""
        fields = {"query": expression, "timeout": f"{self._timeout:g}s"}
        if time is not None:
            fields["time"] = f"{time:.3f}"
        return await self._asking.ask("POST", "/api/v1/query", fields, answers.samples)

    async def query_range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """A figure from `start` to `end` (seconds since the epoch) every `step` seconds."""
        fields = {
            "query": expression,
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "step": f"{step:g}",
            "timeout": f"{self._timeout:g}s",
        }
        return await self._asking.ask("POST", "/api/v1/query_range", fields, answers.series)

    async def stored(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """The very samples that Prometheus stored of series from `start` to `end` (seconds since the epoch).

        Raises:
            AnswerTooLargeError: ask for a shorter time.
        """
        fields = {"query": f"{selector}[{round((end - start) * 1000)}ms]", "time": f"{end:.3f}"}
        fields["timeout"] = f"{self._timeout:g}s"
        return await self._asking.ask("POST", "/api/v1/query", fields, answers.series)

    async def close(self) -> None:
        """Close open connections."""
        await self._asking.close()

    async def retire(self) -> None:
        """Keep no connection when no answer is waited for; whoever still holds this one may go on asking."""
        await self._asking.retire()


def _content(url: str, status: int, body: bytes) -> object:
    """The answer's data, or the fitting complaint with Prometheus' own words."""
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    fields = document if isinstance(document, dict) else {}
    if status == _GOOD and fields.get("status") == "success":
        return fields.get("data")
    words = fields.get("error")
    said = f": {words[:_SHOWN]}" if isinstance(words, str) and words else ""
    if status in _OUR_FAULT and isinstance(words, str) and any(part in words for part in _TOO_MUCH):
        raise AnswerTooLargeError(f"Prometheus refused the request ({status}){said}", hint="Ask for a shorter time.")
    if status in _OUR_FAULT:
        raise SourceError(
            f"Prometheus refused the request ({status}){said}",
            hint="Correct the expression, e.g. in the rule's annotation.",
        )
    if status == _GOOD:
        problem = "answered with an error" if fields else "did not answer in JSON"
        raise NextAddressError(
            f"Prometheus at {address(url)} {problem}{said}", "Is prometheus.url really a Prometheus?"
        )
    raise NextAddressError(f"Prometheus at {address(url)} answered {status}{said}", _HINTS.get(status, _AWAY))
