"""Every key of the configuration file, once: its type, default and meaning.

Here: the one table that the reader checks keys against and the documentation is made from, and the keys and values
of the contract that this version does not build yet.
Never here: reading or checking values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what a user may write there, what holds without it, and what it does."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Section:
    """The keys of one kind of mapping, and where in the file it stands."""

    where: str
    keys: tuple[Key, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys' names in the order of the documentation."""
        return tuple(key.name for key in self.keys)


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
        Key("open", "list of `metrics`, `openapi`", "`[]`", "Endpoints that are readable without a token."),
        Key(
            "tls_config_file",
            "path",
            "none",
            "Serve HTTPS as this web configuration file of Prometheus' exporter-toolkit says.",
        ),
        Key("limits", "mapping", "as below", "What the HTTP interface takes at most."),
        Key("prometheus", "mapping", REQUIRED, "The Prometheus that the alerts come from."),
        Key(
            "alertmanager",
            "mapping",
            "none",
            "The Alertmanager whose silences and inhibitions count: such an alert never rolls back.",
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
        Key("notify", "list", "none", "Who is told of alerts, decisions and rollbacks, by webhook."),
        Key("policies", "mapping of name to policy", "one named `default`", "When targets may be rolled back."),
        Key("targets", "list", REQUIRED, "What can be rolled back, and how; names are unique."),
    ),
)
PROMETHEUS = Section(
    "prometheus",
    (
        Key("url", "URL or list of URLs", REQUIRED, "Base address; of several, the first that answers is used."),
        Key(
            "poll_interval", "duration", "`15s`", "How often alerts are read, so that a lost webhook changes nothing."
        ),
        Key("token_file", "path", "none", "File with a bearer token, read again at each use."),
        Key("ca_file", "path", "none", "Certificates (PEM) that Prometheus' certificate must lead to."),
    ),
)
ALERTMANAGER = Section(
    "alertmanager",
    (
        Key("url", "URL or list of URLs", REQUIRED, "Base address; of several, the first that answers is used."),
        Key("token_file", "path", "none", "File with a bearer token, read again at each use."),
        Key("ca_file", "path", "none", "Certificates (PEM) that Alertmanager's certificate must lead to."),
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
            "Open connections; beyond, those that have been idle longest are closed.",
        ),
        Key("body_timeout", "duration", "`30s`", "For the whole body of a request; beyond, 408."),
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
        Key("url", "URL", "this or `url_file`", "Where notices are posted; any 2xx answer is success."),
        Key("url_file", "path", "this or `url`", "File with that address, read again at each use: for secret ones."),
        Key(
            "events",
            "list of `alert`, `decided`, `started`, `finished`, `undo_failing`, `bad_version`",
            "all but `alert`",
            "Of what; `alert` is every alert that Alertmanager delivers, also those that roll nothing back, but no"
            " drill's; `undo_failing` is an undo hook that has failed three times and is tried again;"
            " `bad_version` is the return of a version that was rolled away from, once each time.",
        ),
        Key("headers_file", "path", "none", "Request headers, lines `Name: value`, read at each use: for secrets."),
        Key("timeout", "duration", "`10s`", "When one attempt counts as failed."),
    ),
)
POLICY = Section(
    "policies.NAME",
    (
        Key(
            "mode",
            "`observe`, `ask` or `act`",
            "`observe`",
            "`observe` records what it would do, and `rearguard status` scores it against what people do by hand;"
            " `ask` does it when a person approves; `act` does it.",
        ),
        Key("approval", "mapping", "within `30m`", "How long a rollback waits for a person's approval."),
        Key(
            "act_outside_production",
            "true or false",
            "the top level's",
            "Without it, development and staging observe, whatever the mode.",
        ),
        Key("alerts", "mapping of labels", "`{action: rollback}`", "Labels that make an alert a trigger."),
        Key("watch_window", "duration", "`2h`", "How long after a release an alert may be blamed on it."),
        Key(
            "known_good_after",
            "duration",
            "`15m`",
            "How long a version must serve, scraped without a break, with healthy trigger rules and no trigger alert,"
            " to be known good; on day one Prometheus' history counts.",
        ),
        Key(
            "veto",
            "duration",
            "`0s`",
            "Mode `act` only: how long a person can stop a rollback before it is begun.",
        ),
        Key("cooldown", "duration", "`5m`", "Least time between two automatic rollbacks of a target."),
        Key("budget", "mapping", "3 in `24h`", "Most automatic rollbacks of a target in a time."),
    ),
)
APPROVAL = Section(
    "policies.NAME.approval",
    (Key("within", "duration", "`30m`", "After that it is not begun any more, and closes as `expired`."),),
)
BUDGET = Section(
    "policies.NAME.budget",
    (
        Key("rollbacks", "whole number from 1", "`3`", "How many."),
        Key("per", "duration", "`24h`", "In how long."),
    ),
)
TARGET = Section(
    "targets[]",
    (
        Key("name", "letters, digits, `.` `_` `-`", REQUIRED, "The target's name in commands, API and metrics."),
        Key(
            "match",
            "mapping of labels, or a list of such",
            REQUIRED,
            "An alert with all labels of any of these belongs to the target.",
        ),
        Key(
            "environment",
            "text",
            "label `deployment_environment_name` of `match`, else the top level's",
            "Where the target runs.",
        ),
        Key("telemetry", "mapping of labels", "the first `match`", "Selector of the target's own figures."),
        Key(
            "depends_on",
            "list of targets' names",
            "none",
            "While one of them is in trouble or rolled back, its trouble is not blamed on this target's release.",
        ),
        Key("policy", "name of a policy", "the only one, if there is one", "When this target may be rolled back."),
        Key("release", "mapping", REQUIRED, "How its version is read and changed."),
        Key("hooks", "mapping", "none", "What to do before and after the rollback."),
        Key("verify", "mapping", "recovery only", "How a rollback proves that it helped."),
    ),
)
RELEASE = Section(
    "targets[].release",
    (Key("command", "mapping", REQUIRED, "Versions are read and activated by commands."),),
)
COMMAND_RELEASE = Section(
    "targets[].release.command",
    (
        Key(
            "current",
            "argument list",
            REQUIRED,
            "Prints the version that serves, on one line; also while the service is down, or nothing can be judged.",
        ),
        Key("rollback", "argument list", REQUIRED, "Activates `{to_version}`."),
        Key(
            "versions",
            "argument list",
            "none",
            "Prints the versions that can be activated, newest first; asked every few minutes, too.",
        ),
        Key(
            "check",
            "argument list",
            "none",
            "Succeeds when `{to_version}` can be activated, and changes nothing: asked before anything is begun (else"
            " the next is taken), by drills, and every few minutes.",
        ),
        Key("timeout", "duration", "`5m`", "Limit of `rollback`; the others get the same, but 30 s at most."),
        Key("cwd", "path", "folder of the configuration file", "Working folder of these commands."),
        Key("env", "mapping of text", "none", "Variables added to their otherwise clean environment."),
        Key("pass_env", "list of names", "none", "Variables of the controller that they get, too."),
    ),
)
HOOKS = Section(
    "targets[].hooks",
    (
        Key("before", "list of hooks", "none", "Run in order before the rollback."),
        Key("after", "list of hooks", "none", "Run in order after it, once the target is healthy."),
    ),
)
HOOK = Section(
    "targets[].hooks.before[] and .after[]",
    (
        Key("name", "letters, digits, `.` `_` `-`", REQUIRED, "The step's name, of its own within the target."),
        Key("command", "argument list", "this or `http`", "What to run, never through a shell."),
        Key("http", "mapping", "this or `command`", "What to request."),
        Key("timeout", "duration", "`5m` for commands, `30s` for requests", "When it counts as failed."),
        Key("on_failure", "`continue` or `stop`", "`continue`", "`stop` undoes what was begun and ends the attempt."),
        Key(
            "after_crash",
            "`never_redo` or `redo`",
            "`never_redo`",
            "What to do when a crash of the controller left its result unknown.",
        ),
        Key("undo", "mapping", "none", "Before hooks only: runs whatever happens after the hook started."),
        Key(
            "check",
            "mapping",
            "none",
            "Harmless; run by drills to prove that the hook would work. Without it a drill looks whether the program"
            " is there, or the address can be connected to.",
        ),
        Key("before_restore", "true or false", "`false`", "After hooks only: run before the undo hooks."),
        Key("cwd", "path", "folder of the configuration file", "Commands only: the working folder."),
        Key("env", "mapping of text", "none", "Commands only: variables added to the clean environment."),
        Key("pass_env", "list of names", "none", "Commands only: variables of the controller to hand on."),
    ),
)
UNDO = Section(
    "targets[].hooks.before[].undo",
    (
        Key("command", "argument list", "this or `http`", "What to run."),
        Key("http", "mapping", "this or `command`", "What to request."),
        Key("timeout", "duration", "`5m` for commands, `30s` for requests", "When an attempt counts as failed."),
        Key("when", "`always` or `healthy`", "`always`", "`healthy`: leave undone if the health check failed."),
        Key("cwd", "path", "the hook's", "Commands only: the working folder."),
        Key("env", "mapping of text", "the hook's", "Commands only: variables added to the clean environment."),
        Key("pass_env", "list of names", "the hook's", "Commands only: variables of the controller to hand on."),
    ),
)
CHECK = Section(
    "targets[].hooks.before[].check and .after[].check",
    (
        Key("command", "argument list", "this or `http`", "What to run."),
        Key("http", "mapping", "this or `command`", "What to request; `method` is `POST` unless it says otherwise."),
        Key("timeout", "duration", "`30s`", "When it counts as failed; 30 s at most."),
        Key("cwd", "path", "the hook's", "Commands only: the working folder."),
        Key("env", "mapping of text", "the hook's", "Commands only: variables added to the clean environment."),
        Key("pass_env", "list of names", "the hook's", "Commands only: variables of the controller to hand on."),
    ),
)
HTTP = Section(
    "http of a hook, undo or check",
    (
        Key(
            "method",
            "`GET` `POST` `PUT` `PATCH` `DELETE` `HEAD`",
            "`POST`",
            "Request method; of a `check` `GET` (its default) or `HEAD`.",
        ),
        Key("url", "URL", REQUIRED, "Where to; any 2xx answer is success."),
        Key("headers", "mapping of text", "none", "Request headers."),
        Key("headers_file", "path", "none", "More headers, lines `Name: value`, read at each use: for secrets."),
        Key("body", "text", "none", "Request body, sent as it stands."),
    ),
)
VERIFY = Section(
    "targets[].verify",
    (
        Key("health", "mapping", "none", "An address that must answer 2xx after the rollback."),
        Key("recovery", "mapping", "within `5m`", "The triggering condition must be over, by Prometheus."),
    ),
)
HEALTH = Section(
    "targets[].verify.health",
    (
        Key("url", "URL", REQUIRED, "The address."),
        Key("successes", "whole number from 1", "`3`", "Consecutive 2xx answers that count as healthy."),
        Key("interval", "duration", "`2s`", "Time between two requests."),
        Key("timeout", "duration", "`2m`", "When the target counts as not healthy."),
    ),
)
RECOVERY = Section(
    "targets[].verify.recovery",
    (Key("within", "duration", "`5m`", "Counted from when the figures no longer reach back before the rollback."),),
)

