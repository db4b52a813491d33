"""The keys of a target: what can be rolled back, and how.

Here: their types, defaults and meanings; also those of hooks, and of the checks that a rollback helped.
"""

from __future__ import annotations

from rearguard_controller.config.keys.section import REQUIRED, Key, Section

TARGET = Section(
    "targets[]",
    (
        Key("name", "letters, digits, `.` `_` `-`", REQUIRED, "The target's name in commands, API and metrics."),
        Key(
            "match",
            "mapping of labels, or a list of such",
            REQUIRED,
            "An alert with all labels of any of these in Prometheus belongs to the target.",
        ),
        Key(
            "environment",
            "text",
            "label `deployment_environment_name` of `match`, else the top level's",
            "Where the target runs.",
        ),
        Key(
            "telemetry", "mapping of labels", "the first `match`", "Labels of the target's own instances and figures."
        ),
        Key(
            "depends_on",
            "list of targets' names",
            "none",
            "While one of them is in trouble or rolled back, its trouble is not blamed on this target's release.",
        ),
        Key("policy", "name of a policy", "the only one, if there is one", "When this target may be rolled back."),
        Key(
            "prometheus",
            "name of a Prometheus",
            "that of `prometheus.url`",
            "The one of `prometheus.others` that scrapes the target and evaluates its rules; it alone judges it.",
        ),
        Key("release", "mapping", REQUIRED, "How its version is read and changed."),
        Key("hooks", "mapping", "none", "What to do before and after the rollback."),
        Key("verify", "mapping", "recovery only", "How a rollback proves that it helped."),
    ),
)
RELEASE = Section(
    "targets[].release",
    (
        Key(
            "command",
            "mapping",
            "this or `kubernetes` or `prometheus`",
            "Versions are read and activated by commands.",
        ),
        Key(
            "kubernetes",
            "mapping",
            "this or `command` or `prometheus`",
            "Versions are the pod templates of a workload; it is rolled back by the controller itself.",
        ),
        Key(
            "prometheus",
            "mapping",
            "this or `command` or `kubernetes`",
            "Prometheus names the version that serves. Nothing can be put back, so only `mode: observe` is possible;"
            " `{}` is enough.",
        ),
    ),
)
KUBERNETES_RELEASE = Section(
    "targets[].release.kubernetes",
    (
        Key("namespace", "text", REQUIRED, "The workload's namespace."),
        Key("deployment", "text", "this or `statefulset` or `daemonset`", "Name of a Deployment."),
        Key("statefulset", "text", "this or `deployment` or `daemonset`", "Name of a StatefulSet."),
        Key("daemonset", "text", "this or `deployment` or `statefulset`", "Name of a DaemonSet."),
        Key(
            "timeout",
            "duration",
            "`5m`",
            "Limit of a rollback: until all pods have the old template and are available.",
        ),
        Key(
            "owner",
            "`refuse`, `pause` or `ignore`",
            "`refuse`",
            "What to do about Argo CD, Flux or another tool that would put the version back: no rollback; pause it"
            " first, and leave it paused; or go back all the same.",
        ),
    ),
)
PROMETHEUS_RELEASE = Section(
    "targets[].release.prometheus",
    (
        Key(
            "metric", "text", "`target_info`", "A metric with one series for each instance, labelled as `telemetry`."
        ),
        Key("label", "text", "`service_version`", "The label of that metric whose value is the version."),
    ),
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
        Key(
            "rollback",
            "argument list",
            "none in `mode: observe`, else required",
            "Activates `{to_version}`.",
        ),
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
        Key("command", "argument list", "this or `http` or `kubernetes`", "What to run, never through a shell."),
        Key("http", "mapping", "this or `command` or `kubernetes`", "What to request."),
        Key(
            "kubernetes",
            "mapping",
            "this or `command` or `http`",
            "Before hooks only: leads traffic away inside a cluster, and back again afterwards.",
        ),
        Key("timeout", "duration", "`5m` for commands, else `30s`", "When it counts as failed."),
        Key("on_failure", "`continue` or `stop`", "`continue`", "`stop` undoes what was begun and ends the attempt."),
        Key(
            "after_crash",
            "`never_redo` or `redo`",
            "`never_redo`",
            "What to do when a crash of the controller left its result unknown; `kubernetes` is always redone.",
        ),
        Key(
            "undo",
            "mapping",
            "none",
            "Before hooks only: runs whatever happens after the hook started; `kubernetes` has its own.",
        ),
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
DRAIN = Section(
    "targets[].hooks.before[].kubernetes",
    (
        Key(
            "service",
            "text",
            "this or `httproute`",
            "A Service whose selector is narrowed; `{name}`: the workload's.",
        ),
        Key("httproute", "text", "this or `service`", "An HTTPRoute whose backends get other weights; as `service`."),
        Key("namespace", "text", "the workload's", "Where that is; required where the release is a `command`."),
        Key(
            "selector",
            "mapping of text",
            "the pods of `{to_version}`",
            "With `service`: labels that a pod must have, too, to be sent requests; required where the release is a"
            " `command`. Values may hold placeholders.",
        ),
        Key(
            "least",
            "whole number from 1",
            "`1`",
            "With `service`: ready pods that must be left; with fewer nothing is changed and the hook has failed.",
        ),
        Key(
            "weights",
            "mapping of weights",
            "none",
            "With `httproute`: backend to weight, from 0 to 1000000, in each rule that names the backend.",
        ),
        Key(
            "restore",
            "`always` or `healthy`",
            "`always`",
            "`healthy`: leave it drained if the health check failed.",
        ),
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
