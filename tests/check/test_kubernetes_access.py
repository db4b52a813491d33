"""What the controller's account may do: exactly the verbs that are needed, and of a workload only its template."""

import copy

import cel
import kubernetes_validate
import pytest

from check import manifests
from rearguard_controller.adapters.kubernetes import rights

READ, FOLLOW = ["get", "list"], ["get", "list", "watch"]
# By hand from docs/kubernetes.md's table of calls: group/kind -> verbs.
TARGET = {
    "apps/deployments": [*FOLLOW, "patch"],
    "apps/statefulsets": [*FOLLOW, "patch"],
    "apps/daemonsets": [*FOLLOW, "patch"],
    "apps/replicasets": FOLLOW,
    "apps/controllerrevisions": FOLLOW,
    "/pods": FOLLOW,
    "/events": ["create", "patch"],
    "autoscaling/horizontalpodautoscalers": READ,
    "policy/poddisruptionbudgets": READ,
    "/resourcequotas": READ,
    "/configmaps": ["get"],
    "/serviceaccounts": ["get"],
    "/persistentvolumeclaims": ["get"],
}
DRAIN = {"/services": ["get", "patch"], "gateway.networking.k8s.io/httproutes": ["get", "patch"]}
ACCOUNT = "system:serviceaccount:rearguard:rearguard"


def _granted(role):
    found = {}
    for rule in role["rules"]:
        assert rule.keys() == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert found.setdefault(f"{group}/{resource}", rule["verbs"]) is rule["verbs"]
    return found


@pytest.mark.parametrize(
    ("name", "role", "needed"), [("target-namespace", "target", TARGET), ("drain", "drain", DRAIN)]
)
def test_a_target_namespace_gives_exactly_the_verbs_needed_and_no_secret(name, role, needed, tmp_path):
    objects = manifests.component(name, tmp_path, namespace="payments")
    assert objects.keys() == {("Role", f"rearguard-{role}"), ("RoleBinding", f"rearguard-{role}")}
    assert _granted(objects["Role", f"rearguard-{role}"]) == needed
    assert {one["metadata"]["namespace"] for one in objects.values()} == {"payments"}
    for version in manifests.VERSIONS:
        for one in objects.values():
            kubernetes_validate.validate(one, version, strict=True)


def test_check_live_asks_for_exactly_the_verbs_of_the_shipped_role(tmp_path):
    role = manifests.component("target-namespace", tmp_path, namespace="payments")["Role", "rearguard-target"]
    assert {f"{group}/{resource}": list(verbs) for (group, resource), verbs in rights.ROLE.items()} == _granted(role)


