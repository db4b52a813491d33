"""PromQL of what each version of a target was asked and what it failed, from the exporter's raw counters alone.

Here: the question. It reads no recorded series, so it can be asked of a time before the rules were loaded. Each raw
series is counted by itself, before anything is added up. Of one that is new, or whose counter fell, the whole counter
counts: it began at 0 with its process. A series that was away for less than five minutes goes on where it was, so a
gap between scrapes is no burst. Native histograms are asked in words of their own, which not every store knows.
"""

from __future__ import annotations

from collections.abc import Collection

from rearguard_controller.adapters.prometheus.promql import alternatives, duration, quoted, selector_text, series_of
from rearguard_controller.model import VERSION_LABEL, Labels

COUNTED = "counted"  # the label that says what a value counts
REQUESTS, FAILURES = "requests", "failures"  # its values
REQUEST_COUNTER = "http_server_request_duration_seconds_count"
NATIVE = REQUEST_COUNTER.removesuffix("_count")
LONGEST_AWAY = 300.0  # seconds for which a series without samples is still the same

_STATUS, _TYPE = "http_response_status_code", "error_type"
_STEP = 5.0  # seconds between two looks into the past of a native histogram, where `last_over_time` says nothing
# Failures as `rules/release.yml` has them: 5xx, or an error_type, whatever was sent before it; 4xx is the caller's.
_FAILED = (f'{_STATUS}=~"5.."', f'{_TYPE}!="",{_STATUS}!~"[45].."')


def jobs(selector: Labels) -> str:
    """PromQL of the jobs of a target's instances: one value for each, with the label `job`."""
    return f"group by (job) ({series_of('target_info', selector)})"


def native(of_jobs: Collection[str]) -> str:
    """PromQL of the native histograms of these jobs: one value for each job that has any."""
    return f"group by (job) ({NATIVE}{{{of_these(of_jobs)}}})"


def counts(selector: Labels, of_jobs: Collection[str], seconds: float, *, natively: bool = False) -> str:
    """PromQL of the requests and failures of each version in the last `seconds`.

    Args:
        selector: of the target's `target_info`.
        of_jobs: the jobs that `jobs` returned.
        seconds: the step between two moments at which it is asked.
        natively: count native histograms, of jobs that `native` returned.

    Returns:
        PromQL with one value for each `service_version` and `counted`. Nothing for an instance whose requests have
        neither a status nor an `error_type`: nobody can say what failed there.
    """
    job = of_these(of_jobs)
    name = NATIVE if natively else REQUEST_COUNTER
    labelled = f'{name}{{{job},{_STATUS}!=""}} or {name}{{{job},{_TYPE}!=""}}'
    told = f"and on (job, instance) ({labelled})"
    asked = f"({_grown(job, seconds, natively)}) {told}"
    failed = " or ".join(f"({_grown(f'{job},{each}', seconds, natively)})" for each in _FAILED)
    nothing = f"({asked}) * 0"  # so that a version without failures shows 0
    parts = ((asked, REQUESTS), (f"{failed} or {nothing}", FAILURES))
    return " or ".join(_by_version(each, what, selector) for each, what in parts)


def of_these(of_jobs: Collection[str]) -> str:
    """The matcher of these jobs."""
    return "job=~" + quoted("|".join(_literally(each) for each in sorted(of_jobs)))


def _grown(matchers: str, seconds: float, natively: bool) -> str:
    """What each series of the counter grew by; no number where it, or what it was before, is none."""
    series, back = f"{REQUEST_COUNTER}{{{matchers}}}", duration(seconds)
    before = f"last_over_time({series}[{duration(LONGEST_AWAY)}] offset {back})"
    if natively:  # a subquery looks at moments of its own, so it is asked only where the series was away
        native = f"{NATIVE}{{{matchers}}}"
        series = f"histogram_count({native})"
        away = f"last_over_time({series}[{duration(LONGEST_AWAY)}:{duration(_STEP)}] offset {back})"
        before = f"(histogram_count({native} offset {back}) or {away})"
    return f"({series} - {before} * ({before} <= bool {series})) or {series}"


def _by_version(expression: str, what: str, selector: Labels) -> str:
    """The sum for each version, by the newest `target_info` of each instance."""
    stamped = " or ".join(f"timestamp(target_info{selector_text(each)})" for each in alternatives(selector))
    versions = f"group by (job, instance, {VERSION_LABEL}) (topk by (job, instance) (1, {stamped}))"
    summed = f"sum by ({VERSION_LABEL}) (({expression}) * on (job, instance) group_left ({VERSION_LABEL}) {versions})"
    return f'label_replace({summed}, "{COUNTED}", "{what}", "", "")'


def _literally(text: str) -> str:
    """A text as a regular expression of RE2 that only it matches."""
    return "".join(f"\\{each}" if each in r"\.+*?()|[]{}^$" else each for each in text)
