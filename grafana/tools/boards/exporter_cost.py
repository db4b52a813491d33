"""The dashboard of what measuring costs: series held and lost, time of a scrape, workers, late collectors."""

from panels import Panel, Query, Row, dashboard, variable

_OF = 'service_name=~"$service", deployment_environment_name=~"$environment"'
_RATE = "[$__rate_interval]"
# Which service an instance belongs to, as in rearguard-service.json.
_JOIN = (
    "* on (job, instance) group_left (service_name, service_version)"
    f" topk by (job, instance) (1, timestamp(instance:service:info{{{_OF}}})) ^ 0"
)


def _of(outer, labels, inner, figure):
    """The figure of the chosen services, by these labels besides the service."""
    here = "".join(f", {label}" for label in labels)
    there = "".join(f", {label}" for label in labels if label not in {"instance", "service_version"})
    return f"{outer} by (service_name{here}) ({inner} by (job, instance{there}) ({figure}) {_JOIN})"


_NOW = Row(
    "Now",
    4,
    (
        Panel(
            "stat",
            "Series held",
            "Series of all families that the exporter holds, over all instances.",
            (Query(_of("sum", (), "sum", "rearguard_exporter_series"), "{{service_name}}"),),
            4,
            unit="none",
            steps=((None, "blue"),),
        ),
        Panel(
            "stat",
            "Time to render",
            "Time that the last exposition of the slowest instance took, all families together.",
            (Query(_of("max", (), "sum", "rearguard_exporter_render_seconds"), "{{service_name}}"),),
            4,
            unit="s",
            steps=((None, "green"), (0.2, "orange"), (1, "red")),
        ),
        Panel(
            "stat",
            "Folded",
            "Look-ups in the time shown that were answered with the overflow value, because a family was full"
            " (series_limit).",
            (
                Query(
                    _of("sum", (), "sum", "increase(rearguard_exporter_folded_total[$__range])"), "{{service_name}}"
                ),
            ),
            4,
            steps=((None, "green"), (1, "red")),
        ),
        Panel(
            "stat",
            "Collectors late",
            "Scrapes in the time shown that went without a collector of the application.",
            (
                Query(
                    _of("sum", (), "sum", "increase(rearguard_exporter_collector_timeouts_total[$__range])"),
                    "{{service_name}}",
                ),
            ),
            4,
            steps=((None, "green"), (1, "orange")),
        ),
        Panel(
            "stat",
            "Workers",
            "Living processes that share a folder (workers_dir); none where the service has one process.",
            (Query(_of("sum", (), "sum", "rearguard_exporter_workers"), "{{service_name}}"),),
            4,
            unit="none",
            steps=((None, "blue"),),
        ),
        Panel(
            "stat",
            "Scrape",
            "Time that Prometheus' last scrape of the slowest instance took, with the way there.",
            (Query(_of("max", (), "max", "scrape_duration_seconds"), "{{service_name}}"),),
            4,
            unit="s",
            steps=((None, "green"), (0.5, "orange"), (2, "red")),
        ),
    ),
)

_FAMILIES = Row(
    "Families",
    9,
    (
        Panel(
            "timeseries",
            "Series held, by family",
            "A family that keeps growing has a label with too many values.",
            (Query(_of("sum", ("family",), "sum", "rearguard_exporter_series"), "{{service_name}} {{family}}"),),
            8,
            unit="none",
        ),
        Panel(
            "timeseries",
            "Time to render, by family",
            "Time that the last exposition spent on each family, of the slowest instance.",
            (
                Query(
                    _of("max", ("family",), "max", "rearguard_exporter_render_seconds"), "{{service_name}} {{family}}"
                ),
            ),
            8,
            unit="s",
        ),
        Panel(
            "timeseries",
            "Folded per second, by family",
            "Look-ups that were answered with the overflow value: the family has reached its series_limit.",
            (
                Query(
                    _of("sum", ("family",), "sum", f"rate(rearguard_exporter_folded_total{_RATE})"),
                    "{{service_name}} {{family}}",
                ),
            ),
            8,
            unit="ops",
        ),
    ),
)

