"""The families of the controller's own metrics: name, type, labels and help, each once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family as `/metrics` shows it; counters with their `_total`."""

    name: str
    type: str  # counter | gauge | histogram
    labels: tuple[str, ...]
    help: str


OWN_FAMILIES = (
    Family("rearguard_alerts_received_total", "counter", ("source",), "Alerts taken in, by where they came from."),
    Family("rearguard_decisions_total", "counter", ("target", "verdict"), "Decisions recorded."),
    Family(
        "rearguard_decision_reasons_total",
        "counter",
        ("target", "reason", "holds"),
        "Reasons of the recorded decisions; holds is true, false or unknown.",
    ),
    Family("rearguard_rollbacks_total", "counter", ("target", "outcome", "trigger"), "Rollbacks closed."),
    Family(
        "rearguard_rollback_in_progress",
        "gauge",
        ("target",),
        "1 while this process carries out a rollback of the target.",
    ),
    Family("rearguard_rollback_seconds", "histogram", ("target", "span"), "Time that each stretch of the way took."),
    Family("rearguard_step_seconds", "histogram", ("target", "step", "state"), "Time that ended steps took."),
    Family(
        "rearguard_target_armed",
        "gauge",
        ("target",),
        "1 while the target may be rolled back automatically; 0 where this process does not lead.",
    ),
    Family(
        "rearguard_target_disarmed",
        "gauge",
        ("target", "outcome"),
        "1 while a rollback that ended with this outcome leaves the target disarmed, and not a person; 0 where this"
        " process does not lead.",
    ),
    Family(
        "rearguard_target_given_up",
        "gauge",
        ("target",),
        "1 while no automatic rollback away from the version that serves is tried any more, because too many were"
        " interrupted; 0 where this process does not lead.",
    ),
    Family(
        "rearguard_target_ready",
        "gauge",
        ("target", "check"),
        "1 when the check holds; 0 also when unknown, or where this process does not lead; NaN for `replicas_agree`"
        " while a replica of Prometheus does not answer.",
    ),
    Family(
        "rearguard_target_version_info",
        "gauge",
        ("target", "version", "state"),
        "1 for the version that serves (serving), the newest trusted one (last_known_good), and one that serves"
        " although a rollback led away from it (bad).",
    ),
    Family(
        "rearguard_observed_releases",
        "gauge",
        ("target", "result"),
        "Releases that the controller only would have rolled back, or people did: agreed, only_we, only_people.",
    ),
    Family(
        "rearguard_watchdog_age_seconds", "gauge", (), "Seconds since the last RearguardWatchdog, or since start."
    ),
    Family(
        "rearguard_prometheus_age_seconds",
        "gauge",
        (),
        "Seconds since Prometheus last answered, or since start; of several the one that is silent longest.",
    ),
    Family(
        "rearguard_other_prometheus_age_seconds",
        "gauge",
        ("prometheus",),
        "Seconds since one of `prometheus.others` last answered, or since start.",
    ),
    Family(
        "rearguard_poll_seconds",
        "gauge",
        (),
        "Seconds that the last poll lasted, or the one that runs lasts.",
    ),
    Family(
        "rearguard_clock_skew_seconds",
        "gauge",
        (),
        "Seconds that Prometheus' clock is ahead of the controller's; NaN while it is not known.",
    ),
    Family("rearguard_config_reload_success", "gauge", (), "1 when the configuration was last read without error."),
    Family("rearguard_leader", "gauge", (), "1 while this process leads: judges, and carries rollbacks out."),
    Family(
        "rearguard_shard_leader",
        "gauge",
        ("shard",),
        "1 while this process leads this part of the targets; there is one, 0, unless `sharding` makes several.",
    ),
    Family("rearguard_journal_errors_total", "counter", (), "Reads and writes of the journal that failed."),
    Family(
        "rearguard_resource_shortages_total",
        "counter",
        ("resource",),
        "Commands and requests that could not begin, because the controller had none of this left; they are tried"
        " again.",
    ),
    Family(
        "rearguard_notifications_total",
        "counter",
        ("service", "result"),
        "Notices to the receivers of `notify`: sent, failed after all attempts, or dropped.",
    ),
    Family("rearguard_webhook_requests_total", "counter", ("code",), "Answers to Alertmanager, by HTTP status."),
)
PROCESS_FAMILIES = (
    Family("process_virtual_memory_bytes", "gauge", (), "Virtual memory size."),
    Family("process_resident_memory_bytes", "gauge", (), "Resident memory size."),
    Family("process_start_time_seconds", "gauge", (), "Start of the process, Unix time."),
    Family("process_cpu_seconds_total", "counter", (), "CPU time spent."),
    Family("process_open_fds", "gauge", (), "Open file descriptors."),
    Family("process_max_fds", "gauge", (), "Limit of open file descriptors."),
    Family("python_gc_objects_collected_total", "counter", ("generation",), "Objects collected."),
    Family("python_gc_objects_uncollectable_total", "counter", ("generation",), "Objects found uncollectable."),
    Family("python_gc_collections_total", "counter", ("generation",), "Collections run."),
    Family(
        "python_info",
        "gauge",
        ("implementation", "major", "minor", "patchlevel", "version"),
        "Version of Python.",
    ),
)
FAMILIES = OWN_FAMILIES + PROCESS_FAMILIES
