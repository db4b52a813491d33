"""The names of the checks that say whether a target could be rolled back: a closed set, as it is a metric label.

Here: the names; which of them every poll looks at, which only a drill, and which of them trust needs.
"""

from __future__ import annotations

CURRENT = "current"
DESTINATION = "destination"
DEPLOY = "deploy"
ROLLBACK_COMMAND = "rollback_command"
HOOKS = "hooks"
PROMETHEUS = "prometheus"
TRIGGER_RULES = "trigger_rules"
THRESHOLDS = "thresholds"
FIGURES = "figures"
SCRAPE_INTERVAL = "scrape_interval"
ONE_PROCESS = "one_process_per_address"
ALERTMANAGER = "alertmanager"
NOTIFY = "notify"
HEALTH = "health"
ROUTING = "routing"
JOURNAL = "journal"
POLL = "poll"
MATCH = "match"
SERVICE_VERSION = "service_version"
REPLICAS_AGREE = "replicas_agree"
CLOCK = "clock"


# The poll asks those that touch nothing; only a drill asks all of DRILL_CHECKS.
READY_CHECKS = (
    SCRAPE_INTERVAL,
    ONE_PROCESS,
    TRIGGER_RULES,
    THRESHOLDS,
    FIGURES,
    CURRENT,
    DESTINATION,
    DEPLOY,
    ROLLBACK_COMMAND,
    HOOKS,
    MATCH,
    SERVICE_VERSION,
    PROMETHEUS,
    REPLICAS_AGREE,
    CLOCK,
    POLL,
    ALERTMANAGER,
    NOTIFY,
)
# While one of these does not hold, nobody can see how the target is: no version of it earns trust or is adopted.
TRUST_CHECKS = (TRIGGER_RULES, THRESHOLDS, FIGURES, ONE_PROCESS)
# The same, but unknown is no failure: who pushes to a collector or gateway has no scrape of its own.
TRUST_UNLESS_FAILED = (SCRAPE_INTERVAL,)
DRILL_CHECKS = (
    CURRENT,
    DESTINATION,
    DEPLOY,
    ROLLBACK_COMMAND,
    HOOKS,
    HEALTH,
    PROMETHEUS,
    REPLICAS_AGREE,
    CLOCK,
    POLL,
    MATCH,
    SERVICE_VERSION,
    TRIGGER_RULES,
    THRESHOLDS,
    FIGURES,
    SCRAPE_INTERVAL,
    ONE_PROCESS,
    ALERTMANAGER,
    ROUTING,
    NOTIFY,
    JOURNAL,
)
