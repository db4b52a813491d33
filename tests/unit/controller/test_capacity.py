"""Whether the pods of an older version would find room: amounts, quotas, autoscalers, disruption budgets."""

from decimal import Decimal

import pytest

from rearguard_controller.adapters.kubernetes import capacity
from rearguard_controller.adapters.kubernetes.objects import workload
from rearguard_controller.adapters.kubernetes.quantities import of_pod, quantity
from rearguard_controller.model import KubernetesRelease, WorkloadKind

SHOP = KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "checkout", 60.0)


def template(cpu="500m", memory="256Mi", **more):
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    return {
        "metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "web", "image": "shop:v1", "resources": resources}], **more},
    }


def move(*, wanted=4, total=None, available=None, there=0, to=None, now=None, release=SHOP, **spec):
    kind = {"deployment": "Deployment", "statefulset": "StatefulSet"}[release.kind]
    total = wanted if total is None else total
    document = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"namespace": "shop", "name": "checkout", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"replicas": wanted, "template": now or template(), **spec},
        "status": {"replicas": total, "availableReplicas": total if available is None else available},
    }
    return capacity.Move(release, workload(document), document, to or template(), "v1", there)


def quota(hard, used, **spec):
    return {
        "metadata": {"name": "compute"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


SURGE = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
EITHER = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}


@pytest.mark.parametrize(
    ("written", "number"),
    [("500m", "0.5"), ("1", "1"), (2, "2"), ("0.25", "0.25"), ("1Gi", "1073741824"), ("128974848", "128974848"),
     ("129e6", "129000000"), ("129M", "129000000"), ("123Mi", "128974848"), ("1E", "1000000000000000000"),
     ("1Ei", "1152921504606846976"), ("100n", "0.0000001"), ("1e3", "1000")],
)  # fmt: skip
def test_amounts_are_read_as_kubernetes_documents_them(written, number):
    assert quantity(written) == Decimal(number)


@pytest.mark.parametrize("written", ["", "many", "1Zi", "1 Gi", None, True, {}, "1e", "--1", "9" * 400])
def test_what_is_no_amount_is_none(written):
    assert quantity(written) is None


def test_a_pod_asks_for_its_containers_and_sidecars_or_for_its_largest_init_container():
    found = of_pod(
        {
            "spec": {
                "overhead": {"memory": "16Mi"},
                "initContainers": [
                    {"name": "migrate", "resources": {"requests": {"cpu": "2", "memory": "64Mi"}}},
                    {"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                ],
                "containers": [
                    {"name": "web", "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "256Mi"}}},
                    {"name": "log", "resources": {"requests": {"cpu": "100m", "memory": "32Mi"}}},
                ],
            }
        }
    )
    assert found["requests.cpu"] == 2  # the init container's: the others together ask for 0.7
    assert found["requests.memory"] == (256 + 32 + 16) * 2**20  # a limit alone is asked for, too
    assert (found["limits.memory"], found["pods"]) == (256 * 2**20, 1)


def test_a_full_quota_is_told_with_its_numbers():
    full, unknown = capacity.of_quota(quota({"requests.cpu": "4"}, {"requests.cpu": "3750m"}), move(**SURGE))
    assert unknown == ""
    assert full == (
        "ResourceQuota compute has 0.25 of requests.cpu left (3.75 of 4 used); one pod of v1 asks for 0.5, and 4 are"
        " to come."
    )


# Each case: the quota, what is used of it, the workload, and whether the version's pods come up.
FITS = {
    "room for one more": ({"requests.cpu": "4"}, {"requests.cpu": "3500m"}, SURGE, True),
    "the old name": ({"cpu": "4"}, {"cpu": "3900m"}, SURGE, False),
    "memory": ({"requests.memory": "1Gi"}, {"requests.memory": "1Gi"}, SURGE, False),
    "pods": ({"pods": "4"}, {"pods": "4"}, SURGE, False),
    "count/pods": ({"count/pods": "4"}, {"count/pods": "4"}, SURGE, False),
    "other things": ({"services": "1", "count/secrets": "1"}, {"services": "1", "count/secrets": "9"}, SURGE, True),
    "one pod may go first": ({"pods": "4"}, {"pods": "4"}, EITHER, True),
    "all go first": ({"pods": "4"}, {"pods": "4"}, {"strategy": {"type": "Recreate"}}, True),
    "one that is down goes first": ({"pods": "4"}, {"pods": "4"}, {**SURGE, "available": 3}, True),
    "larger than all that goes": (
        {"requests.cpu": "4"}, {"requests.cpu": "2"}, {**EITHER, "to": template("2")}, False,
    ),
    "all are there already": ({"pods": "4"}, {"pods": "4"}, {**SURGE, "there": 4}, True),
    "it asks for nothing of it": (
        {"requests.nvidia.com/gpu": "1"}, {"requests.nvidia.com/gpu": "1"}, SURGE, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FITS)
def test_a_quota_is_in_the_way_only_when_the_rollout_could_not_get_through(case):
    hard, used, fields, fits = FITS[case]
    full, unknown = capacity.of_quota(quota(hard, used), move(**fields))
    assert (not full, unknown) == (fits, "")


def test_what_of_a_quota_cannot_be_reckoned_is_said():
    scoped = quota({"pods": "1"}, {"pods": "1"}, scopes=["BestEffort"])
    assert capacity.of_quota(scoped, move())[1].startswith("ResourceQuota compute counts only some pods")
    fresh = {"metadata": {"name": "compute"}, "spec": {"hard": {"pods": "1"}}}
    assert capacity.of_quota(fresh, move()) == ("", "ResourceQuota compute does not say yet what is used.")


def test_a_workload_that_would_run_nothing_or_replace_nothing_is_told():
    assert "wants no pods" in " ".join(capacity.of_workload(move(wanted=0)))
    stateful = KubernetesRelease("shop", WorkloadKind.STATEFUL_SET, "checkout", 60.0)
    by_hand = move(release=stateful, updateStrategy={"type": "OnDelete"})
    assert "OnDelete" in " ".join(capacity.of_workload(by_hand))
    held = move(release=stateful, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert "below number 2" in " ".join(capacity.of_workload(held))
    assert list(capacity.of_workload(move())) == []


def test_an_autoscaler_is_told_only_where_it_contradicts_and_is_of_this_workload():
    def autoscaler(least, most, name="checkout"):
        aim = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        spec = {"scaleTargetRef": aim, "minReplicas": least, "maxReplicas": most}
        return {"metadata": {"name": "hpa"}, "spec": spec}

    assert capacity.of_autoscaler(autoscaler(2, 10), move()) == ""
    assert capacity.of_autoscaler(autoscaler(6, 10), move()).endswith("asks for at least 6.")
    assert capacity.of_autoscaler(autoscaler(1, 3), move()).endswith("allows at most 3.")
    assert capacity.of_autoscaler(autoscaler(6, 10, "cart"), move()) == ""


def test_a_disruption_budget_is_told_as_one_that_does_not_limit_the_change():
    budget = {
        "metadata": {"name": "checkout"},
        "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "checkout"}}},
        "status": {"disruptionsAllowed": 0},
    }
    said = "PodDisruptionBudget checkout limits evictions (it allows 0 now), not this change."
    assert capacity.of_budget(budget, move()) == said
    budget["spec"]["selector"]["matchLabels"] = {"app": "cart"}
    assert capacity.of_budget(budget, move()) == ""
