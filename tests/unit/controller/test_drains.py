"""Hooks that lead traffic away inside a cluster: what a file may say of them, and what they change in an object."""

import copy

import pytest

from local_cluster.errors import ApiError
from local_cluster.patches import json_patched
from rearguard_controller.adapters.kubernetes import drains
from rearguard_controller.model import AfterCrash, Drain, Weight
from unit.controller.test_config import COMMAND, HOOK, changed, hook, parse, refused, workload

AT = HOOK + ".kubernetes"
GOOD = "namespace: shop, service: a, selector: {x: y}"


@pytest.mark.parametrize(
    ("keys", "at", "says"),
    [
        ("namespace: shop", "", "exactly one of service and httproute"),
        ("namespace: shop, service: a, httproute: b", "", "exactly one of service and httproute"),
        ("service: a, selector: {track: old}", "", "'namespace' is missing"),
        ("namespace: Shop, service: a, selector: {track: old}", ".namespace", "is not the name of a namespace"),
        ("namespace: shop, service: A, selector: {track: old}", ".service", "is not the name of a Service"),
        ("namespace: shop, service: '{name}', selector: {a: b}", ".service", "is not the name of a Service"),
        ("namespace: shop, httproute: a_b, weights: {c: 0}", ".httproute", "is not the name of an HTTPRoute"),
        ("namespace: shop, service: a", "", "'selector' is missing"),
        ("namespace: shop, service: a, selector: {}", ".selector", "at least one label"),
        ("namespace: shop, service: a, selector: {-x: a}", ".selector.-x", "no label name"),
        ("namespace: shop, service: a, selector: {x: a b}", ".selector.x", "no label value"),
        ("namespace: shop, service: a, selector: {x: '{name}'}", ".selector.x", "{name} is not known"),
        ("namespace: shop, service: a, selector: {x: a}, weights: {c: 0}", ".weights", "for httproute"),
        ("namespace: shop, service: a, selector: {x: a}, least: 0", ".least", "from 1"),
        ("namespace: shop, httproute: a", "", "'weights' is missing"),
        ("namespace: shop, httproute: a, weights: {}", ".weights", "at least one backend"),
        ("namespace: shop, httproute: a, weights: {C: 0}", ".weights.C", "is not the name of a Service"),
        ("namespace: shop, httproute: a, weights: {c: -1}", ".weights.c", "from 0"),
        ("namespace: shop, httproute: a, weights: {c: 1000001}", ".weights.c", "at most 1000000"),
        ("namespace: shop, httproute: a, weights: {c: 0}, least: 2", ".least", "for service"),
        ("namespace: shop, httproute: a, weights: {c: 0}, selector: {a: b}", ".selector", "for service"),
        ("namespace: shop, deployment: a", ".deployment", "unknown key"),
    ],
)
def test_a_bad_drain_is_told_by_file_line_key_and_what_would_be_right(keys, at, says):
    error = refused(hook(f"{{name: a, kubernetes: {{{keys}}}}}"))
    assert error.message.startswith(f"rearguard.yaml:8: {AT}{at}: ")
    assert says in error.message


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("undo: {command: [x]}", "undone by itself"),
        ("check: {command: [x]}", "the API server itself"),
        ("after_crash: redo", "always be repeated"),
        ("env: {A: b}", "for commands"),
        ("command: [x]", "exactly one"),
        ("before_restore: true", "after hooks"),
    ],
)
def test_what_a_drain_does_by_itself_is_not_written(key, says):
    assert says in refused(hook(f"{{name: a, kubernetes: {{{GOOD}}}, {key}}}")).message


def test_only_a_before_hook_drains_and_each_object_once():
    after = hook("{name: a, command: [x]}], after: [{name: b, kubernetes: {}}")
    assert "targets[0].hooks.after[0].kubernetes: only a before hook" in refused(after).message
    twice = refused(hook(f"{{name: a, kubernetes: {{{GOOD}}}}}, {{name: b, kubernetes: {{{GOOD}}}}}"))
    assert "hooks.before[1].kubernetes: two hooks drain Service shop/a" in twice.message


