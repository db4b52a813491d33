"""From a workload to a target: selectors as kubectl reads them, and what labels and annotations may say."""

from pathlib import Path

import pytest

from rearguard_controller import config
from rearguard_controller.adapters.kubernetes import Workload
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import Drain, KubernetesRelease, Mode, Weight, WorkloadKind, selectors
from rearguard_controller.watching.discovered import target_of

SMALL = """
environment: production
journal: sqlite:///j.db
prometheus: {url: "http://p:9090"}
policies: {standard: {mode: act}, careful: {mode: ask}}
discover:
  - kubernetes: {namespaces: [shop, pay], selector: "rearguard.dev/watch=true", kinds: [deployment, statefulset]}
    policy: standard
"""
LABELS = {"app": "shop", "tier": "web", "rearguard.dev/watch": "true"}


def parse(text=SMALL):
    return config.parse(text, file="rearguard.yaml", folder=Path("/etc/rearguard"))


def found(*, labels=(), annotations=(), text=SMALL, kind=WorkloadKind.DEPLOYMENT):
    configuration = parse(text)
    it = Workload("shop", "cart", "u", "1", 1, 1, "d", labels=dict(labels), annotations=dict(annotations))
    return target_of(configuration.discover[0], kind, it, configuration.policies)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("app=shop", True), ("app==shop", True), ("app = shop", True), ("app!=shop", False), ("app=cart", False),
        ("app", True), ("!app", False), ("!other", True), ("other", False), ("other!=x", True), ("other=", False),
        ("app in (shop, cart)", True), ("app notin (shop)", False), ("other notin (x)", True),
        ("other in (x)", False),
        ("app=shop,tier=web", True), ("app=shop,tier=db", False), ("app in (a,shop),tier", True),
        ("rearguard.dev/watch=true", True), ("rearguard.dev/watch=false", False),
    ],
)  # fmt: skip
def test_a_selector_fits_as_kubectl_says(text, fits):
    assert selectors.parse(text).fits(LABELS) is fits


@pytest.mark.parametrize(
    "text", ["", ",", "a=b,", "a in", "a in (b", "a=b=c", "a b", "-a", "a=b c", "a in (b,;)", "(a)"]
)
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValueError, match="no requirement"):
        selectors.parse(text)


def test_a_workload_becomes_a_target_of_its_name():
    target = found().target
    assert target.name == "shop/cart"
    assert target.match == ({"service_name": "cart", "deployment_environment_name": "production"},)
    assert target.telemetry == target.match[0]
    assert target.release == KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "cart", 300.0)
    assert (target.policy.name, target.policy.mode, target.environment) == ("standard", Mode.ACT, "production")


def test_labels_and_annotations_say_policy_mode_and_match():
    one = found(
        labels={"rearguard.dev/policy": "careful"},
        annotations={"rearguard.dev/mode": "observe", "rearguard.dev/match": "job = cart, namespace={namespace}"},
    )
    assert one.problem == ""
    assert (one.target.policy.name, one.target.policy.mode) == ("careful", Mode.OBSERVE)
    assert one.target.match == ({"job": "cart", "namespace": "shop"},)


HOOKED = (
    SMALL
    + """
    hooks:
      before:
        - {name: save, http: {method: POST, url: "http://save:8080/"}}
        - {name: drain, kubernetes: {service: "{name}"}}
      after:
        - {name: clear, http: {method: POST, url: "http://clear:8080/"}}
"""
)


@pytest.mark.parametrize(
    ("said", "before", "after"),
    [
        (None, ["save", "drain"], ["clear"]),
        ("drain", ["drain"], []),
        (" clear ,save,", ["save"], ["clear"]),
        ("none", [], []),
    ],
)
def test_an_annotation_says_which_of_the_hooks_a_workload_has(said, before, after):
    one = found(annotations={} if said is None else {"rearguard.dev/hooks": said}, text=HOOKED)
    assert one.problem == ""
    assert [hook.name for hook in one.target.before] == before
    assert [hook.name for hook in one.target.after] == after


@pytest.mark.parametrize("said", ["dra", "", ",", "drain,x"])
def test_hooks_that_there_are_not_are_told_with_those_that_there_are(said):
    one = found(annotations={"rearguard.dev/hooks": said}, text=HOOKED)
    assert "must name some of: save, drain, clear, none" in one.problem
    assert one.target.policy.mode is Mode.OBSERVE
    assert [hook.name for hook in one.target.before] == ["save", "drain"]


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"rearguard.dev/policy": "none"}, "no policy 'none'"),
        ({"rearguard.dev/mode": "ACT"}, "'ACT' is not known"),
        ({"rearguard.dev/policy": "careful", "rearguard.dev/mode": "act"}, "less cautious"),
        ({"rearguard.dev/match": "job"}, "'job' is no label"),
        ({"rearguard.dev/match": ""}, "no label"),
        ({"rearguard.dev/match": "1a=b"}, "no label"),
    ],
)
def test_with_an_annotation_that_cannot_be_used_a_target_only_observes(annotations, told):
    one = found(annotations=annotations)
    assert told in one.problem
    assert one.target.policy.mode is Mode.OBSERVE


@pytest.mark.parametrize(
    ("change", "key", "right"),
    [
        (("namespaces: [shop, pay]", "namespaces: []"), "discover[0].kubernetes.namespaces", "at least one"),
        (("namespaces: [shop, pay]", 'namespaces: ["*"]'), "discover[0].kubernetes.namespaces[0]", "not the name"),
        (('selector: "rearguard.dev/watch=true"', 'selector: "a in"'), "discover[0].kubernetes.selector", "no label"),
        (
            ("kinds: [deployment, statefulset]", "kinds: [pod]"),
            "discover[0].kubernetes.kinds[0]",
            "'pod' is not known",
        ),
        (("policy: standard", "policy: other"), "discover[0].policy", "no policy 'other'"),
        (("policy: standard", 'match: {a: "{nme}"}\n    policy: standard'), "discover[0].match", "{nme}"),
        (("discover:", "targets: []\ndiscover:"), "targets", "empty"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_what_would_be_right(change, key, right):
    with pytest.raises(ConfigError) as error:
        parse(SMALL.replace(*change))
    assert error.value.field == key
    assert right in error.value.message


def test_without_targets_and_discovery_a_file_is_refused():
    with pytest.raises(ConfigError, match="'targets' is missing"):
        parse(SMALL.partition("discover:")[0])


def test_a_drain_of_discovered_targets_is_about_each_workload_s_own_objects():
    hooks = """    hooks:
      before:
        - {name: narrow, kubernetes: {service: "{name}"}}
        - {name: shift, kubernetes: {httproute: "{name}-public", weights: {"{name}-canary": 0}, namespace: edge}}
"""
    narrow, shift = found(text=SMALL + hooks, kind=WorkloadKind.STATEFUL_SET).target.before
    assert narrow.action == Drain(
        "shop", 30.0, service="cart", selector={"controller-revision-hash": "cart-{to_version}"}
    )
    assert shift.action == Drain("edge", 30.0, httproute="cart-public", weights=(Weight("cart-canary", 0),))
    assert shift.undo.restore
