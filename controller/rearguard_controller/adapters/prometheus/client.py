"""Asks Prometheus through its HTTP API (v1).

Here: paths and fields of the questions, and what counts as an answer to them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from rearguard_controller.adapters import foreign_json
from rearguard_controller.adapters.foreign_json import Wanted
from rearguard_controller.adapters.http_source import Answer, AnswerTooLargeError, Asking, Kept, Source, quoted
from rearguard_controller.adapters.http_source.clock import Skew, skew
from rearguard_controller.adapters.prometheus import answers, series_of_alerts
from rearguard_controller.adapters.prometheus.alert_entries import AlertEntries
from rearguard_controller.adapters.prometheus.answers import About, PrometheusAlert, Rules, Series
from rearguard_controller.adapters.prometheus.clock import ours_of_alerts, ours_of_samples, ours_of_series
from rearguard_controller.adapters.prometheus.promql import duration, selector_text
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import Labels, Sample
from rearguard_controller.times import moments

AskRange = Callable[[float, float, float], Awaitable[tuple[Series, ...]]]  # by start, end and step

TIMEOUT = 5.0  # seconds for one address
MOST_PARTS = 128  # of a range query that is too much at once
_OUR_FAULT = (400, 422)  # the expression or parameters are bad: no other address would help
_TOO_MUCH = ("too many samples", "exceeded maximum resolution")  # of a query that would be answered in parts

# An answer without what a store that is down would have said is none: it would say that instances are gone. The first
# is Thanos' word for it, the second that of VictoriaMetrics' cluster; others ignore them.
WHOLE = {"partial_response": "false", "deny_partial_response": "1"}


class Prometheus(Asking):
    """The Prometheus of the configuration. Close it when done. Every method raises `SourceError` only."""

    def __init__(
        self, settings: PrometheusSettings, *, timeout: float = TIMEOUT, clock: Callable[[], float] | None = None
    ) -> None:
        """Ask as these settings say.

        Args:
            settings: whom, and how.
            timeout: for one question to one address, in seconds.
            clock: ours, in seconds since the epoch. All times that are given and returned are by this clock, however
                wrong one of the two is. Without it, times are Prometheus' own.
        """
        self._timeout = timeout
        self._clock = clock
        self._skew: Skew | None = None
        self._tells_no_time = False  # it answered last without saying what time it is
        self._wanted: Callable[[], Wanted] | None = None
        self._entries = AlertEntries()
        super().__init__(
            Source(
                name=settings.called,
                key=settings.key,
                kind="a Prometheus",
                api="/api/v1",
                urls=settings.urls,
                http=settings.http,
                timeout=timeout,
                content=partial(_content, settings.called),
                wanted="Is it Prometheus 2.42 or later, and the expression one value per series?",
                advice={503: "Prometheus is starting or stopping; it will be asked again."},
            )
        )

    @property
    def replicas(self) -> Sequence[Prometheus]:
        """Those that are asked, each by itself."""
        return (self,)

    @property
    def away(self) -> Mapping[str, str]:
        """Of several replicas those that did not answer last: why, by address."""
        return {}

    @property
    def skews(self) -> Mapping[str, float]:
        """Seconds that the clock of each replica is ahead of ours, by address; without those that are not known."""
        return {} if self._skew is None else {self.address: self._skew.ahead}

    async def compare_clocks(self) -> None:
        """Ask what time it is there; without an answer the last one counts."""
        if self._clock is None:
            return
        steady = asyncio.get_running_loop().time
        asked_at, began = self._clock(), steady()
        with contextlib.suppress(SourceError, moments.OutOfRangeError):  # such a clock tells nothing
            found = await self.ask("POST", "/api/v1/query", {"query": "time()"}, answers.samples)
            self._tells_no_time = True
            for said in found:
                if not said.labels:  # else it is no scalar, and nobody's time
                    self._skew = skew(moments.bounded(said.value), asked_at, steady() - began)
                    self._tells_no_time = False

    async def _shift(self) -> float:
        """Seconds to add to our times to get theirs. One that tells no time is not asked before each question."""
        if self._skew is None and not self._tells_no_time:
            await self.compare_clocks()
        return 0.0 if self._skew is None else self._skew.shift

    def look_for(self, wanted: Callable[[], Wanted]) -> None:
        """From now on keep only wanted alerts, however many there are.

        Args:
            wanted: makes the question for one reading: whether an alert with these labels and this state is kept.
        """
        self._wanted = wanted

    async def alerts(self) -> tuple[PrometheusAlert, ...]:
        """The wanted alerts that are pending or firing now."""
        shift = await self._shift()
        listing = self._entries.listing(self._wanted)
        kept = Kept("alerts", listing.begin, listing.known)
        found = await self.ask("GET", "/api/v1/alerts", {}, listing.alerts, kept=kept)
        return ours_of_alerts(found, shift)

    async def rules(self) -> Rules:
        """All rules that are loaded, with their wanted alerts."""
        kept = Kept("alerts", partial(foreign_json.only, self._wanted))
        return await self.ask("GET", "/api/v1/rules", {}, answers.rules, kept=kept)

    async def alerting(self, labels: Labels, rules: Rules) -> tuple[PrometheusAlert, ...]:
        """The wanted alerts that have these labels, by their series: quick however many alerts there are.

        The series know no annotations and no value. So annotations are those of the alert's rule in `rules`, with the
        alert's labels filled in.
        """
        shift = await self._shift()
        shown, since = await asyncio.gather(
            self._series_of_alerts(f"timestamp(ALERTS{selector_text(labels)})"),
            self._series_of_alerts(f"ALERTS_FOR_STATE{selector_text(labels)}"),
        )
        return ours_of_alerts(series_of_alerts.alerts(shown, since, rules), shift)

    async def _series_of_alerts(self, expression: str) -> tuple[Sample, ...]:
        kept = Kept("result", partial(foreign_json.only, self._wanted, "metric"))
        fields = {"query": expression, "timeout": f"{self._timeout:g}s", **WHOLE}
        return await self.ask("POST", "/api/v1/query", fields, answers.samples, kept=kept)

    async def scrape_intervals(self) -> dict[tuple[str, str], float]:
        """Seconds between two scrapes of each active target, by (job, instance)."""
        kept = Kept("activeTargets", lambda: answers.short_target)
        return await self.ask("GET", "/api/v1/targets?state=active", {}, answers.scrape_intervals, kept=kept)

    async def query(self, expression: str, time: float | None = None) -> tuple[Sample, ...]:
        """A vector or scalar at a moment (seconds since the epoch), or now. NaN is left out, Inf is kept."""
        fields = {"query": expression, "timeout": f"{self._timeout:g}s", **WHOLE}
        shift = await self._shift()
        if time is not None:
            fields["time"] = f"{time + shift:.3f}"
        return ours_of_samples(await self.ask("POST", "/api/v1/query", fields, answers.samples), shift)

    async def query_range(
        self, expression: str, start: float, end: float, step: float, about: About | None = None
    ) -> tuple[Series, ...]:
        """A figure from `start` to `end` (seconds since the epoch) every `step` seconds.

        If that is too much for one answer, halves of the time are asked for, and again halves of these.

        Args:
            expression: PromQL.
            start: the first moment.
            end: the last.
            step: seconds between two moments.
            about: whether series with these labels are returned; a figure of a fleet has thousands of others.

        Raises:
            AnswerTooLargeError: even a part of 1/`MOST_PARTS` is too much.
        """
        shift = await self._shift()
        least = int((end - start) / step) // MOST_PARTS
        ask = partial(self._range, expression, partial(answers.series, about=about))
        return ours_of_series(await self._in_parts(ask, start + shift, end + shift, step, least), shift)

    async def _in_parts(self, ask: AskRange, start: float, end: float, step: float, least: int) -> tuple[Series, ...]:
        """The answer for this time; `least` is the number of steps that is not halved any more."""
        try:
            return await ask(start, end, step)
        except AnswerTooLargeError:
            steps = int((end - start) / step)
            if steps <= least:
                raise
        middle = start + step * (steps // 2)
        first = await self._in_parts(ask, start, middle, step, least)
        second = await self._in_parts(ask, middle + step, end, step, least)
        return _joined(first, second)

    async def _range(
        self,
        expression: str,
        shape: Callable[[object], tuple[Series, ...]],
        start: float,
        end: float,
        step: float,
    ) -> tuple[Series, ...]:
        fields = {
            "query": expression,
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "step": f"{step:g}",
            "timeout": f"{self._timeout:g}s",
            **WHOLE,
        }
        return await self.ask("POST", "/api/v1/query_range", fields, shape)

    async def stored(self, selector: str, start: float, end: float) -> tuple[Series, ...]:
        """The samples as Prometheus stored them, from `start` to `end` (seconds since the epoch).

        Raises:
            AnswerTooLargeError: ask for a shorter time.
        """
        shift = await self._shift()
        fields = {"query": f"{selector}[{duration(end - start)}]", "time": f"{end + shift:.3f}"}
        fields |= {"timeout": f"{self._timeout:g}s", **WHOLE}
        return ours_of_series(await self.ask("POST", "/api/v1/query", fields, answers.series), shift)


def _joined(first: tuple[Series, ...], second: tuple[Series, ...]) -> tuple[Series, ...]:
    """Series of two spans of time that follow one another, as one."""
    joined: dict[tuple[tuple[str, str], ...], Series] = {}
    for series in (*first, *second):
        key = tuple(sorted(series.labels.items()))
        before = joined[key].points if key in joined else ()
        joined[key] = Series(series.labels, (*before, *series.points))
    return tuple(joined.values())


def _content(name: str, answer: Answer) -> object:
    """The answer's data; raises the fitting error, with Prometheus' own words, if there is none."""
    fields = answer.document if isinstance(answer.document, dict) else {}
    if answer.good and fields.get("status") == "success":
        return fields.get("data")
    words = fields.get("error")
    if not answer.good and not fields:  # these are not Prometheus' own words
        raise answer.refusal(words)
    refused = f"{name} refused the request ({answer.status}){quoted(words)}"
    if answer.status in _OUR_FAULT and isinstance(words, str) and any(part in words for part in _TOO_MUCH):
        raise AnswerTooLargeError(refused, hint="Ask for a shorter time.")
    if answer.status in _OUR_FAULT:
        raise SourceError(refused, hint="Correct the expression, e.g. in the rule's annotation.")
    if answer.good:
        raise answer.stranger("answered with an error" if fields else "did not answer in JSON", words)
    raise answer.refusal(words)
