"""Questions to the running parts: Prometheus, Alertmanager, and the controller's records.

Here: HTTP and its answers as plain JSON. Never here: what the answers mean for the story; changing anything.
A part that does not answer at the moment gives an empty answer: the story has deadlines of its own.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from local_stack.layout import Layout

Json = dict[str, Any]
_LIMIT = 5.0


def seconds(moment: str) -> float:
    """Return an RFC 3339 moment as seconds since the Unix epoch; nanoseconds are cut to microseconds."""
    whole, dot, fraction = moment.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}{dot}{fraction[:6]}+00:00").timestamp()


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks the parts of one stack."""

    layout: Layout

    def trigger_alerts(self) -> list[Json]:
        """Return Prometheus' pending and firing alerts that may roll the shop back."""
        data = self._get(f"{self.layout.prometheus}/api/v1/alerts").get("data", {})
        return [
            alert
            for alert in data.get("alerts", [])
            if alert["labels"].get("action") == "rollback" and alert["labels"].get("service_name") == "shop"
        ]

    def firing_since(self, alert: str) -> float | None:
        """Return when Prometheus first found the alert firing, by its own record of alerts; None before that."""
        own = f'ALERTS{{alertname="{alert}",alertstate="firing",service_name="shop"}}'
        return self.figure(f"min(min_over_time(timestamp({own})[10m:1s]))", {})

    def figure(self, expression: str, labels: dict[str, str]) -> float | None:
        """Return the value that Prometheus has now for the series with these labels; None without data."""
        data = self._get(f"{self.layout.prometheus}/api/v1/query", query=expression).get("data", {})
        for row in data.get("result", []):
            if labels.items() <= row["metric"].items():
                return float(row["value"][1])
        return None

    def deliveries(self) -> int:
        """Return how many notifications Alertmanager has delivered to the controller."""
        try:
            lines = requests.get(f"{self.layout.alertmanager}/metrics", timeout=_LIMIT).text.splitlines()
        except requests.RequestException:
            return 0
        sent, failed = "alertmanager_notifications_total{", "alertmanager_notifications_failed_total{"
        count = {
            name: sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name) and "webhook" in line)
            for name in (sent, failed)
        }
        return int(count[sent] - count[failed])

    def target(self) -> Json:
        """Return the controller's view of the shop."""
        targets = self._controller("rollback/status").get("targets", [])
        return dict(targets[0]) if targets else {}

    def rollbacks(self) -> list[Json]:
        """Return every rollback of the shop, newest first."""
        return list(self._controller("rollback/history").get("rollbacks", []))

    def rollback(self, number: str) -> Json:
        """Return one rollback with its steps and decision."""
        return self._controller(f"rollback/{number}")

    def decisions(self) -> list[Json]:
        """Return the controller's decisions, newest first."""
        return list(self._controller("decisions").get("decisions", []))

    def decision(self, number: str) -> Json:
        """Return one decision with its reasons."""
        return self._controller(f"decisions/{number}")

    def span(self, name: str) -> float | None:
        """Return the seconds that the controller measured for a span of the last rollback, once it has."""
        try:
            text = requests.get(f"{self.layout.controller}/metrics", timeout=_LIMIT).text
        except requests.RequestException:
            return None
        values: dict[str, float] = {}
        for line in text.splitlines():
            for kind in ("sum", "count"):
                if line.startswith(f"rearguard_rollback_seconds_{kind}{{") and f'span="{name}"' in line:
                    values[kind] = float(line.rsplit(" ", 1)[1])
        return values["sum"] / values["count"] if values.get("count") else None

    def _controller(self, path: str) -> Json:
        headers = {"Authorization": f"Bearer {self.layout.token('viewer')}"}
        return self._get(f"{self.layout.controller}/api/monitoring/{path}", headers)

    def _get(self, url: str, headers: dict[str, str] | None = None, **query: str) -> Json:
        try:
            answer = requests.get(url, params=query, headers=headers, timeout=_LIMIT)
            answer.raise_for_status()
            content: Json = answer.json()
        except (requests.RequestException, ValueError):
            return {}
        return content
