"""The dashboard of all services: what serves, what was released, and who is in trouble."""

from panels import SERVICE_BOARD, TARGET_PAGE_OF_ROW, Panel, Query, Row, annotation, dashboard, variable

_HERE = 'deployment_environment_name=~"$environment"'
_FIRING = 'ALERTS{alertstate="firing", alertname!="RearguardWatchdog", deployment_environment_name=~"$environment|"}'
_ANY_ALERT = 'ALERTS{alertname!="RearguardWatchdog", deployment_environment_name=~"$environment|"}'
_VERSION = "service_name, service_version"
_SERVING = f"count by ({_VERSION}) (instance:service:info{{{_HERE}}})"


def _of_threshold(figure, threshold, *more):
    """How near the worst version of each service is to the number that its alert compares with; 1 is there.

    Of several figures the one that shows most: `or` drops what has the same labels, so each gets one of its own.
    """
    told = [f"{figure}{{{_HERE}}}", *(f'label_replace({each}{{{_HERE}}}, "of", "{each}", "", "")' for each in more)]
    return (
        "sort_desc(topk(15, max by (service_name) ("
        f"max by (service_name, deployment_environment_name) ({' or '.join(told)})"
        f" / on (service_name, deployment_environment_name) ({threshold}{{{_HERE}}} > 0))))"
    )


_NEAR = ((None, "green"), (0.5, "orange"), (1, "red"))

_NOW = Row(
    "Now",
    4,
    (
        Panel(
            "stat",
            "Services",
            "Services that are seen now, by target_info.",
            (Query(f"count(count by (service_name) (instance:service:info{{{_HERE}}}))", "services"),),
            4,
            unit="none",
            steps=((None, "blue"),),
        ),
        Panel(
            "stat",
            "Alerts firing",
            "Alerts that fire now, of services and of the controller; the heartbeat is none.",
            (Query(f"count({_FIRING}) or vector(0)", "firing"),),
            4,
            unit="none",
            steps=((None, "green"), (1, "red")),
        ),
        Panel(
            "stat",
            "Two versions serve",
            "Services of which more than one version serves now: a rollout, or one that got stuck.",
            (Query(f"sum(count by (service_name) ({_SERVING}) > bool 1)", "services"),),
            4,
            unit="none",
            steps=((None, "green"), (1, "orange")),
        ),
        Panel(
            "stat",
            "Releases",
            "Versions first seen in the time shown, at most a day.",
            (
                Query(
                    f"sum(time() - max by ({_VERSION}) (version:service:first_seen{{{_HERE}}}) < bool $__range_s)",
                    "releases",
                ),
            ),
            4,
            unit="none",
            steps=((None, "blue"),),
        ),
        Panel(
            "stat",
            "Rollbacks",
            "Rollbacks that closed in the time shown, for all targets of all controllers.",
            (Query("round(sum(increase(rearguard_rollbacks_total[$__range])))", "rollbacks"),),
            4,
            unit="none",
            steps=((None, "green"), (1, "orange")),
        ),
        Panel(
            "stat",
            "Rollbacks running",
            "Targets whose rollback is carried out now.",
            (Query("sum(max by (target) (rearguard_rollback_in_progress))", "running"),),
            4,
            unit="none",
            steps=((None, "green"), (1, "orange")),
        ),
    ),
)

_TROUBLE = Row(
    "In trouble",
    8,
    (
        Panel(
            "table",
            "Alerts pending and firing",
            "Every alert but the heartbeat. A click opens the page of its target, where it has one.",
            (
                Query(
                    f"max by (alertname, alertstate, severity, service_name, service_version, target) ({_ANY_ALERT})"
                ),
            ),
            12,
            unit="none",
            links=(TARGET_PAGE_OF_ROW,),
            columns={
                "alertname": ("alert", ""),
                "alertstate": ("state", ""),
                "severity": ("severity", ""),
                "service_name": ("service", ""),
                "service_version": ("version", ""),
                "target": ("target", ""),
            },
        ),
        Panel(
            "bargauge",
            "Error ratio, as a share of its threshold",
            "The worst version of each service over the last minute, the fifteen nearest to what HighErrorRate"
            " compares with.",
            (
                Query(
                    _of_threshold("version:http_error_ratio:over1m", "service:http_error_ratio:threshold"),
                    "{{service_name}}",
                ),
            ),
            6,
            unit="percentunit",
            steps=_NEAR,
        ),
        Panel(
            "bargauge",
            "Mean time, as a share of its threshold",
            "The slowest version of each service over the last minute, the fifteen nearest to what SlowResponses"
            " compares with.",
            (
                Query(
                    _of_threshold("version:http_mean_seconds:over1m", "service:http_mean_seconds:threshold"),
                    "{{service_name}}",
                ),
            ),
            6,
            unit="percentunit",
            steps=_NEAR,
        ),
    ),
)

