"""What the controller depends on, and what it costs: the lower rows of its dashboard."""

from panels import Panel, Query, Row

_MINE = 'job=~"$controller"'
_RATE = "[$__rate_interval]"

NEEDS = (
    Row(
        "What it depends on",
        7,
        (
            Panel(
                "timeseries",
                "Age of the heartbeat and of Prometheus' answer",
                "Each replica's seconds since RearguardWatchdog came, and since Prometheus answered. The line is"
                " where"
                " RearguardHeartbeatLost begins.",
                (
                    Query(f"max by (instance) (rearguard_watchdog_age_seconds{{{_MINE}}})", "heartbeat {{instance}}"),
                    Query(
                        f"max by (instance) (rearguard_prometheus_age_seconds{{{_MINE}}})", "Prometheus {{instance}}"
                    ),
                ),
                8,
                unit="s",
                steps=((None, "green"), (300, "red")),
            ),
            Panel(
                "timeseries",
                "Poll of Prometheus",
                "Seconds that the last poll lasted, or the one that runs lasts. After 60 s RearguardPollSlow tells.",
                (Query(f"max by (instance) (rearguard_poll_seconds{{{_MINE}}})", "{{instance}}"),),
                8,
                unit="s",
                steps=((None, "green"), (60, "red")),
            ),
            Panel(
                "timeseries",
                "Clock",
                "Seconds that Prometheus' clock is ahead of the controller's, without its sign.",
                (Query(f"abs(max by (instance) (rearguard_clock_skew_seconds{{{_MINE}}}))", "{{instance}}"),),
                8,
                unit="s",
            ),
        ),
    ),
    Row(
        "",
        7,
        (
            Panel(
                "timeseries",
                "Webhook answers, by code",
                "Answers to Alertmanager. 202: the alerts are stored. 401 and 403: its token; 503: the journal"
                " cannot be written.",
                (
                    Query(
                        f"sum by (code) (increase(rearguard_webhook_requests_total{{{_MINE}}}{_RATE})) > 0",
                        "{{code}}",
                    ),
                ),
                8,
                bars=True,
            ),
            Panel(
                "timeseries",
                "Notices, by service and result",
                "Notices to the receivers of notify: sent, failed after all attempts, refused by the service, or"
                " dropped.",
                (
                    Query(
                        f"sum by (service, result) (increase(rearguard_notifications_total{{{_MINE}}}{_RATE})) > 0",
                        "{{service}} {{result}}",
                    ),
                ),
                8,
                bars=True,
            ),
            Panel(
                "timeseries",
                "Journal errors and shortages",
                "Reads and writes of the journal that failed, and starts that lacked file descriptors, memory or"
                " processes.",
                (
                    Query(
                        f"sum by (instance) (increase(rearguard_journal_errors_total{{{_MINE}}}{_RATE}))",
                        "journal {{instance}}",
                    ),
                    Query(
                        f"sum by (resource) (increase(rearguard_resource_shortages_total{{{_MINE}}}{_RATE}))",
                        "{{resource}}",
                    ),
                ),
                8,
                bars=True,
            ),
        ),
    ),
    Row(
        "The process",
        6,
        (
            Panel(
                "timeseries",
                "Memory",
                "Resident memory of each replica.",
                (
                    Query(
                        f"max by (instance) (process_resident_memory_bytes{{{_MINE}}}"
                        f" and on (job, instance) rearguard_leader{{{_MINE}}})",
                        "{{instance}}",
                    ),
                ),
                12,
                unit="bytes",
            ),
            Panel(
                "timeseries",
                "Processors in use",
                "Processors that each replica uses: 1 is one whole core.",
                (
                    Query(
                        f"sum by (instance) (rate(process_cpu_seconds_total{{{_MINE}}}{_RATE})"
                        f" and on (job, instance) rearguard_leader{{{_MINE}}})",
                        "{{instance}}",
                    ),
                ),
                12,
                unit="none",
            ),
        ),
    ),
)
