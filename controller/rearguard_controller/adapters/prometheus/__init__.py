"""Prometheus: the alerts, rules and figures that judgements rest on.

Here: asking its HTTP API, turning answers into values or `SourceError`, and how far back a figure reaches.
"""

from rearguard_controller.adapters.http_source import AnswerTooLargeError
from rearguard_controller.adapters.prometheus.answers import (
    AlertingRule,
    PrometheusAlert,
    RecordingRule,
    Rules,
    Series,
)
from rearguard_controller.adapters.prometheus.client import Prometheus
from rearguard_controller.adapters.prometheus.promql import clear_seconds, settle_seconds

__all__ = [
    "AlertingRule",
    "AnswerTooLargeError",
    "Prometheus",
    "PrometheusAlert",
    "RecordingRule",
    "Rules",
    "Series",
    "clear_seconds",
    "settle_seconds",
]
