"""The dashboard of the controller: whether it can act, what it decided and did, and what it depends on."""

from controller_needs import NEEDS
from panels import TARGET_PAGE, TARGET_PAGE_OF_ROW, YES_NO, Panel, Query, Row, annotation, dashboard, variable

_MINE = 'job=~"$controller"'
_TARGET = f'{_MINE}, target=~"$target"'
_LEADS = f"and on (job, instance) rearguard_leader{{{_MINE}}} == 1"
_RANGE = "[$__range]"
_RATE = "[$__rate_interval]"


def _mean(family, label):
    """Mean time of what ended in the time shown."""
    told = f"{{{_TARGET}}}{_RANGE}"
    return (
        f"sum by ({label}) (increase({family}_sum{told})) / (sum by ({label}) (increase({family}_count{told})) > 0)"
    )


_NOW = Row(
    "Now",
    4,
    (
        Panel(
            "stat",
            "Leading",
            "Controllers that lead now. 0: nobody judges. More than one: a replica does not share the journal.",
            (Query(f"sum(rearguard_leader{{{_MINE}}})", "leaders"),),
            3,
            unit="none",
            words={0: ("red", "NOBODY"), 1: ("green", "one leads")},
            steps=((None, "red"), (1, "green"), (2, "orange")),
        ),
        Panel(
            "stat",
            "Rollbacks running",
            "Targets whose rollback is carried out now.",
            (Query(f"sum(max by (target) (rearguard_rollback_in_progress{{{_TARGET}}} {_LEADS}))", "running"),),
            3,
            unit="none",
            steps=((None, "green"), (1, "orange")),
        ),
        Panel(
            "stat",
            "Armed",
            "Targets that may be rolled back automatically now, as a share of those configured.",
            (Query(f"avg(max by (target) (rearguard_target_armed{{{_TARGET}}} {_LEADS}))", "armed"),),
            3,
            unit="percentunit",
            steps=((None, "orange"), (1, "green")),
        ),
        Panel(
            "stat",
            "Not ready",
            "Targets of which at least one readiness check does not hold, or is unknown.",
            (Query(f"sum(min by (target) (rearguard_target_ready{{{_TARGET}}} {_LEADS}) == bool 0)", "not ready"),),
            3,
            unit="none",
            steps=((None, "green"), (1, "red")),
        ),
        Panel(
            "stat",
            "Heartbeat",
            "Seconds since the last RearguardWatchdog came by way of Alertmanager. After 300 s"
            " RearguardHeartbeatLost tells.",
            (Query(f"min(rearguard_watchdog_age_seconds{{{_MINE}}})", "age"),),
            3,
            unit="s",
            steps=((None, "green"), (120, "orange"), (300, "red")),
        ),
        Panel(
            "stat",
            "Prometheus answered",
            "Seconds since Prometheus last answered the leader. After 60 s RearguardPrometheusUnreachable tells.",
            (Query(f"max(rearguard_prometheus_age_seconds{{{_MINE}}} {_LEADS})", "age"),),
            3,
            unit="s",
            steps=((None, "green"), (30, "orange"), (60, "red")),
        ),
        Panel(
            "stat",
            "Journal errors",
            "Reads and writes of the journal that failed in the time shown.",
            (Query(f"sum(increase(rearguard_journal_errors_total{{{_MINE}}}{_RANGE}))", "errors"),),
            3,
            steps=((None, "green"), (1, "red")),
        ),
        Panel(
            "stat",
            "Configuration",
            "Whether every replica read its configuration without error the last time.",
            (Query(f"min(rearguard_config_reload_success{{{_MINE}}})", "read"),),
            3,
            unit="none",
            words={0: ("red", "NOT READ"), 1: ("green", "read")},
        ),
    ),
)

_DECISIONS = Row(
    "Decisions",
    8,
    (
        Panel(
            "timeseries",
            "Decisions, by verdict",
            "Decisions recorded. Every alert gets one, also where nothing is done.",
            (
                Query(
                    f"sum by (verdict) (increase(rearguard_decisions_total{{{_TARGET}}}{_RATE})) > 0", "{{verdict}}"
                ),
            ),
            8,
            bars=True,
        ),
        Panel(
            "timeseries",
            "Why not, by reason",
            "Reasons that held a rollback back: false means that it does not hold, unknown that nobody could tell.",
            (
                Query(
                    "sum by (reason, holds) (increase(rearguard_decision_reasons_total"
                    f'{{{_TARGET}, holds!="true"}}{_RATE})) > 0',
                    "{{reason}} {{holds}}",
                ),
            ),
            10,
            bars=True,
        ),
        Panel(
            "timeseries",
            "Alerts taken in, by source",
            "By webhook from Alertmanager, by a poll of Prometheus, or from Kubernetes. Only polls: the webhook"
            " does not arrive.",
            (
                Query(
                    f"sum by (source) (increase(rearguard_alerts_received_total{{{_MINE}}}{_RATE})) > 0", "{{source}}"
                ),
            ),
            6,
            bars=True,
        ),
    ),
)