def test_a_drain_of_a_command_s_target_says_everything_and_is_undone_by_itself():
    configuration = parse(hook(f"{{name: a, kubernetes: {{{GOOD}, restore: healthy}}, on_failure: stop}}"))
    (found,) = configuration.targets[0].before
    assert found.action == Drain("shop", 30.0, service="a", selector={"x": "y"})
    assert found.undo == Drain("shop", 30.0, service="a", selector={"x": "y"}, restore=True)
    assert (found.after_crash, found.undo_when_healthy) == (AfterCrash.REDO, True)
    assert configuration.cluster is not None  # though no target is a workload


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("deployment", {"pod-template-hash": "{to_version}"}),
        ("statefulset", {"controller-revision-hash": "shop-{to_version}"}),
        ("daemonset", {"controller-revision-hash": "{to_version}"}),
    ],
)
def test_the_drain_of_a_workload_leaves_the_pods_of_the_destination(kind, selector):
    text = changed(
        COMMAND, workload(f"namespace: live, {kind}: shop"), hook("{name: a, kubernetes: {service: '{name}'}}")
    )
    (found,) = parse(text).targets[0].before
    assert found.action == Drain("live", 30.0, service="shop", selector=selector)


# --- what is changed in an object

SERVICE = Drain("shop", 1.0, service="shop", selector={"track": "good"})
ROUTE = Drain("shop", 1.0, httproute="shop", weights=(Weight("new", 0), Weight("old", 10)))


def service(**selector):
    return {"metadata": {"name": "shop", "resourceVersion": "7"}, "spec": {"selector": selector, "ports": [1]}}


def route(*rules):
    backends = [{"backendRefs": [{"name": name, **more} for name, more in rule.items()]} for rule in rules]
    about = {"name": "shop", "resourceVersion": "7", "annotations": {"a": "b"}}
    return {"metadata": about, "spec": {"hostnames": ["x"], "rules": backends}}


OBJECTS = [
    (SERVICE, service(app="shop")),
    (SERVICE, service(app="shop", track="any")),
    (ROUTE, route({"new": {"weight": 90}, "old": {"weight": 10}}, {"other": {}, "new": {}})),
    (ROUTE, route({"new": {}, "old": {"weight": 0}})),
]


@pytest.mark.parametrize(("it", "document"), OBJECTS)
def test_what_was_drained_and_put_back_is_exactly_as_it_was(it, document):
    found = drains.changes(it, document)
    assert found
    there = json_patched(document, drains.drained(it, document, found, "r-1"))
    assert drains.changes(it, there) == ()
    kept = drains.kept(it, there)
    assert (kept.rollback, kept.changes) == ("r-1", found)
    assert drains.are(kept.changes, there, before=False)
    assert not drains.are(kept.changes, there, before=True)
    back = json_patched(there, drains.restored(it, there, kept.changes))
    assert {**back, "metadata": {}} == {**document, "metadata": {}}
    assert (back["metadata"].get("annotations") or {}) == document["metadata"].get("annotations", {})


@pytest.mark.parametrize(("it", "document"), OBJECTS)
def test_patches_hold_only_for_the_object_that_was_read(it, document):
    found = drains.changes(it, document)
    other = copy.deepcopy(document)
    other["metadata"]["resourceVersion"] = "8"
    with pytest.raises(ApiError, match="the server rejected our request"):
        json_patched(other, drains.drained(it, document, found, "r-1"))


@pytest.mark.parametrize(
    ("it", "document", "says"),
    [
        (SERVICE, {"metadata": {}, "spec": {"type": "ExternalName"}}, "it has no selector"),
        (ROUTE, route({"new": {}}), "rule 0 would have no backend left"),
        (ROUTE, route({"new": {}, "other": {}}), "none of its rules has the backend old"),
        (ROUTE, route({"new": {"kind": "Bucket"}, "old": {}, "other": {}}), "has the backend new"),
        (ROUTE, {"metadata": {}, "spec": {}}, "none of its rules has the backend new, old"),
    ],
)
def test_what_would_send_requests_nowhere_is_refused(it, document, says):
    with pytest.raises(drains.NotDrainableError, match=says):
        drains.changes(it, document)


def test_a_backend_that_moved_to_another_place_is_somebody_else_s_change():
    document = OBJECTS[2][1]
    there = json_patched(document, drains.drained(ROUTE, document, drains.changes(ROUTE, document), "r-1"))
    kept = drains.kept(ROUTE, there)
    there["spec"]["rules"].reverse()
    assert not drains.are(kept.changes, there, before=False)
    assert not drains.are(kept.changes, there, before=True)


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"rollback": "r", "changes": [{"at": 7}]}', '{"changes": {}}']
)
def test_an_annotation_that_somebody_spoilt_is_told(text):
    document = service(app="shop")
    document["metadata"]["annotations"] = {"rearguard.dev/selector-before": text}
    with pytest.raises(drains.NotDrainableError, match=r"rearguard\.dev/selector-before cannot be read"):
        drains.kept(SERVICE, document)
