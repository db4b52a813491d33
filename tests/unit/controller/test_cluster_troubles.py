"""What Kubernetes says of pods, as troubles of the newest template: states as the kubelet writes them."""

import pytest

from rearguard_controller.adapters.kubernetes import objects
from rearguard_controller.adapters.kubernetes.troubles import pod, troubles
from unit.controller import hostile
from unit.controller.test_kubernetes_hostile import DEPLOYMENT, REPLICA_SET

WORKLOAD = objects.workload(DEPLOYMENT)
NEWEST = objects.replica_set(REPLICA_SET)


def made(name, *, template="abc", ready=False, waiting=None, message="", restarts=0, going=False, owner="u-2"):
    """A pod as the API server shows it."""
    state = {"running": {}} if waiting is None else {"waiting": {"reason": waiting, "message": message}}
    return {
        "metadata": {
            "name": name,
            "labels": {"app": "shop", "pod-template-hash": template},
            "ownerReferences": [{"kind": "ReplicaSet", "uid": owner, "controller": True}],
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}),
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "shop", "ready": ready, "restartCount": restarts, "state": state}],
        },
    }


def old(name, **more):
    return made(name, template="old", **more)


def found(*documents, workload=WORKLOAD):
    read = [pod(each) for each in documents]
    return {each.name: each for each in troubles(workload, NEWEST, [NEWEST], read)}


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled_is_told_with_the_kubelet_s_words(reason):
    (one,) = found(made("a", waiting=reason, message="not found"), old("b", ready=True)).values()
    assert (one.name, one.pods, one.older_ready, one.older_too) == ("KubernetesImagePull", 1, 1, 0)
    assert "not found" in one.detail


@pytest.mark.parametrize("how", [{"waiting": "CrashLoopBackOff", "restarts": 1}, {"restarts": 3}])
def test_pods_that_keep_crashing_are_a_loop(how):
    (one,) = found(made("a", **how), old("b", ready=True)).values()
    assert one.name == "KubernetesCrashLoop"


@pytest.mark.parametrize(
    "how",
    [
        {"restarts": 2},
        {"restarts": 9, "ready": True},
        {"waiting": "ContainerCreating"},
        {"waiting": "PodInitializing"},
    ],
)
def test_a_start_that_takes_its_time_and_a_pod_that_is_well_again_are_none(how):
    assert "KubernetesCrashLoop" not in found(made("a", **how), old("b", ready=True))
    assert "KubernetesImagePull" not in found(made("a", **how), old("b", ready=True))


def test_pods_that_are_not_ready_count_only_while_those_of_the_version_before_are():
    assert "KubernetesPodsNotReady" in found(made("a"), old("b", ready=True))
    assert found(made("a"), old("b")) == {}
    assert found(made("a"), made("c", ready=True), old("b", ready=True)) == {}
    assert found(old("b", ready=True)) == {}


def test_a_trouble_of_the_version_before_is_told_beside():
    one = found(made("a", waiting="CrashLoopBackOff"), old("b", waiting="CrashLoopBackOff"), old("c", ready=True))
    assert one["KubernetesCrashLoop"].older_too == 1


def test_pods_that_go_and_pods_of_others_do_not_count():
    assert (
        found(made("a", waiting="CrashLoopBackOff", going=True), made("b", waiting="CrashLoopBackOff", owner="x"))
        == {}
    )


def test_a_rollout_without_progress_is_told_unless_the_workload_is_paused():
    gave_up = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {**DEPLOYMENT["status"], "availableReplicas": 1, "conditions": [gave_up]}
    stuck = objects.workload({**DEPLOYMENT, "status": status})
    assert found(workload=stuck)["KubernetesRolloutStuck"].pods == 1
    paused = objects.workload({**DEPLOYMENT, "status": status, "spec": {**DEPLOYMENT["spec"], "paused": True}})
    assert found(workload=paused) == {}
    unseen = objects.workload({**DEPLOYMENT, "status": {**status, "observedGeneration": 1}})
    assert found(workload=unseen) == {}


def test_of_any_field_of_a_pod_a_hostile_value_is_read_or_the_pod_has_the_wrong_shape():
    good = made("a", waiting="CrashLoopBackOff", restarts=3)
    for _, document in hostile.documents_of(good):
        try:
            read = pod(document)
        except objects.ShapeError:
            continue
        troubles(WORKLOAD, NEWEST, [NEWEST], [read])