_ROLLBACKS = Row(
    "Rollbacks",
    8,
    (
        Panel(
            "timeseries",
            "Rollbacks, by outcome",
            "Rollbacks that closed, by how they ended. After failed, not_recovered and needs_a_person somebody"
            " must look.",
            (
                Query(
                    f"sum by (outcome) (increase(rearguard_rollbacks_total{{{_TARGET}}}{_RATE})) > 0", "{{outcome}}"
                ),
            ),
            6,
            bars=True,
        ),
        Panel(
            "bargauge",
            "From the fault to recovery, by span",
            "Mean time of each stretch in the time shown: from the alert to its receipt, the decision, the"
            " command, healthy"
            " instances and figures that recovered. total: from opening to close.",
            (Query(_mean("rearguard_rollback_seconds", "span"), "{{span}}"),),
            6,
            unit="s",
            steps=((None, "blue"),),
        ),
        Panel(
            "bargauge",
            "Time of steps",
            "Mean time of each step of the rollbacks in the time shown.",
            (Query(_mean("rearguard_step_seconds", "step"), "{{step}}"),),
            6,
            unit="s",
            steps=((None, "blue"),),
        ),
        Panel(
            "table",
            "Closed, by target",
            "Rollbacks that closed in the time shown. A click opens the page of the target.",
            (
                Query(
                    f"round(sum by (target, outcome, trigger)"
                    f" (increase(rearguard_rollbacks_total{{{_TARGET}}}{_RANGE}))) > 0"
                ),
            ),
            6,
            unit="none",
            links=(TARGET_PAGE_OF_ROW,),
            columns={
                "target": ("target", ""),
                "outcome": ("outcome", ""),
                "trigger": ("trigger", ""),
                "Value": ("rollbacks", "none"),
            },
        ),
    ),
)

_TARGETS = (
    Row(
        "Targets",
        8,
        (
            Panel(
                "state-timeline",
                "Armed, by target",
                "Whether the controller may act on the target by itself. A click opens the page of the target.",
                (Query(f"max by (target) (rearguard_target_armed{{{_TARGET}}} {_LEADS})", "{{target}}"),),
                8,
                unit="none",
                words=YES_NO,
                links=(TARGET_PAGE,),
            ),
            Panel(
                "state-timeline",
                "Ready, by check",
                "Whether each readiness check holds for all chosen targets. No: it fails or is unknown for one of"
                " them; docs/runbooks.md"
                " says what to do.",
                (Query(f"min by (check) (rearguard_target_ready{{{_TARGET}}} {_LEADS})", "{{check}}"),),
                10,
                unit="none",
                words=YES_NO,
            ),
            Panel(
                "state-timeline",
                "Rollback running",
                "While the controller carries out a rollback of the target.",
                (Query(f"max by (target) (rearguard_rollback_in_progress{{{_TARGET}}} {_LEADS})", "{{target}}"),),
                6,
                unit="none",
                words={0: ("green", "none"), 1: ("orange", "running")},
                links=(TARGET_PAGE,),
            ),
        ),
    ),
    Row(
        "",
        7,
        (
            Panel(
                "table",
                "Versions",
                "The version that serves, the newest trusted one, and one that serves although a rollback led away"
                " from it (bad).",
                (
                    Query(
                        f"max by (target, state, version) (rearguard_target_version_info{{{_TARGET}}} {_LEADS}) == 1"
                    ),
                ),
                10,
                unit="none",
                links=(TARGET_PAGE_OF_ROW,),
                columns={"target": ("target", ""), "state": ("state", ""), "version": ("version", "")},
            ),
            Panel(
                "table",
                "Left disarmed, or given up",
                "Targets that a rollback left disarmed by its outcome, and those whose rollbacks were interrupted"
                " too often.",
                (
                    Query(
                        f"max by (target, outcome) (rearguard_target_disarmed{{{_TARGET}}} {_LEADS}) == 1"
                        f" or max by (target) (rearguard_target_given_up{{{_TARGET}}} {_LEADS}) == 1"
                    ),
                ),
                8,
                unit="none",
                links=(TARGET_PAGE_OF_ROW,),
                columns={"target": ("target", ""), "outcome": ("outcome", "")},
            ),
            Panel(
                "stat",
                "Observed releases",
                "Releases that were only observed: agreed (people rolled back, too), only_we and only_people.",
                (Query(f"sum by (result) (rearguard_observed_releases{{{_TARGET}}} {_LEADS})", "{{result}}"),),
                6,
                unit="none",
                steps=((None, "blue"),),
                show="value_and_name",
            ),
        ),
    ),
)


def board():
    """The file's content."""
    return dashboard(
        "rearguard-controller",
        "Rearguard / Controller",
        "The rollback controller: whether it can act, what it decided and why, what it did and how long that took.",
        [
            variable(
                "controller", "Controller", "label_values(rearguard_leader, job)", "Prometheus job of the controller"
            ),
            variable(
                "target",
                "Target",
                'label_values(rearguard_target_armed{job=~"$controller"}, target)',
                "Target of the rollback controller",
            ),
        ],
        (_NOW, _DECISIONS, _ROLLBACKS, *_TARGETS, *NEEDS),
        annotations=[
            annotation(
                "Rollbacks closed",
                "purple",
                f"sum by (target, outcome, trigger) (increase(rearguard_rollbacks_total{{{_TARGET}}}{_RATE})) > 0",
                "Rollback closed",
                "{{target}}: {{outcome}} ({{trigger}})",
            )
        ],
    )
