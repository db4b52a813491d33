"""Two trigger rules that read raw counters alone, for a past in which our rules recorded nothing.

Here: the rules, with the default thresholds of rules/thresholds.yml, and a Prometheus that has them beside its own.
"""

from __future__ import annotations

from dataclasses import replace

from rearguard_controller.adapters.prometheus import AlertingRule, Prometheus, Rules
from rearguard_controller.errors import SourceError
from rearguard_controller.model import VERSION_LABEL
from rearguard_controller.model.labels import ENVIRONMENT_LABEL, OLDER_ENVIRONMENT_LABEL

NOTE = (
    "Our rules were not loaded all the time, so raw counters were judged, too: more than 10 % of requests that fail,"
    " or a mean above 5 s, for a minute."
)
_OURS = "default:http_error_ratio:threshold"  # recorded by our rules alone
_LOADED_EARLY = 3600.0  # seconds after the beginning of the time
_BY = f"service_name, {ENVIRONMENT_LABEL}, {OLDER_ENVIRONMENT_LABEL}, {VERSION_LABEL}"
# Of several target_info of one address the newest: where samples have times of their own, none ends with its process.
_NEWEST = f"topk by (job, instance) (1, max by (job, instance, {_BY}) (timestamp(target_info)))"
_WHO = f"* on (job, instance) group_left ({_BY}) ({_NEWEST} > bool 0)"
_NAME = "http_server_request_duration_seconds"
_FLOOR = 10  # requests a minute


class WithRawRules(Prometheus):
    """Asks the same Prometheus; the raw rules count as loaded where ours were not, from `start` on."""

    start = 0.0
    added = False

    async def rules(self) -> Rules:
        """All rules that are loaded, and the raw ones where they are needed."""
        loaded = await super().rules()
        try:
            early = await self.query(_OURS, self.start + _LOADED_EARLY)
        except SourceError:
            early = ()
        if early:
            return loaded
        self.added = True
        return replace(loaded, alerting=(*loaded.alerting, *RULES))


def _rate(series: str) -> str:
    return f"sum by ({_BY}) (rate({series}[1m]) {_WHO})"


def _rule(name: str, figure: str, threshold: str) -> AlertingRule:
    enough = f"{_rate(f'{_NAME}_count')} * 60 > {_FLOOR}"
    return AlertingRule(
        name=name,
        query=f"({figure}) {threshold} and {enough}",
        labels={"severity": "critical", "action": "rollback"},
        annotations={"figure": figure, "threshold": threshold},
        for_seconds=60.0,
        health="ok",
        last_error="",
        group="raw",
        interval=15.0,
    )


_TOTAL = _rate(f"{_NAME}_count")
_FAILED = _rate(f'{_NAME}_count{{http_response_status_code=~"5.."}}')
RULES = (
    _rule("RawErrorRate", f"({_FAILED} or {_TOTAL} * 0) / ({_TOTAL} > 0)", "> 0.1"),
    _rule("RawSlowResponses", f"{_rate(f'{_NAME}_sum')} / ({_TOTAL} > 0)", "> 5"),
)