WEB = Section(
    "the file of tls_config_file",
    (Key("tls_server_config", "mapping", REQUIRED, "The only part of that file that is used."),),
)
TLS_SERVER = Section(
    "tls_server_config",
    (
        Key("cert_file", "path", REQUIRED, "The server's certificate and those below its root (PEM)."),
        Key("key_file", "path", REQUIRED, "Its private key (PEM), not encrypted."),
        Key(
            "client_auth_type",
            "`NoClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`",
            "`NoClientCert`",
            "Whether clients show a certificate; one that is shown is always verified.",
        ),
        Key("client_ca_file", "path", "none", "Certificates (PEM) that clients' certificates must lead to."),
        Key(
            "client_allowed_sans",
            "list of names",
            "any",
            "DNS names, addresses, mail addresses or URIs; a client's certificate must carry one of them.",
        ),
        Key("min_version", "`TLS12` or `TLS13`", "`TLS12`", "Oldest version that is spoken."),
        Key("max_version", "`TLS12` or `TLS13`", "`TLS13`", "Newest version that is spoken."),
        Key("cipher_suites", "list of Go's names", "OpenSSL's", "Suites of TLS 1.2; those of 1.3 are always on."),
        Key("prefer_server_cipher_suites", "true or false", "`true`", "The server's order of suites counts."),
    ),
)

SECTIONS = (
    TOP,
    PROMETHEUS,
    ALERTMANAGER,
    STORM,
    TOKENS,
    LIMITS,
    NOTIFY,
    POLICY,
    APPROVAL,
    BUDGET,
    TARGET,
    RELEASE,
    COMMAND_RELEASE,
    HOOKS,
    HOOK,
    UNDO,
    CHECK,
    HTTP,
    VERIFY,
    HEALTH,
    RECOVERY,
    WEB,
    TLS_SERVER,
)

# Keys and values of the contract that are not built yet: refused, never silently accepted.
NOT_IN_THIS_VERSION = frozenset(
    {
        ("top level", "external_url"),
        ("targets[].release", "kubernetes"),
    }
)
OPEN_NOT_IN_THIS_VERSION = ("page",)


def tables() -> str:
    """The reference part of the documentation: one Markdown table per section."""
    return "\n".join(_table(section) for section in SECTIONS)


def _table(section: Section) -> str:
    return "\n".join(_lines(section)) + "\n"


def _lines(section: Section) -> Iterator[str]:
    yield f"### {section.where}"
    yield ""
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key in section.keys:
        yield f"| `{key.name}` | {key.type} | {key.default} | {key.meaning} |"