_SCRAPES = Row(
    "Scrapes",
    8,
    (
        Panel(
            "timeseries",
            "Time of a scrape, by instance",
            "As Prometheus measured it. Above the scrape timeout the instance counts as down.",
            (
                Query(
                    _of("max", ("service_version", "instance"), "max", "scrape_duration_seconds"),
                    "{{instance}} {{service_version}}",
                ),
            ),
            6,
            unit="s",
        ),
        Panel(
            "timeseries",
            "Samples of a scrape, by instance",
            "How many samples the last scrape brought, the application's own among them.",
            (
                Query(
                    _of("max", ("service_version", "instance"), "max", "scrape_samples_scraped"),
                    "{{instance}} {{service_version}}",
                ),
            ),
            6,
            unit="none",
        ),
        Panel(
            "timeseries",
            "Collectors late per second",
            "Scrapes that went without a collector of the application, because it did not answer in time, by its"
            " name.",
            (
                Query(
                    _of("sum", ("collector",), "sum", f"rate(rearguard_exporter_collector_timeouts_total{_RATE})"),
                    "{{service_name}} {{collector}}",
                ),
            ),
            6,
            unit="ops",
        ),
        Panel(
            "timeseries",
            "Beacons per second, by result",
            "Beacons of browsers: taken, or why they were refused.",
            (
                Query(
                    _of("sum", ("result",), "sum", f"rate(rearguard_exporter_beacons_total{_RATE})"),
                    "{{service_name}} {{result}}",
                ),
            ),
            6,
            unit="ops",
        ),
    ),
)

_WORKERS = Row(
    "Workers",
    8,
    (
        Panel(
            "timeseries",
            "Workers",
            "Living processes that share a folder. None where the service has one process.",
            (Query(_of("sum", ("instance",), "sum", "rearguard_exporter_workers"), "{{service_name}} {{instance}}"),),
            6,
            unit="none",
        ),
        Panel(
            "timeseries",
            "Memory, by worker",
            "Resident memory of each worker. One that keeps growing leaks.",
            (
                Query(
                    _of("sum", ("worker_number",), "sum", "process_worker_memory_usage_bytes"),
                    "{{service_name}} {{worker_number}}",
                ),
            ),
            6,
            unit="bytes",
        ),
        Panel(
            "timeseries",
            "Processors in use, by worker",
            "Processors that each worker uses: 1 is one whole core.",
            (
                Query(
                    _of("sum", ("worker_number",), "sum", f"rate(process_worker_cpu_seconds_total{_RATE})"),
                    "{{service_name}} {{worker_number}}",
                ),
            ),
            6,
            unit="none",
        ),
        Panel(
            "timeseries",
            "Open files, by worker",
            "Open file descriptors of each worker.",
            (
                Query(
                    _of("sum", ("worker_number",), "sum", "process_worker_open_fds"),
                    "{{service_name}} {{worker_number}}",
                ),
            ),
            6,
            unit="none",
        ),
    ),
)


def board():
    """The file's content."""
    return dashboard(
        "exporter-cost",
        "Rearguard / Exporter cost",
        "What measuring costs an application: series held and lost, the time of a scrape, workers, collectors that"
        " are late.",
        [
            variable(
                "environment",
                "Environment",
                "label_values(instance:service:info, deployment_environment_name)",
                "deployment_environment_name of target_info",
            ),
            variable(
                "service",
                "Service",
                'label_values(instance:service:info{deployment_environment_name=~"$environment"}, service_name)',
                "service_name of target_info",
            ),
        ],
        (_NOW, _FAMILIES, _SCRAPES, _WORKERS),
        begins="now-1h",
    )
