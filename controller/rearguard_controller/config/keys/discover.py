"""The keys of `discover`: targets that are found rather than listed.

Here: their types, defaults and meanings.
"""

from __future__ import annotations

from rearguard_controller.config.keys.section import REQUIRED, Key, Section

DISCOVER = Section(
    "discover[]",
    (
        Key(
            "kubernetes",
            "mapping",
            "this or `prometheus`",
            "Which workloads become targets, each named `namespace/name`.",
        ),
        Key(
            "prometheus",
            "mapping",
            "this or `kubernetes`",
            "Which services become targets: those that show `target_info`, each named by its `service_name`, or"
            " `environment/service_name` where there are several environments. One that is gone stays for a day.",
        ),
        Key("policy", "name of a policy", "the only one, if there is one", "When these targets may be rolled back."),
        Key("environment", "text", "the top level's", "Where they run."),
        Key(
            "match",
            "mapping of labels, or a list of such",
            '`{service_name: "{name}", deployment_environment_name: "{environment}"}`',
            "As of a target; values may hold `{namespace}`, `{name}` and `{environment}`. Of workloads only.",
        ),
        Key("hooks", "mapping", "none", "As of a target."),
        Key("verify", "mapping", "recovery only", "As of a target."),
    ),
)
DISCOVER_KUBERNETES = Section(
    "discover[].kubernetes",
    (
        Key("namespaces", "list of names", REQUIRED, "Where workloads are looked for."),
        Key("selector", "text", REQUIRED, "A label selector, as kubectl takes it: `rearguard.dev/watch=true`."),
        Key(
            "kinds",
            "list of `deployment`, `statefulset`, `daemonset`",
            "`[deployment]`",
            "Which kinds are looked at.",
        ),
        Key("prometheus", "name of a Prometheus", "that of `prometheus.url`", "As of a target."),
        Key("timeout", "duration", "`5m`", "As of `release.kubernetes`."),
        Key("owner", "`refuse`, `pause` or `ignore`", "`refuse`", "As of `release.kubernetes`."),
    ),
)
DISCOVER_PROMETHEUS = Section(
    "discover[].prometheus",
    (
        Key("environments", "list of texts", "the entry's `environment`", "Of whose services; the label's values."),
        Key(
            "command",
            "mapping",
            REQUIRED,
            "As of `release`; arguments may hold `{service}` and `{environment}`, too.",
        ),
    ),
)
