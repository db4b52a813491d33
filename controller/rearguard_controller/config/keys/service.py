"""The keys of the controller itself: the top level, whom it asks and tells, and what it takes at most.

Here: their types, defaults and meanings.
"""

from __future__ import annotations

from rearguard_controller.config.keys import http_config
from rearguard_controller.config.keys.section import REQUIRED, Key, Section

TOP = Section(
    "top level",
    (
        Key("environment", "text", "none", "Environment of targets that name none themselves and match none."),
        Key(
            "act_outside_production",
            "true or false",
            "`false`",
            "Default of the key of the same name in policies.",
        ),
        Key(
            "journal",
            "`sqlite:///absolute/path.db` or `postgresql://user@host/database`",
            REQUIRED,
            "Where decisions and rollbacks are kept; several replicas share one in PostgreSQL.",
        ),
        Key(
            "listen", "`host:port`", "`127.0.0.1:9465`", "Where the HTTP interface listens; port 0 takes a free one."
        ),
        Key("open", "list of `metrics`, `openapi`, `page`", "`[]`", "Endpoints that are readable without a token."),
        Key("page", "mapping", "as below", "Who is let in to the page by an authenticating proxy, and its links."),
        Key(
            "tls_config_file",
            "path",
            "none",
            "Serve HTTPS as this web configuration file of Prometheus' exporter-toolkit says.",
        ),
        Key(
            "sharding",
            "mapping",
            "as below",
            "How replicas that share a journal in PostgreSQL share the targets; fixed for the life of a process.",
        ),
        Key("limits", "mapping", "as below", "What the HTTP interface takes at most."),
        Key(
            "target_metrics",
            "`full` or `brief`",
            "`full`; `brief` beyond 100 targets",
            "How much `/metrics` tells of each target: every series from the start, or what alerts count from 0 and"
            " what is not as it should be.",
        ),
        Key("prometheus", "mapping", REQUIRED, "The Prometheus that the alerts come from."),
        Key(
            "alertmanager",
            "mapping",
            "none",
            "The Alertmanager whose silences and inhibitions count: such an alert never rolls back.",
        ),
        Key(
            "kubernetes",
            "mapping",
            "the cluster in which the controller runs",
            "The cluster whose workloads are targets; read only if a target has `release.kubernetes`.",
        ),
        Key(
            "storm", "mapping", "as below", "When many targets are in trouble at once, nothing is done automatically."
        ),
        Key(
            "retention",
            "duration",
            "`400d`",
            "How long closed rollbacks and decisions are kept; no shorter than any `cooldown` or `budget.per`.",
        ),
        Key("tokens", "mapping", "none", "Files with the tokens of each role; without any, see `--insecure`."),
        Key("notify", "list", "none", "Who is told of alerts, decisions and rollbacks."),
        Key("notice_templates", "path", "none", "Folder with other words for notices: `finished.j2` and so on."),
        Key("slack", "mapping", "none", "Buttons of Slack by which people approve and veto."),
        Key("external_url", "URL", "none", "Where people reach this controller: for the links in notices."),
        Key("policies", "mapping of name to policy", "one named `default`", "When targets may be rolled back."),
        Key(
            "targets",
            "list",
            "required without `discover`",
            "What can be rolled back, and how; names are unique.",
        ),
        Key(
            "discover",
            "list",
            "none",
            "Workloads of Kubernetes that are targets while they carry a label; they come and go without a reload.",
        ),
    ),
)
PROMETHEUS = Section(
    "prometheus",
    (
        Key(
            "url",
            "URL or list of URLs",
            REQUIRED,
            "Base address, with its path prefix if there is one; of several replicas, all are asked.",
        ),
        Key(
            "poll_interval", "duration", "`15s`", "How often alerts are read, so that a lost webhook changes nothing."
        ),
        Key(
            "others",
            "mapping of name to Prometheus",
            "none",
            "Further ones, each with targets of its own, such as one a region; see `prometheus` of a target.",
        ),
        *http_config.KEYS,
    ),
)
OTHER_PROMETHEUS = Section(
    "prometheus.others.NAME",
    (
        Key("url", "URL or list of URLs", REQUIRED, "As of `prometheus`."),
        *http_config.KEYS,
    ),
)
ALERTMANAGER = Section(
    "alertmanager",
    (
        Key(
            "url",
            "URL or list of URLs",
            REQUIRED,
            "Base address, with its path prefix if there is one; of several, the first that answers is used.",
        ),
        *http_config.KEYS,
    ),
)
KUBERNETES = Section(
    "kubernetes",
    (
        Key("kubeconfig", "path", "the service account of the pod", "A kubeconfig file, for a controller elsewhere."),
        Key("context", "text", "the file's `current-context`", "Which of its contexts counts."),
        Key("argocd_namespace", "text", "`argocd`", "Where Argo CD runs, if it owns workloads."),
    ),
)
STORM = Section(
    "storm",
    (
        Key("targets", "whole number from 1", "`3`", "More targets than this with trigger alerts are a storm."),
        Key(
            "within", "duration", "`5m`", "How long a target counts after a trigger alert of it was last seen firing."
        ),
    ),
)
SHARDING = Section(
    "sharding",
    (
        Key(
            "shards",
            "whole number from 1 to 64",
            "`1`",
            "Parts of the targets, each led by one replica; the same number for all. 1: one leads all targets.",
        ),
    ),
)
TOKENS = Section(
    "tokens",
    (
        Key("sender", "path", "none", "Tokens that may deliver alerts (Alertmanager)."),
        Key("viewer", "path", "none", "Tokens that may read."),
        Key(
            "operator", "path", "none", "Tokens that may read, trigger, approve, veto, abort, close, arm and disarm."
        ),
    ),
)
PAGE = Section(
    "page",
    (
        Key(
            "user_header",
            "text",
            "none",
            "Header in which an authenticating proxy names the user: `X-Forwarded-User`; needs `trusted_from`.",
        ),
        Key(
            "trusted_from",
            "list of addresses or networks",
            "`[]`",
            "The proxy's own addresses, such as `10.0.0.7` or `10.0.0.0/24`; from others the header does not count.",
        ),
        Key("operators", "list of names", "`[]`", "Users of the proxy who may act; the others read."),
        Key("session", "duration", "`8h`", "How long a login by token lasts."),
        Key("prometheus_url", "URL", "the first of `prometheus.url`", "Where browsers reach Prometheus, for links."),
    ),
)
LIMITS = Section(
    "limits",
    (
        Key(
            "waiting_alerts",
            "whole number from 1",
            "`50000`",
            "Accepted alerts that may wait to be judged; beyond, deliveries are answered 503 and come again.",
        ),
        Key(
            "triggers_per_minute",
            "whole number from 1",
            "`10`",
            "Manual triggers of one operator in a minute; beyond, 429. Deliveries have no such limit.",
        ),
        Key(
            "connections",
            "whole number from 1",
            "`512`",
            "Open connections, and at most half of the file descriptors; beyond, the idlest of the address that"
            " has the most is closed for a new one.",
        ),
        Key(
            "body_timeout",
            "duration",
            "`30s`",
            "For the whole body of a request; beyond, or below 16 KiB a second, 408.",
        ),
        Key(
            "idle_timeout",
            "duration",
            "`75s`",
            "For the headers of a request, and between two requests of a connection; beyond, it is closed.",
        ),
    ),
)
NOTIFY = Section(
    "notify[]",
    (
        Key("name", "letters, digits, `.` `_` `-`", "the address's host", "The entry's name in metrics and logs."),
        Key(
            "kind",
            "`webhook`, `slack`, `pagerduty`, `opsgenie`, `teams`, `discord`, `sentry`, `datadog`, `grafana` or"
            " `apprise`",
            "as the address says",
            "The service, whose wire format is used; docs/notices.md tells what each of them needs and shows.",
        ),
        Key("url", "URL", "`url_file`, or the service's own", "Where notices are posted."),
        Key("url_file", "path", "`url`", "File with that address, read again at each use: for secret ones."),
        Key(
            "token_file",
            "path",
            "none",
            "File with the key or token that the service asks for, read again at each use.",
        ),
        Key("channel", "text", "none", "With a bot of Slack: the id of the channel."),
        Key("organization", "text", "none", "With Sentry and `token_file`: whose releases are marked as deployed."),
        Key(
            "events",
            "list of `alert`, `decided`, `started`, `finished`, `undo_failing`, `bad_version`, `heartbeat_lost`,"
            " `heartbeat_back`",
            "all but `alert`",
            "Of what; `alert` is every alert that Alertmanager delivers, also those that roll nothing back, but no"
            " drill's; `undo_failing` is an undo hook that has failed three times and is tried again;"
            " `bad_version` is the return of a version that was rolled away from, once each time;"
            " `heartbeat_lost` is Alertmanager's heartbeat that has not come for 5 minutes.",
        ),
        Key("headers_file", "path", "none", "Request headers, lines `Name: value`, read at each use: for secrets."),
        Key("timeout", "duration", "`10s`", "When one attempt counts as failed."),
    ),
)
SLACK = Section(
    "slack",
    (
        Key(
            "signing_secret_file",
            "path",
            REQUIRED,
            "File with the signing secret of the app, read again at each use.",
        ),
        Key(
            "operators",
            "mapping of text",
            REQUIRED,
            "Who may press buttons: ids of Slack's users (`U0123456789`) to the names that the audit shows.",
        ),
    ),
)