_EVIDENCE = Row(
    "Releases by evidence",
    6,
    (
        Panel(
            "bargauge",
            "Evidence of failures, as a share of what is needed",
            "Nats of evidence that a version fails more than the versions before it allow, in the window of 15 s to"
            " five minutes that shows most; the fifteen services nearest to what ReleaseWorse compares with.",
            (
                Query(
                    _of_threshold(
                        "version:http_error_evidence:nats",
                        "service:http_error_evidence:needed",
                        "version:http_error_evidence:over5m",
                    ),
                    "{{service_name}}",
                ),
            ),
            24,
            unit="percentunit",
            steps=_NEAR,
        ),
    ),
)

_SERVICES = Row(
    "Services",
    9,
    (
        Panel(
            "table",
            "Services and versions",
            "Every version that serves: instances, requests, errors, mean time and firing alerts. A click opens"
            " its dashboard.",
            (
                Query(_SERVING),
                Query(f"sum by ({_VERSION}) (version:http_requests:increase1m{{{_HERE}}}) / 60 and {_SERVING}"),
                Query(f"max by ({_VERSION}) (version:http_error_ratio:over1m{{{_HERE}}}) and {_SERVING}"),
                Query(f"max by ({_VERSION}) (version:http_mean_seconds:over1m{{{_HERE}}}) and {_SERVING}"),
                Query(f"count by ({_VERSION}) ({_FIRING}) and {_SERVING} or 0 * {_SERVING}"),
                Query(f"time() - max by ({_VERSION}) (version:service:first_seen{{{_HERE}}}) and {_SERVING}"),
            ),
            24,
            unit="none",
            links=(SERVICE_BOARD,),
            columns={
                "service_name": ("service", ""),
                "service_version": ("version", ""),
                "Value #A": ("instances", "none"),
                "Value #B": ("requests per second", "reqps"),
                "Value #C": ("error ratio", "percentunit"),
                "Value #D": ("mean time", "s"),
                "Value #E": ("alerts firing", "none"),
                "Value #F": ("first seen, ago", "s"),
            },
        ),
    ),
)

_TIME = (
    Row(
        "Over time",
        8,
        (
            Panel(
                "state-timeline",
                "Versions over time",
                "How many instances serve each version. Where a band ends and another begins, a release or a"
                " rollback took place.",
                (Query(_SERVING, "{{service_name}} {{service_version}}"),),
                12,
                unit="none",
                steps=((None, "blue"),),
            ),
            Panel(
                "timeseries",
                "Alerts firing, by name",
                "How many alerts of each name fire; the heartbeat is none.",
                (Query(f"count by (alertname) ({_FIRING})", "{{alertname}}"),),
                12,
                bars=True,
            ),
        ),
    ),
    Row(
        "",
        8,
        (
            Panel(
                "timeseries",
                "Requests per second, by service",
                "All versions together, over the last minute, as the rules count them.",
                (
                    Query(
                        f"sum by (service_name) (version:http_requests:increase1m{{{_HERE}}}) / 60",
                        "{{service_name}}",
                    ),
                ),
                8,
                unit="reqps",
            ),
            Panel(
                "timeseries",
                "Error ratio, by service",
                "The worst version of each service over the last minute: 5xx, or ended by an error.",
                (Query(f"max by (service_name) (version:http_error_ratio:over1m{{{_HERE}}})", "{{service_name}}"),),
                8,
                unit="percentunit",
            ),
            Panel(
                "timeseries",
                "Mean time, by service",
                "The slowest version of each service over the last minute, without failures and streams.",
                (Query(f"max by (service_name) (version:http_mean_seconds:over1m{{{_HERE}}})", "{{service_name}}"),),
                8,
                unit="s",
            ),
        ),
    ),
)


def board():
    """The file's content."""
    seen = f"max by ({_VERSION}) (version:service:first_seen{{{_HERE}}})"
    return dashboard(
        "rearguard-fleet",
        "Rearguard / Fleet",
        "All services: the versions that serve, the releases of the day, errors and mean times, and who is in"
        " trouble.",
        [
            variable(
                "environment",
                "Environment",
                "label_values(instance:service:info, deployment_environment_name)",
                "deployment_environment_name of target_info",
            )
        ],
        (_NOW, _TROUBLE, _EVIDENCE, _SERVICES, *_TIME),
        begins="now-24h",
        annotations=[
            annotation(
                "Releases",
                "blue",
                f"{seen} > time() - $__interval_ms / 1000",
                "Release",
                "{{service_name}}: {{service_version}} begins to serve",
            )
        ],
    )