@pytest.mark.parametrize(("name", "role"), [("target-namespace", "target"), ("drain", "drain")])
def test_a_role_is_bound_to_the_account_of_the_controllers_pod(name, role, tmp_path):
    binding = manifests.component(name, tmp_path, namespace="payments")["RoleBinding", f"rearguard-{role}"]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", f"rearguard-{role}")
    pod = manifests.objects("base")["Deployment", "rearguard"]
    account, home = pod["spec"]["template"]["spec"]["serviceAccountName"], pod["metadata"]["namespace"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": home}]
    assert f"system:serviceaccount:{home}:{account}" == ACCOUNT


def test_no_folder_gives_rights_in_the_whole_cluster_or_by_a_wildcard():
    for folder in (
        "base",
        "targets/shop",
        "overlays/production",
        "overlays/production-ha",
        "overlays/kube-prometheus",
    ):
        for (kind, _), one in manifests.objects(folder).items():
            assert not kind.startswith("ClusterRole")
            assert "*" not in str(one.get("rules", "")) or kind != "Role"


# --- the admission policy: its expressions, evaluated on requests by a CEL implementation ---------------------------

WORKLOAD = {
    "metadata": {"name": "checkout", "labels": {"app": "checkout"}, "annotations": {"team": "shop"}},
    "spec": {"replicas": 3, "paused": False, "template": {"spec": {"containers": [{"name": "a", "image": "a:2"}]}}},
}
SERVICE = {"metadata": {"name": "checkout"}, "spec": {"selector": {"app": "checkout"}, "type": "ClusterIP"}}
ROUTE = {
    "metadata": {"name": "checkout"},
    "spec": {"rules": [{"backendRefs": []}], "hostnames": ["shop.example.com"]},
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    objects = manifests.component("admission-policy", tmp_path_factory.mktemp("policy"))
    assert {kind for kind, _ in objects} == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    (policy,) = [one for (kind, _), one in objects.items() if kind == "ValidatingAdmissionPolicy"]
    (binding,) = [one for (kind, _), one in objects.items() if kind == "ValidatingAdmissionPolicyBinding"]
    for one in objects.values():
        kubernetes_validate.validate(one, manifests.VERSIONS[-1], strict=True)
        assert "namespace" not in one["metadata"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    return policy["spec"]


def _refusals(policy, resource, old, new, *, user=ACCOUNT, operation="UPDATE"):
    """The messages of the policy's expressions that do not hold for a request, as the API server would give them."""
    request = {"operation": operation, "resource": {"resource": resource}, "userInfo": {"username": user}}
    known = {"request": request, "object": new, "oldObject": old}
    if not all(cel.evaluate(each["expression"], known) for each in policy["matchConditions"]):
        return []
    if operation == "UPDATE":
        known["variables"] = {}
        for each in policy["variables"]:
            known["variables"][each["name"]] = cel.evaluate(each["expression"], known)
    refused = []
    for each in policy["validations"]:
        if not cel.evaluate(each["expression"], known):
            message = each.get("messageExpression") if operation == "UPDATE" else None
            refused.append(cel.evaluate(message, known) if message else each["message"])
    return refused


def _with(source, path, value):
    changed = copy.deepcopy(source)
    *parents, last = path
    place = changed
    for each in parents:
        place = place.setdefault(each, {})
    place[last] = value
    return changed


def _without(source, path):
    changed = copy.deepcopy(source)
    place = changed
    for each in path[:-1]:
        place = place[each]
    del place[path[-1]]
    return changed


@pytest.mark.parametrize(
    ("resource", "old", "path", "value"),
    [
        ("deployments", WORKLOAD, ("spec", "template"), {"spec": {"containers": [{"name": "a", "image": "a:1"}]}}),
        ("statefulsets", WORKLOAD, ("spec", "template", "metadata"), {"annotations": {"x": "y"}}),
        ("deployments", WORKLOAD, ("metadata", "annotations", "rearguard.dev/rolled-back-from"), "a:2"),
        ("deployments", WORKLOAD, ("metadata", "annotations", "kubernetes.io/change-cause"), "rolled back"),
        ("daemonsets", WORKLOAD, ("metadata", "annotations", "deprecated.daemonset.template.generation"), "3"),
        ("deployments", SERVICE | WORKLOAD, ("metadata", "resourceVersion"), "17"),
        ("services", SERVICE, ("spec", "selector"), {"app": "maintenance"}),
        ("httproutes", ROUTE, ("spec", "rules"), [{"backendRefs": [{"name": "checkout", "weight": 0}]}]),
        ("services", SERVICE, ("metadata", "annotations"), {"rearguard.dev/drained": "by a rollback"}),
    ],
)
def test_the_admission_policy_lets_a_rollback_and_a_drain_pass(policy, resource, old, path, value):
    assert _refusals(policy, resource, old, _with(old, path, value)) == []


@pytest.mark.parametrize(
    ("resource", "old", "path", "value", "said"),
    [
        ("deployments", WORKLOAD, ("spec", "replicas"), 0, "spec.template"),
        ("deployments", WORKLOAD, ("spec", "paused"), True, "spec.template"),
        ("deployments", WORKLOAD, ("spec", "a field of tomorrow"), 1, "spec.template"),
        ("deployments", WORKLOAD, ("metadata", "labels", "app"), "other", "labels"),
        ("deployments", WORKLOAD, ("metadata", "ownerReferences"), [{"name": "x"}], "owners"),
        ("deployments", WORKLOAD, ("metadata", "finalizers"), ["x/y"], "finalizers"),
        ("deployments", WORKLOAD, ("metadata", "annotations", "team"), "other", "annotations"),
        ("deployments", WORKLOAD, ("metadata", "annotations", "argocd.argoproj.io/x"), "y", "annotations"),
        ("services", SERVICE, ("spec", "type"), "LoadBalancer", "spec.selector"),
        ("services", SERVICE, ("spec", "externalIPs"), ["203.0.113.7"], "spec.selector"),
        ("httproutes", ROUTE, ("spec", "hostnames"), [], "spec.rules"),
    ],
)
def test_the_admission_policy_refuses_every_other_change_and_says_which(policy, resource, old, path, value, said):
    (message,) = _refusals(policy, resource, old, _with(old, path, value))
    assert said in message


@pytest.mark.parametrize("path", [("spec", "replicas"), ("metadata", "annotations", "team"), ("metadata", "labels")])
def test_the_admission_policy_refuses_that_something_is_taken_away(policy, path):
    assert len(_refusals(policy, "deployments", WORKLOAD, _without(WORKLOAD, path))) == 1


def test_the_admission_policy_lets_the_account_create_nothing(policy):
    assert _refusals(policy, "deployments", None, WORKLOAD, operation="CREATE") == [
        "Rearguard's account creates no workloads."
    ]


def test_the_admission_policy_is_about_the_controllers_account_only(policy):
    scaled = _with(WORKLOAD, ("spec", "replicas"), 0)
    assert _refusals(policy, "deployments", WORKLOAD, scaled, user="alice@example.com") == []
    assert _refusals(policy, "deployments", WORKLOAD, scaled) != []


def test_the_admission_policy_sees_every_kind_that_the_roles_let_the_account_change(policy, tmp_path):
    seen = {
        f"{group}/{resource}"
        for rule in policy["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if "UPDATE" in rule["operations"]
    }
    roles = [
        _granted(manifests.component(name, tmp_path, namespace="x")["Role", f"rearguard-{role}"])
        for name, role in (("target-namespace", "target"), ("drain", "drain"))
    ]
    changed = {kind for role in roles for kind, verbs in role.items() if "patch" in verbs} - {"/events"}
    assert seen == changed
