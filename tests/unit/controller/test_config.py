"""The configuration says what it means, or one error names file, line, key and what would be right."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rearguard_controller import config
from rearguard_controller.adapters.actions import context as filling
from rearguard_controller.config import hooks
from rearguard_controller.config.http_config import HttpConfig, TlsConfig
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import (
    AfterCrash,
    Caution,
    CommandAction,
    HttpAction,
    KubernetesRelease,
    Mode,
    NoticeEvent,
    OnFailure,
    PrometheusRelease,
    StormLimit,
    WorkloadKind,
)
from rearguard_controller.rollback.plan import PAUSE_OWNER, plan
from unit.controller.factories import condition

FOLDER = Path("/etc/rearguard")
ROOT = Path(__file__).resolve().parents[3]

FULL = """\
environment: production
journal: sqlite:///var/lib/rearguard/journal.db
listen: 0.0.0.0:9465
open: [metrics, openapi]
prometheus: {url: http://prometheus:9090/, poll_interval: 5s, token_file: prom.token, ca_file: /etc/ca.pem}
retention: 30d
tokens:
  sender: tokens/sender
  viewer: tokens/viewer
  operator: /run/secrets/operator
policies:
  standard:
    mode: act
    alerts: {action: rollback, team: shop}
    watch_window: 1h
    known_good_after: 30s
    approval: {within: 10m}
    veto: 2m
    cooldown: 0s
    budget: {rollbacks: 2, per: 12h}
    act_outside_production: true
  careful: {}
targets:
  - name: checkout
    match: {service_name: checkout, deployment_environment_name: staging}
    policy: standard
    telemetry: {job: checkout}
    release:
      command:
        current: [./release, current]
        versions: [./release, list]
        rollback: [./release, activate, "{to_version}"]
        check: [./release, check, "{to_version}"]
        timeout: 10m
        cwd: shop
        env: {SHOP: "1"}
        pass_env: [KUBECONFIG]
    hooks:
      before:
        - {name: save-state, http: {url: "http://checkout:8080/admin/snapshot"}, timeout: 10s, on_failure: continue}
        - name: drain
          command: [./traffic, drain, "{target}"]
          cwd: traffic
          undo: {command: [./traffic, restore, "{target}"], when: healthy, timeout: 20s}
          timeout: 30s
          on_failure: stop
          after_crash: redo
      after:
        - name: clear-cache
          http: {method: PUT, url: "http://checkout:8080/x", headers: {X-A: b}, headers_file: h, body: "{}"}
          before_restore: true
    verify:
      health: {url: "http://checkout:8080/healthz", successes: 5, interval: 1s, timeout: 1m}
      recovery: {within: 3m}
  - name: payments
    match: [{service_name: payments}, {app: pay}]
    policy: careful
    release: {command: {current: [cat, version], rollback: [deploy, "{to_version}"]}}
"""

SMALL = """\
environment: production
journal: sqlite:///tmp/j.db
prometheus: {url: http://p:9090}
targets:
  - name: checkout
    match: {service_name: checkout}
    release: {command: {current: [cat, v], rollback: [deploy, "{to_version}"]}}
"""


def parse(text: str) -> config.Configuration:
    return config.parse(text, file="rearguard.yaml", folder=FOLDER)


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


OBSERVED = "{prometheus: {}}"


def test_a_release_by_prometheus_needs_no_command_and_reads_the_version_of_the_own_instances():
    (it,) = parse(changed(COMMAND, OBSERVED)).targets
    assert it.release == PrometheusRelease({"service_name": "checkout"}, "target_info", "service_version")
    named = "{prometheus: {metric: build_info, label: version}}\n    telemetry: {job: checkout}"
    (it,) = parse(changed(COMMAND, named)).targets
    assert it.release == PrometheusRelease({"job": "checkout"}, "build_info", "version")


@pytest.mark.parametrize("release", [OBSERVED, "{command: {current: [cat, v]}}"])
@pytest.mark.parametrize("mode", ["ask", "act"])
def test_whoever_may_roll_back_must_say_how(release, mode):
    text = changed(COMMAND, release) + f"policies: {{standard: {{mode: {mode}}}}}\n"
    assert not parse(text.replace(mode, "observe")).targets[0].release.changes
    error = refused(text)
    assert re.match(r"rearguard\.yaml:7: targets\[0\]\.release: a release .* can only be observed", error.message)
    assert f"the mode of policy standard is {mode}" in error.message
    assert 'rollback: [..., "{to_version}"]' in error.message
    assert "set `mode: observe`" in error.message


@pytest.mark.parametrize("keys", ["metric: 'a b'", "label: '1a'", "metric: 'target_info{}'"])
def test_a_release_by_prometheus_names_a_metric_and_a_label(keys):
    assert "is not the name of a" in refused(changed(COMMAND, f"{{prometheus: {{{keys}}}}}")).message


def workload(keys):
    return f"{{kubernetes: {{{keys}}}}}"


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgres://u@h:5433/db", "postgresql://u@h:5433/db"),
        (
            "postgresql://u@a,b/db?passfile=/etc/p&sslmode=require",
            "postgresql://u@a,b/db?passfile=/etc/p&sslmode=require",
        ),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("sqlite:////var/lib/j.db", "/var/lib/j.db"),
    ],
)
def test_a_journal_is_a_file_or_a_database(written, meant):
    assert parse(changed("sqlite:///tmp/j.db", written)).journal == meant


@pytest.mark.parametrize("written", ["postgresql://u:secret@h/db", "postgresql://u@h/db?password=secret"])
def test_a_password_in_the_journals_url_is_refused_and_not_repeated(written):
    with pytest.raises(ConfigError) as caught:
        parse(changed("sqlite:///tmp/j.db", written))
    assert "secret" not in caught.value.message + caught.value.hint


IN_POSTGRES = "journal: postgresql://rearguard@db/rearguard"


def test_one_replica_leads_all_targets_unless_replicas_share_them():
    in_postgres = changed("journal: sqlite:///tmp/j.db", IN_POSTGRES)
    assert [parse(text).shards for text in (SMALL, in_postgres)] == [1, 1]
    assert parse(f"{in_postgres}sharding: {{shards: 64}}\n").shards == 64
    assert parse(f"{SMALL}sharding: {{shards: 1}}\n").shards == 1


@pytest.mark.parametrize(
    ("journal", "shards", "right"),
    [
        ("journal: sqlite:///tmp/j.db", 4, "SQLite has one leader for all targets; 1, or a journal in PostgreSQL"),
        (IN_POSTGRES, 65, "at most 64"),
        (IN_POSTGRES, 0, "it must be a whole number from 1"),
    ],
)
def test_a_number_of_shards_that_cannot_be_is_refused(journal, shards, right):
    text = changed("journal: sqlite:///tmp/j.db", journal) + f"sharding: {{shards: {shards}}}\n"
    error = refused(text)
    assert right in error.message
    assert "sharding.shards" in error.message


def test_the_whole_file_means_what_it_says():
    given_config = parse(FULL)
    assert given_config.environment == "production"
    assert given_config.journal == "/var/lib/rearguard/journal.db"
    assert given_config.listen == ("0.0.0.0", 9465)
    assert given_config.open == frozenset({"metrics", "openapi"})
    assert given_config.retention == 30 * 86_400
    assert given_config.prometheus == config.PrometheusSettings(
        urls=("http://prometheus:9090",),
        poll_interval=5.0,
        http=HttpConfig(FOLDER / "prom.token", tls=TlsConfig(Path("/etc/ca.pem"))),
    )
    assert given_config.tokens == {
        "sender": FOLDER / "tokens/sender",
        "viewer": FOLDER / "tokens/viewer",
        "operator": Path("/run/secrets/operator"),
    }


def test_a_policy_means_what_it_says():
    policy = parse(FULL).policies["standard"]
    assert (policy.name, policy.mode, policy.act_outside_production) == ("standard", Mode.ACT, True)
    assert policy.alerts == {"action": "rollback", "team": "shop"}
    assert (policy.watch_window, policy.known_good_after, policy.cooldown) == (3_600.0, 30.0, 0.0)
    assert (policy.approval_within, policy.veto) == (600.0, 120.0)
    assert (policy.budget.rollbacks, policy.budget.per) == (2, 43_200.0)


def test_caution_is_standard_unless_a_policy_says_another_word():
    text = FULL.replace("    veto: 2m\n", "    veto: 2m\n    caution: swift\n")
    policies = parse(text).policies
    assert (policies["standard"].caution, policies["careful"].caution) == (Caution.SWIFT, Caution.STANDARD)
    wrong = FULL.replace("    veto: 2m\n", "    veto: 2m\n    caution: brave\n")
    assert "policies.standard.caution: 'brave' is not known; it must be swift or standard or careful" in str(
        refused(wrong)
    )


def test_a_target_means_what_it_says():
    target = parse(FULL).targets[0]
    assert target.match == ({"service_name": "checkout", "deployment_environment_name": "staging"},)
    assert target.environment == "staging"
    assert target.telemetry == {"job": "checkout"}
    surroundings = {"cwd": "/etc/rearguard/shop", "env": {"SHOP": "1"}, "pass_env": ("KUBECONFIG",)}
    assert target.release.rollback == CommandAction(("./release", "activate", "{to_version}"), 600.0, **surroundings)
    assert target.release.current == CommandAction(("./release", "current"), 30.0, **surroundings)
    assert target.release.versions == CommandAction(("./release", "list"), 30.0, **surroundings)
    assert target.release.check == CommandAction(("./release", "check", "{to_version}"), 30.0, **surroundings)
    assert (target.health.successes, target.health.interval, target.health.timeout) == (5, 1.0, 60.0)
    assert target.recovery_within == 180.0


def test_hooks_mean_what_they_say():
    target = parse(FULL).targets[0]
    save, drain = target.before
    (clear,) = target.after
    assert save.action == HttpAction("POST", "http://checkout:8080/admin/snapshot", 10.0)
    assert (save.on_failure, save.after_crash, save.undo) == (OnFailure.CONTINUE, AfterCrash.NEVER_REDO, None)
    assert drain.action == CommandAction(("./traffic", "drain", "{target}"), 30.0, "/etc/rearguard/traffic")
    assert drain.undo == CommandAction(("./traffic", "restore", "{target}"), 20.0, "/etc/rearguard/traffic")
    assert (drain.on_failure, drain.after_crash, drain.undo_when_healthy) == (OnFailure.STOP, AfterCrash.REDO, True)
    assert clear.action == HttpAction(
        "PUT", "http://checkout:8080/x", 30.0, headers={"X-A": "b"}, headers_file="/etc/rearguard/h", body="{}"
    )
    assert clear.before_restore


def test_defaults_are_those_of_the_documentation():
    given_config = parse(SMALL)
    (target,) = given_config.targets
    policy = target.policy
    assert given_config.listen == ("127.0.0.1", 9465)
    assert (given_config.open, given_config.tokens) == (frozenset(), {})
    assert (given_config.retention, given_config.prometheus.poll_interval) == (400 * 86_400.0, 15.0)
    assert (policy.mode, policy.alerts, policy.act_outside_production) == (
        Mode.OBSERVE,
        {"action": "rollback"},
        False,
    )
    assert (policy.watch_window, policy.known_good_after, policy.cooldown) == (7_200.0, 900.0, 300.0)
    assert (policy.approval_within, policy.veto) == (1_800.0, 0.0)
    assert (policy.budget.rollbacks, policy.budget.per) == (3, 86_400.0)
    assert target.telemetry == {"service_name": "checkout"}
    assert target.environment == "production"
    assert target.release.rollback.timeout == 300.0
    assert (target.release.rollback.cwd, target.release.current.timeout) == ("/etc/rearguard", 30.0)
    assert (target.before, target.after, target.health, target.recovery_within) == ((), (), None, 300.0)
    health = parse(SMALL + "    verify: {health: {url: 'http://c/h'}}\n").targets[0].health
    assert (health.successes, health.interval, health.timeout) == (3, 2.0, 120.0)
    hook = parse(SMALL + "    hooks: {before: [{name: a, command: [x]}]}\n").targets[0].before[0]
    assert hook.action.timeout == 300.0


@pytest.mark.parametrize(
    ("match", "own", "top", "expected"),
    [
        ("{deployment_environment_name: staging}", "production", "development", "production"),
        ("{deployment_environment_name: staging}", None, "production", "staging"),
        ("[{deployment_environment_name: a, x: y}, {deployment_environment_name: a}]", None, "production", "a"),
        ("[{deployment_environment_name: a}, {deployment_environment_name: b}]", None, "production", "production"),
        ("[{deployment_environment_name: a}, {x: y}]", None, "production", "production"),
        ("{x: y}", None, "production", "production"),
    ],
)
def test_the_environment_is_the_own_key_else_the_agreed_label_else_the_top_level(match, own, top, expected):
    text = changed("environment: production", f"environment: {top}")
    text = changed("{service_name: checkout}", match, text)
    assert parse(text + (f"    environment: {own}\n" if own else "")).targets[0].environment == expected


def test_a_target_without_any_environment_is_refused():
    error = refused(changed("environment: production\n", ""))
    assert "environment of this target is not known" in error.message


def test_short_timeouts_also_limit_the_commands_that_look():
    release = parse(changed("[cat, v],", "[cat, v], timeout: 4s,")).targets[0].release
    assert (release.current.timeout, release.rollback.timeout) == (4.0, 4.0)


def test_several_prometheus_are_kept_in_order():
    text = changed("url: http://p:9090", "url: [http://a:1, https://b/prom/]")
    assert parse(text).prometheus.urls == ("http://a:1", "https://b/prom")


def test_anchors_and_merge_keys_are_understood():
    text = """\
environment: production
journal: sqlite:///tmp/j.db
prometheus: {url: http://p:9090}
policies:
  one: &base {mode: act, cooldown: 1m}
  two: {<<: *base, cooldown: 2m}
targets:
  - name: a
    match: {x: y}
    policy: two
    release: {command: {current: [cat, v], rollback: [deploy]}}
"""
    policy = parse(text).targets[0].policy
    assert (policy.mode, policy.cooldown) == (Mode.ACT, 120.0)


def test_environment_variables_are_not_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/root")
    text = changed("[cat, v]", "[cat, $HOME, '~']")
    assert parse(text).targets[0].release.current.argv == ("cat", "$HOME", "~")


COMMAND = '{command: {current: [cat, v], rollback: [deploy, "{to_version}"]}}'
RELEASE = "targets[0].release.command"
HOOK = "targets[0].hooks.before[0]"


def hook(text: str) -> str:
    """The small file with one before hook."""
    return SMALL + f"    hooks: {{before: [{text}]}}\n"


HEALTH = "targets[0].verify.health"
TWICE = SMALL + "    hooks: {before: [{name: a, command: [x]}], after: [{name: a, command: [x]}]}\n"
AFTER_WITH_UNDO = hook("{name: a, command: [x], undo: {command: [y]}}").replace("before", "after")


def test_the_check_of_a_hook_inherits_its_surroundings_and_looks_for_half_a_minute_at_most():
    text = hook("{name: a, command: [x], cwd: traffic, env: {A: '1'}, check: {command: [y], timeout: 5m}}")
    made = parse(text).targets[0].before[0].check
    assert made == CommandAction(("y",), 30.0, "/etc/rearguard/traffic", {"A": "1"})


@pytest.mark.parametrize(
    ("text", "line", "key", "right"),
    [
        (changed("prometheus:", "promeheus:"), 3, "promeheus", "did you mean 'prometheus'?"),
        (changed("{url:", "{ulr:"), 3, "prometheus.ulr", "did you mean 'url'?"),
        (changed("match:", "matches:"), 6, "targets[0].matches", "did you mean 'match'?"),
        (changed("journal: sqlite:///tmp/j.db\n", ""), 1, None, "add journal"),
        (changed("journal: sqlite:///tmp/j.db", "journal: sqlite://j.db"), 2, "journal", "absolute path"),
        (changed("sqlite:///tmp/j.db", "j.db"), 2, "journal", "absolute path"),
        (changed("sqlite:///tmp/j.db", "mysql://u@h/db"), 2, "journal", "postgresql://user@host/database"),
        (changed("sqlite:///tmp/j.db", "postgresql://u@h"), 2, "journal", "postgresql://user@host/database"),
        (changed("sqlite:///tmp/j.db", "postgresql://u:secret@h/db"), 2, "journal", "passfile"),
        (SMALL + "listen: 9465\n", 8, "listen", "host:port"),
        (SMALL + "listen: localhost\n", 8, "listen", "127.0.0.1:9465"),
        (SMALL + "listen: a:70000\n", 8, "listen", "host:port"),
        (SMALL + "retention: 400\n", 8, "retention", "400s"),
        (SMALL + "retention: [5m]\n", 8, "retention", "30s or 5m"),
        (SMALL + "retention: 23h\n", 8, "retention", "counts; retention must be at least 1d"),
        (SMALL + "retention: 2d\npolicies: {a: {budget: {per: 1w}}}\n", 8, "retention", "policies.a.budget.per"),
        (SMALL + "retention: 2d\npolicies: {a: {cooldown: 3d}}\n", 8, "retention", "at least 3d"),
        (SMALL + "policies: {a: {budget: {per: 500d}}}\n", 8, "policies", "at least 500d"),
        (SMALL + "open: [metrcs]\n", 8, "open[0]", "metrics or openapi"),
        (SMALL + "alertmanager: {}\n", 8, "alertmanager", "add url"),
        (SMALL + "alertmanager: {url: []}\n", 8, "alertmanager.url", "at least one"),
        (SMALL + "storm: {targets: 0}\n", 8, "storm.targets", "from 1"),
        (SMALL + "storm: {within: 0s}\n", 8, "storm.within", "1s"),
        (SMALL + "open: [pages]\n", 8, "open[0]", "metrics or openapi or page"),
        (SMALL + "page: {user_header: X-User}\n", 8, "page.user_header", "add trusted_from"),
        (SMALL + "page: {operators: [ann]}\n", 8, "page", "add user_header"),
        (SMALL + "page: {user_header: X-User, trusted_from: [proxy]}\n", 8, "page.trusted_from[0]", "10.0.0.7"),
        (SMALL + "tokens: {admin: x}\n", 8, "tokens.admin", "sender, viewer, operator"),
        (SMALL + "journal: sqlite:///tmp/k.db\n", 8, None, "stands twice"),
        (changed("http://p:9090", "[]"), 3, "prometheus.url", "at least one"),
        (changed("p:9090}", "p, poll_interval: 10ms}"), 3, "prometheus.poll_interval", "1s"),
        (changed("name: checkout", "name: ../x"), 5, "targets[0].name", "letters"),
        (changed("name: checkout", "name: 7"), 5, "targets[0].name", "quotes"),
        (changed("    match: {service_name: checkout}\n", ""), 5, "targets[0]", "match"),
        (changed("{service_name: checkout}", "{}"), 6, "targets[0].match", "at least one label"),
        (changed("{service_name: checkout}", "{service-name: x}"), 6, "targets[0].match", "no label name"),
        (changed("{service_name: checkout}", "{service_name: 1.4}"), 6, "targets[0].match.service_name", "quotes"),
        (SMALL + "    policy: standart\n", 8, "targets[0].policy", "known here: default"),
        (changed("policy: standard", "policy: standart", FULL), 26, "targets[0].policy", "did you mean 'standard'?"),
        (changed("    policy: careful\n", "", FULL), 55, "targets[1]", "standard, careful"),
        (changed("[cat, v]", "cat v"), 7, RELEASE + ".current", "there is no shell"),
        (changed("[cat, v]", "[]"), 7, RELEASE + ".current", "program"),
        (changed("[cat, v]", "[cat, 7]"), 7, RELEASE + ".current[1]", "quotes"),
        (changed("[cat, v]", '["{target}"]'), 7, RELEASE + ".current[0]", "fixed"),
        (changed("{to_version}", "{version}"), 7, RELEASE + ".rollback[1]", "'to_version'"),
        (changed("[cat, v],", "[cat, v], env: {REARGUARD_X: a},"), 7, RELEASE + ".env.REARGUARD_X", "another name"),
        (hook("{name: a}"), 8, HOOK, "exactly one"),
        (hook("{name: a, command: [x], http: {url: 'http://x'}}"), 8, HOOK, "exactly one"),
        (hook("{name: a, http: {url: 'http://x'}, cwd: /}"), 8, HOOK + ".cwd", "headers"),
        (hook("{name: a, http: {url: 'http://x/{vers}'}}"), 8, HOOK + ".http.url", "known here"),
        (hook("{name: a, http: {url: 'ftp://x'}}"), 8, HOOK + ".http.url", "http://"),
        (hook("{name: a, command: [x], before_restore: true}"), 8, HOOK + ".before_restore", "after"),
        (hook("{name: a, command: [x], on_failure: abort}"), 8, HOOK + ".on_failure", "continue or stop"),
        (changed("{service_name: checkout}", "{rearguard_drill: x}"), 6, "targets[0].match", "other labels"),
        (hook("{name: a, command: [x], check: [y]}"), 8, HOOK + ".check", "mapping"),
        (hook("{name: a, command: [x], check: {timeout: 5s}}"), 8, HOOK + ".check", "one of command and http"),
        (hook("{name: a, command: [x], check: {undo: [y]}}"), 8, HOOK + ".check.undo", "known here"),
        (hook("{name: a, command: [x], timeout: 0s}"), 8, HOOK + ".timeout", "100ms"),
        (hook("{name: roll-back, command: [x]}"), 8, HOOK + ".name", "another name"),
        (hook("{name: health, command: [x]}"), 8, HOOK + ".name", "another name"),
        (hook("{name: recovery, command: [x]}"), 8, HOOK + ".name", "another name"),
        (hook("{name: undo a, command: [x]}"), 8, HOOK + ".name", "letters"),
        (hook("{name: a, command: [x]}, {name: a, command: [y]}"), 8, HOOK[:-2] + "1].name", "its own name"),
        (TWICE, 8, "targets[0].hooks.after[0].name", "its own name"),
        (
            hook('{name: a, command: [x], check: {http: {url: "http://h", method: POST}}}'),
            8,
            HOOK + ".check.http.method",
            "a check is GET or HEAD",
        ),
        (AFTER_WITH_UNDO, 8, "targets[0].hooks.after[0].undo", "before"),
        (SMALL + "    verify: {health: {url: 'http://x', successes: 0}}\n", 8, HEALTH + ".successes", "from 1"),
        (SMALL + "    verify: {recovery: 5m}\n", 8, "targets[0].verify.recovery", "mapping"),
        (SMALL + "policies: {a: {mode: Act}}\n", 8, "policies.a.mode", "observe or ask or act"),
        (SMALL + "policies: {a: {approval: 5m}}\n", 8, "policies.a.approval", "mapping"),
        (SMALL + "policies: {a: {approval: {within: 0s}}}\n", 8, "policies.a.approval.within", "at least 1s"),
        (SMALL + "policies: {a: {veto: soon}}\n", 8, "policies.a.veto", "duration"),
        (SMALL + "act_outside_production: yes\n", 8, "act_outside_production", "true or false"),
        (SMALL + "policies: {}\n", 8, "policies", "name a policy"),
        (changed(COMMAND, "{}"), 7, "targets[0].release", "exactly one of command, kubernetes and prometheus"),
        (changed(COMMAND, "{kubernetes: {}, command: {}}"), 7, "targets[0].release", "more than one kind"),
        (changed(COMMAND, "{kubernetes: {}}"), 7, "targets[0].release.kubernetes", "names no workload"),
        (changed(COMMAND, workload("namespace: shop")), 7, "targets[0].release.kubernetes", "names no workload"),
        (
            changed(COMMAND, workload("namespace: shop, deployment: a, daemonset: a")),
            7,
            "targets[0].release.kubernetes",
            "more than one workload",
        ),
        (changed(COMMAND, workload("deployment: a")), 7, "targets[0].release.kubernetes", "'namespace' is missing"),
        *(
            (changed(COMMAND, workload(f'namespace: "{name}", deployment: a')), 7,
             "targets[0].release.kubernetes.namespace", "is not the name of a namespace")
            for name in ("--all-namespaces", "Shop", "a.b", "a/../b", "x" * 64, "-", "a_b", "a b")
        ),
        *(
            (changed(COMMAND, workload(f'namespace: shop, statefulset: "{name}"')), 7,
             "targets[0].release.kubernetes.statefulset", "is not the name of a statefulset")
            for name in ("-f", "A", "a..b", "a/b", "x" * 254, "a?dryRun=All")
        ),
        (SMALL + "kubernetes: {context: prod}\n", 8, "kubernetes.context", "name the file"),
        (SMALL + "kubernetes: {server: x}\n", 8, "kubernetes.server", "unknown key"),
        (SMALL + "    depends_on: payments\n", 8, "targets[0].depends_on", "a list of targets' names"),
        (SMALL + "    depends_on: [payments]\n", 8, "targets[0].depends_on[0]", "known here: checkout"),
        (SMALL + "    depends_on: [checkout]\n", 8, "targets[0].depends_on[0]", "name other targets"),
        (FULL + "    depends_on: [chekcout]\n", 59, "targets[1].depends_on[0]", "did you mean 'checkout'?"),
        (FULL + "    depends_on: [checkout, checkout]\n", 59, "targets[1].depends_on[1]", "stands twice"),
        (SMALL.replace("targets:\n", "targets: []\nx:\n").partition("x:")[0], 4, "targets", "at least one target"),
        (SMALL + "  - " + SMALL.partition("  - ")[2], 8, "targets[1]", "named 'checkout'"),
        ("a: [", 1, None, "not YAML"),
        ("", 1, None, "empty"),
        ("- a", 1, None, "mapping"),
        ("a: 1\n---\nb: 2\n", 2, None, "not YAML"),
        ("? [a]\n: b\n", 1, None, "a key must be text"),
        ('environment: "a\\0b"\n', 1, "environment", "NUL"),
        ('environment: "\\ud800"\n', 1, "environment", "surrogate"),
        ('environment: "\\U00110000"\n', 1, None, "not YAML"),
        ("environment: a\x01b\n", 1, None, "not YAML"),
        ("environment: &a [*a]\n", 1, None, "refers to what it stands in"),
        ("[" * 50_000, 1, None, "nested too deeply"),
        ("a" * 4_000_001, 1, None, "longer than"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_line_key_and_what_would_be_right(text, line, key, right):
    error = refused(text)
    assert error.message.startswith(f"rearguard.yaml:{line}: " + (f"{key}: " if key else ""))
    assert right in error.message
    assert error.field == key


def test_alertmanager_may_have_several_addresses_and_need_not_be_there():
    assert parse(SMALL).alertmanager is None
    one = "alertmanager: {url: http://a:9093/, token_file: am.token, ca_file: /etc/ca.pem}\n"
    settings = config.AlertmanagerSettings(
        ("http://a:9093",), HttpConfig(FOLDER / "am.token", tls=TlsConfig(Path("/etc/ca.pem")))
    )
    assert parse(SMALL + one).alertmanager == settings
    several = parse(SMALL + "alertmanager: {url: [http://a:9093, http://b:9093/am]}\n").alertmanager
    assert several.urls == ("http://a:9093", "http://b:9093/am")


def test_targets_may_depend_on_targets_that_come_later_and_on_one_another():
    text = changed("    policy: standard\n", "    policy: standard\n    depends_on: [payments]\n", FULL)
    checkout, payments = parse(text + "    depends_on: [checkout]\n").targets
    assert (checkout.depends_on, payments.depends_on) == (("payments",), ("checkout",))
    assert (checkout.dependencies, payments.dependencies) == (("payments",), ("checkout",))


def test_what_a_target_depends_on_through_others_is_known():
    more = "".join(
        f"  - name: {name}\n    match: {{service_name: {name}}}\n    policy: standard\n"
        f"    release: {{command: {{current: [x], rollback: [x]}}}}\n    depends_on: [{needs}]\n"
        for name, needs in (("cart", "stock"), ("stock", "ledger, cart"), ("ledger", "payments"))
    )
    text = changed("    policy: standard\n", "    policy: standard\n    depends_on: [cart]\n", FULL)
    checkout, payments, cart, stock, _ = parse(text + more).targets
    assert checkout.dependencies == ("cart", "stock", "ledger", "payments")
    assert (checkout.depends_on, payments.dependencies) == (("cart",), ())
    assert (cart.dependencies, stock.dependencies) == (
        ("stock", "ledger", "payments"),
        ("ledger", "cart", "payments"),
    )


def test_a_storm_is_more_than_three_targets_in_five_minutes_unless_it_is_set():
    assert parse(SMALL).storm == StormLimit(3, 300.0)
    assert parse(SMALL + "storm: {targets: 5}\n").storm == StormLimit(5, 300.0)
    assert parse(SMALL + "storm: {within: 10m}\n").storm == StormLimit(3, 600.0)


def test_a_retention_as_long_as_the_brakes_look_back_is_enough():
    text = SMALL + "retention: 3h\npolicies: {a: {cooldown: 3h, budget: {per: 1h}}}\n"
    assert parse(text).retention == 3 * 3600


def test_an_alias_bomb_is_refused_quickly():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases grow" in refused("\n".join(levels)).message


def test_no_hook_may_be_named_like_a_step_that_every_rollback_has():
    text = SMALL + "    verify: {health: {url: 'http://c/h'}}\n"
    own = tuple(step.name for step in plan(parse(text).targets[0], conditions=(condition(),)))
    assert (PAUSE_OWNER, *own) == hooks.OWN_STEPS


def test_a_file_is_loaded_and_its_folder_is_where_relative_paths_start(tmp_path):
    file = tmp_path / "rearguard.yaml"
    file.write_text("\ufeff" + SMALL, encoding="utf-8")
    assert config.load(file).targets[0].release.current.cwd == str(tmp_path.resolve())


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"environment: \xe9\n")
    with pytest.raises(ConfigError, match="byte 13 is not UTF-8"):
        config.load(tmp_path / "latin.yaml")


def test_the_placeholders_that_are_allowed_are_those_that_are_filled():
    for word in hooks.PLACEHOLDERS:
        values = dict.fromkeys(hooks.PLACEHOLDERS, "v")
        assert filling.fill_argument(f"{{{word}}}", filling.ActionContext(**values)) == "v"


# --- documentation --------------------------------------------------------------------------------------------


def test_a_workload_of_kubernetes_is_a_release_and_has_five_minutes():
    text = changed(COMMAND, workload("namespace: shop, statefulset: db.main"))
    assert parse(text).targets[0].release == KubernetesRelease("shop", WorkloadKind.STATEFUL_SET, "db.main", 300.0)
    text = changed(COMMAND, workload("namespace: shop, daemonset: agent, timeout: 90s"))
    assert parse(text).targets[0].release == KubernetesRelease("shop", WorkloadKind.DAEMON_SET, "agent", 90.0)


def test_the_cluster_is_the_controllers_own_unless_a_kubeconfig_is_named():
    assert parse(SMALL).kubernetes == config.KubernetesSettings()
    named = parse(SMALL + "kubernetes: {kubeconfig: kube/config, context: prod}\n").kubernetes
    assert named == config.KubernetesSettings(Path("/etc/rearguard/kube/config"), "prod")


def test_the_documentation_explains_every_key_exactly_once():
    document = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert config.tables() in document
    rows = re.findall(r"^\| `([^`]+)` \|", document, flags=re.MULTILINE)
    assert rows == [key.name for section in config.SECTIONS for key in section.keys]


def test_a_check_of_a_hook_asks_with_a_method_that_changes_nothing():
    def checked(text):
        return parse(hook(f"{{name: a, command: [x], check: {text}}}")).targets[0].before[0].check

    assert checked('{http: {url: "http://h/ready"}}').method == "GET"
    assert checked('{http: {url: "http://h/ready", method: HEAD}}').method == "HEAD"


def test_the_example_of_the_documentation_is_valid():
    document = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", document, flags=re.DOTALL)
    assert examples
    for example in examples:
        assert parse(example).targets


# --- anything at all --------------------------------------------------------------------------------------------


def only_the_typed_error(text: str) -> None:
    message = "rearguard.yaml:1: "
    try:
        parse(text)
    except ConfigError as error:
        message = error.message
    assert re.match(r"rearguard\.yaml:\d+: ", message)


@given(st.text())
def test_no_text_raises_anything_but_the_typed_error(text):
    only_the_typed_error(text)


WORDS = sorted({key.name for section in config.SECTIONS for key in section.keys} | {"*a", "<<", "5m", "act", "-"})
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_no_document_raises_anything_but_the_typed_error(tree):
    only_the_typed_error(yaml.safe_dump(tree, allow_unicode=True))


@given(st.data())
def test_no_change_of_one_value_raises_anything_but_the_typed_error(data):
    document = yaml.safe_load(FULL)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(TREES)
        break
    only_the_typed_error(yaml.safe_dump(document, allow_unicode=True))


def test_who_is_told_is_read_with_its_files_beside_the_configuration():
    text = SMALL + (
        "notify:\n"
        "  - {url_file: chat, events: [alert, finished], headers_file: /run/headers, timeout: 2s}\n"
        "  - {name: pager, url: 'https://u:pw@pager/x?key=1'}\n"
    )
    chat, pager = parse(text).notify
    assert (chat.url_file, chat.headers_file, chat.timeout) == (FOLDER / "chat", Path("/run/headers"), 2.0)
    assert (chat.name, chat.url, chat.events) == (None, None, {NoticeEvent.ALERT, NoticeEvent.FINISHED})
    assert (pager.name, pager.url, pager.timeout) == ("pager", "https://u:pw@pager/x?key=1", 10.0)
    assert pager.events == set(NoticeEvent) - {NoticeEvent.ALERT}
    assert "pw" not in repr(pager)
    assert parse(SMALL).notify == ()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://hooks.slack.com/services/T/B/x", "slack"),
        ("https://events.eu.pagerduty.com", "pagerduty"),
        ("https://api.eu.opsgenie.com", "opsgenie"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/x", "teams"),
        ("https://default0.12.environment.api.powerplatform.com/powerautomate/x", "teams"),
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://key@o1.ingest.us.sentry.io/2", "sentry"),
        ("https://api.us3.datadoghq.com", "datadog"),
        ("https://shop.grafana.net", "grafana"),
        ("mailtos://u:p@mail.example.com", "apprise"),
        ("https://notslack.com/hooks.slack.com", "webhook"),
        ("https://slack.com.example.com", "webhook"),
        ("https://[x", "webhook"),
    ],
)
def test_the_service_is_known_by_its_address(address, kind):
    assert config.kind_of(address) == kind


def test_who_may_press_buttons_of_slack_is_read():
    found = parse(SMALL + "slack: {signing_secret_file: s, operators: {U01: ann, W2: bob}}\n").slack
    assert (found.signing_secret_file, found.operators) == (FOLDER / "s", {"U01": "ann", "W2": "bob"})
    assert parse(SMALL).slack is None


@pytest.mark.parametrize(
    ("block", "field", "words"),
    [
        ("{operators: {U1: a}}", "slack", "signing_secret_file"),
        ("{signing_secret_file: s}", "slack", "operators"),
        ("{signing_secret_file: s, operators: {}}", "slack.operators", "U0123456789"),
        ("{signing_secret_file: s, operators: {ann: ann}}", "slack.operators.ann", "no id of a user"),
    ],
)
def test_what_is_wrong_with_buttons_of_slack_is_named(block, field, words):
    error = refused(SMALL + f"slack: {block}\n")
    assert error.field == field
    assert words in error.message


def test_an_address_for_links_has_no_slash_at_its_end_and_is_one():
    assert parse(SMALL + "external_url: https://rearguard.example.com/base/\n").external_url == (
        "https://rearguard.example.com/base"
    )
    assert parse(SMALL).external_url is None
    assert refused(SMALL + "external_url: [https://a]\n").field == "external_url"
    assert refused(SMALL + "external_url: rearguard\n").field == "external_url"


@pytest.mark.parametrize(
    ("entries", "field", "words"),
    [
        ("[{kind: pagerduty}]", "notify[0]", "pagerduty needs a key"),
        ("[{url: 'https://api.opsgenie.com'}]", "notify[0]", "opsgenie needs a key"),
        ("[{kind: slack}]", "notify[0]", "an incoming webhook or a bot"),
        ("[{kind: slack, token_file: t}]", "notify[0]", "the channel"),
        ("[{kind: teams}]", "notify[0]", "exactly one of url and url_file"),
        ("[{kind: pager, url: 'http://c'}]", "notify[0].kind", "webhook or slack or pagerduty"),
        ("[{kind: sentry, url_file: f, organization: o}]", "notify[0]", "needs a token"),
        ("[{}]", "notify[0]", "exactly one of url and url_file"),
        ("[{url: 'http://c', url_file: f}]", "notify[0]", "exactly one of url and url_file"),
        ("[{url: 'ftp://c'}]", "notify[0].url", "http://host:port/path"),
        (
            "[{url: 'http://c', events: []}]",
            "notify[0].events",
            "alert, decided, started, finished, undo_failing, bad_version",
        ),
        ("[{url: 'http://c', events: [opened]}]", "notify[0].events[0]", "alert or decided or started or finished"),
        ("[{url: 'http://c', timeout: 0s}]", "notify[0].timeout", "100ms"),
        ("[{url: 'http://c', event: [alert]}]", "notify[0].event", "did you mean 'events'?"),
        ("[{name: a, url: 'http://c'}, {name: a, url: 'http://d'}]", "notify[1]", "two entries are named 'a'"),
        ("[{url: 'http://c'}, {url: 'http://c'}]", "notify[1]", "stands twice"),
        ("[{name: a b, url: 'http://c'}]", "notify[0].name", "is no name"),
        ("{url: 'http://c'}", "notify", "a list of entries"),
    ],
)
def test_what_is_wrong_with_an_entry_of_notify_is_named(entries, field, words):
    error = refused(SMALL + f"notify: {entries}\n")
    assert error.field == field
    assert words in error.message


def test_five_thousand_targets_fit_into_one_file():
    target = """
  - name: svc-{n}
    match: {{service_name: svc-{n}, deployment_environment_name: production}}
    release:
      command: {{current: [./release, current, svc-{n}], rollback: [./release, activate, "{{to_version}}"]}}
    hooks:
      before: [{{name: drain, command: [./drain, svc-{n}], undo: {{command: [./drain, --undo, svc-{n}]}}}}]
"""
    listed = SMALL.partition("targets:")[0] + "targets:" + "".join(target.format(n=n) for n in range(5000))
    assert len(parse(listed).targets) == 5000
