"""Each warning of the log that is about a target names it, so that status, page and API say it, too.

The events are read from the code: a new one that names no target has to say here whom it is about.
"""

import ast

from check.documents import ROOT

CONTROLLER = ROOT / "controller/rearguard_controller"
LEVELS = ("warning", "error", "critical", "exception")
ABOUT = {"target", "targets", "workload"}
JOURNAL = "the journal, whose faults status tells for all targets"
PEOPLE = "somebody who may not do this, or hears of it another way"
HOST = "this process or its host"
PROMETHEUS = "Prometheus: the check `prometheus` of each target tells it"
CLUSTER = "the cluster: the check `current` of each of its targets tells it"
RECEIVER = "a receiver of notices, or the words for it"
FILES = "files of the controller"
OF_NO_TARGET = {
    "command_still_runs": HOST,
    "short_of_resources": HOST,
    "part_failed": HOST,
    "leading_no_more": HOST,
    "connections_wait": HOST,
    "answer_unreadable": "any source that is asked",
    "prometheus_replica_away": PROMETHEUS,
    "prometheus_lists_slow": PROMETHEUS,
    "prometheus_lists_unread": PROMETHEUS,
    "prometheus_away": PROMETHEUS,
    "poll_failed": PROMETHEUS,
    "alertmanager_away": "Alertmanager: the check `alertmanager` of each target tells it",
    "watch_broken": CLUSTER,
    "watch_broke": CLUSTER,
    "object_unreadable": CLUSTER,
    "cluster_not_looked_at": CLUSTER,
    "not_discovered": CLUSTER,
    "services_not_discovered": PROMETHEUS,
    "services_in_several": "services that several Prometheus show: `check --live` tells it",
    "notify_file_unreadable": RECEIVER,
    "notices_dropped": RECEIVER,
    "notice_template_failed": RECEIVER,
    "notice_template_not_used": RECEIVER,
    "threads_not_kept": RECEIVER,
    "threads_not_known": RECEIVER,
    "request_failed": PEOPLE,
    "slack_not_answered": PEOPLE,
    "slack_user_refused": PEOPLE,
    "slack_secret_unreadable": FILES,
    "secret_file_not_safe": FILES,
    "token_file_unreadable": FILES,
    "token_file_not_seen": FILES,
    "tls_files_unusable": FILES,
    "not_reloaded": "the configuration: `warnings` of status tells it",
    "delivery_refused": "a sender: `warnings` of status tells it",
    "alerts_refused": "alerts whose time is out of bounds: their sender is answered so",
    "alert_without_target": "an alert of no target: `warnings` of status tells it",
    "events_not_read": JOURNAL,
    "record_not_shown": JOURNAL,
    "journal_failed": JOURNAL,
    "journal_unreadable": JOURNAL,
    "inbox_unreadable": JOURNAL,
    "heartbeat_not_exchanged": JOURNAL,
    "decisions_not_together": "several alerts: each is told by itself next",
    "hung_sessions_not_ended": JOURNAL,
    "waiting_for_another_process_to_migrate": JOURNAL,
    "hung_migration_ended": JOURNAL,
    "record_not_changed": JOURNAL,
    "record_set_aside": JOURNAL,
    "journal_saved": JOURNAL,
    "journal_not_saved": JOURNAL,
    "journal_back": JOURNAL,
    "journal_written_by_another": JOURNAL,
    "journal_harmed": JOURNAL,
    "folder_tightened": JOURNAL,
    "folder_open_to_others": JOURNAL,
    "journal_copy_failed": JOURNAL,
    "disk_full": JOURNAL,
    "lease_not_taken": JOURNAL,
    "lease_not_renewed": JOURNAL,
    "not_pruned": JOURNAL,
    "replicas_not_known": JOURNAL,
}


def events():
    """Each event of a warning or an error, and whether the line names a target, from the code."""
    for path in sorted(CONTROLLER.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            of = ast.unparse(call.func.value)
            if (of in ("log", "self._log") and call.func.attr in LEVELS) or (
                of.endswith("_faults") and call.func.attr == "note"
            ):
                fields = {each.arg for each in call.keywords}
                for name in ast.walk(call.args[0]):
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        yield name.value, bool(fields & ABOUT), f"{path.relative_to(CONTROLLER)}:{call.lineno}"


def test_each_warning_names_its_target_or_says_here_whom_it_is_about():
    found = list(events())
    assert len({name for name, _, _ in found}) > 80
    unnamed = {f"{name} ({where})" for name, named, where in found if not named and name not in OF_NO_TARGET}
    assert unnamed == set()


def test_nothing_stands_here_that_is_no_warning_of_the_code():
    assert OF_NO_TARGET.keys() - {name for name, named, _ in events() if not named} == set()
