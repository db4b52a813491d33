"""What happens to a rollback in a cluster, end to end: real Prometheus, Alertmanager and kubectl, shipped rights.

Here: one stack that starts once, and stories on it in turn; each begins and ends on a version that is known good.
"""

import base64
import json
import time
from contextlib import contextmanager

import pytest
import requests
import yaml

from local_stack.ask import Asker, seconds
from local_stack.binaries import ROOT
from local_stack.cluster_stack import ClusterStack
from local_stack.load import LoadThread
from local_stack.process import StackError, wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

AWAY = 120.0  # seconds
TRACKED = "argocd.argoproj.io/tracking-id"
ROLLING = "^(?!.*dryRun).*fieldManager=rearguard"  # the query of the patch itself


class Story:
    """The stack, what is asked of it, and the switches of its cluster."""

    def __init__(self, stack, folder):
        self.stack, self.kubectl = stack, stack.kubectl
        self.ask = Asker(stack.layout)
        access = yaml.safe_load(stack.kubeconfig.read_text(encoding="utf-8"))
        cluster = access["clusters"][0]["cluster"]
        self._authority = folder / "authority.pem"
        self._authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        self._server, self._token = cluster["server"], access["users"][0]["user"]["token"]

    def switch(self, what, method="POST", **fields):
        """Ask the stand-in for a switch of a test."""
        answer = requests.request(
            method,
            f"{self._server}/stand-in/{what}",
            json=fields or None,
            headers={"Authorization": f"Bearer {self._token}"},
            verify=self._authority,
            timeout=10,
        )
        assert answer.ok, answer.text
        return answer.json()

    def patches(self):
        """When each patch by which a template was put back came to the API server, and how it was answered."""
        return [
            (each["at"], each["code"])
            for each in self.switch("requests", "GET")["requests"]
            if each["method"] == "PATCH"
            and each["path"].endswith("/deployments/shop")
            and "fieldManager=rearguard" in each["query"]
            and "dryRun" not in each["query"]
        ]

    def serving(self):
        return self.ask.target().get("serving_version")

    def people(self, path, **body):
        """Say something as an operator."""
        layout = self.stack.layout
        headers = {"Authorization": f"Bearer {layout.token('operator')}"}
        address = f"{layout.controller}/api/monitoring/targets/shop/{path}"
        answer = requests.post(address, json=body, headers=headers, timeout=10)
        assert answer.ok, answer.text

    def good(self):
        """Have people call good what serves, and arm the target again; the version."""
        wait_until(lambda: self.stack.image() == "shop:v1", within=30, what="nothing bad is wanted")
        version = wait_until(self.serving, within=60, what="a version serves", every=0.3)
        wait_until(lambda: self.version_of("shop:v1"), within=30, what="its ReplicaSet")
        self.people("releases", version=version, good=True)
        self.people("arm", reason="the story goes on")
        return version

    def deploy(self, image):
        """Deploy an image; its version, once the controller knows that it is wanted."""
        self.kubectl("set", "image", "deployment/shop", f"shop={image}")
        version = wait_until(lambda: self.version_of(image), within=20, what=f"a ReplicaSet of {image}")
        wait_until(lambda: self.serving() == version, within=30, what=f"{image} is seen", every=0.1)
        return version

    def version_of(self, image):
        try:
            return self.stack.version_of(image)
        except StackError:
            return None

    def rollback(self, left, *, within=120):
        """Wait until the rollback away from a version is closed."""

        def found():
            return next(
                (e for e in self.ask.rollbacks() if e["from_version"] == left and e["phase"] == "closed"), None
            )

        return self.ask.rollback(wait_until(found, within=within, what=f"a rollback from {left}", every=0.3)["id"])

    def not_ready(self, says, within=90):
        """Wait until `status` says this of a check that does not hold; the check."""

        def found():
            return next((each for each in self.ask.target().get("not_ready", []) if says in each["detail"]), None)

        return wait_until(found, within=within, what=f"status says: {says}", every=0.5)

    def refused(self, version, *, code, says, since, within=60):
        """Wait for a decision that leaves a version, because of this reason."""

        def found():
            for each in self.ask.decisions():
                if seconds(each["decided_at"]) >= since and each["verdict"] == "leave":
                    whole = self.ask.decision(each["id"])
                    reasons = {one["code"]: one for one in whole["reasons"]}
                    if reasons[code]["holds"] is False and says in reasons[code]["detail"]:
                        return whole
            return None

        return wait_until(found, within=within, what=f"{version} is left: {code}, {says}", every=0.5)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    with ClusterStack(folder / "stack") as stack:
        stack.start(without=(stack.controller,))
        it = Story(stack, folder)
        stack.kubectl("create", "namespace", "rearguard")
        stack.kubectl("apply", "-k", str(ROOT / "deploy/kubernetes/targets/shop"))
        token = it.switch("tokens", namespace="rearguard", name="rearguard")["token"]
        access = yaml.safe_load(stack.kubeconfig.read_text(encoding="utf-8"))
        access["users"][0]["user"] = {"token": token}
        limited = stack.layout.folder / "controller.kubeconfig"
        limited.write_text(yaml.safe_dump(access), encoding="utf-8")

        def change(content):
            content["kubernetes"]["kubeconfig"] = str(limited)
            content["prometheus"]["poll_interval"] = "2s"
            content["policies"]["standard"] |= {
                "cooldown": "0s",
                "budget": {"rollbacks": 20, "per": "24h"},
            }

        stack.configure_controller(change)
        stack.controller.start()
        for image, script in {
            "broken:pull": {"pull_error": True},
            "broken:crash": {"crash_every": 0.2, "back_off": 1.0},
            "broken:slow": {"never_ready": True},
        }.items():
            it.switch("scripts", image=f"{image}*", **script)
        load = LoadThread(stack.service)
        load.start()
        try:
            yield it
        finally:
            load.stop()


@contextmanager
def role_without_patch(story):
    """The Role that the account has, without the verb by which it changes Deployments."""
    role = json.loads(story.kubectl("get", "role", "rearguard-target", "-o", "json"))
    place = next(n for n, rule in enumerate(role["rules"]) if "deployments" in rule["resources"])
    verbs = role["rules"][place]["verbs"]

    def give(wanted):
        patch = [{"op": "replace", "path": f"/rules/{place}/verbs", "value": wanted}]
        story.kubectl("patch", "role", "rearguard-target", "--type=json", "-p", json.dumps(patch))

    give([verb for verb in verbs if verb != "patch"])
    try:
        yield
    finally:
        give(verbs)


def test_an_image_that_cannot_be_pulled_is_rolled_back_though_the_watch_had_broken_and_forgot(story):
    first = story.good()
    story.switch("watches", gone=True)  # 410: the list has to be read again
    story.switch("watches", end=True)
    bad = story.deploy("broken:pull-1")
    rollback = story.rollback(bad)
    assert (rollback["outcome"], rollback["trigger"], rollback["to_version"]) == ("recovered", "alert", first)
    assert story.stack.image() == "shop:v1"
    assert f"back to {first} (rollback {rollback['id']})" in story.kubectl("rollout", "history", "deployment/shop")


def test_a_pause_an_owner_and_a_missing_right_are_each_named_and_a_deploy_that_races_wins(story):
    story.good()
    since, before = time.time(), len(story.patches())
    bad = story.deploy("broken:pull-2")
    story.kubectl("rollout", "pause", "deployment/shop")
    story.not_ready("deployment shop/shop is paused")  # and nothing is said of a rollout that does not go on
    story.kubectl("annotate", "deployment", "shop", f"{TRACKED}=shop-prod:apps/Deployment:shop/shop")
    story.kubectl("rollout", "resume", "deployment/shop")
    told = story.refused(bad, code="owner_allows", says="Argo CD (Application argocd/shop-prod)", since=since)
    assert told["alert"]["name"] == "KubernetesImagePull"
    since = seconds(told["decided_at"])
    with role_without_patch(story):
        story.kubectl("annotate", "deployment", "shop", f"{TRACKED}-")
        story.refused(bad, code="known_good_exists", says="cannot patch", since=since)
        assert len(story.patches()) == before  # none of them has touched it
        story.switch("faults", methods=["PATCH"], path="/deployments/shop$", query=ROLLING, delay=5.0, times=1)
    wait_until(lambda: story.switch("faults", "GET")["faults"][0]["met"], within=60, what="the patch is under way")
    mended = {
        "metadata": {"annotations": {"mended": "yes"}},
        "spec": {"containers": [{"name": "shop", "image": "shop:v1"}]},
    }
    story.kubectl("patch", "deployment", "shop", "-p", json.dumps({"spec": {"template": mended}}))
    rollback = story.rollback(bad)
    story.switch("faults", "DELETE")
    assert rollback["outcome"] == "superseded", rollback
    assert story.patches()[-1][1] in (409, 422)
    template = json.loads(story.kubectl("get", "deployment", "shop", "-o", "json"))["spec"]["template"]
    assert template["metadata"]["annotations"] == {"mended": "yes"}  # the deploy stands


def test_of_two_bad_ones_in_a_row_the_known_good_comes_back_though_the_controller_is_killed(story):
    good = story.good()
    first_bad = story.deploy("broken:pull-3")
    second_bad = story.deploy("broken:crash-1")
    assert len({good, first_bad, second_bad}) == 3
    before = len(story.patches())
    story.switch("faults", methods=["PATCH"], path="/deployments/shop$", query=ROLLING, late=90.0, times=1)
    wait_until(lambda: len(story.patches()) > before, within=60, what="the patch arrived")
    wait_until(lambda: story.stack.image() == "shop:v1", within=20, what="the patch is done")
    story.stack.controller.kill()  # it never heard of its success
    story.switch("faults", "DELETE")
    story.stack.controller.start()
    rollback = story.rollback(second_bad)
    assert (rollback["outcome"], rollback["to_version"]) == ("recovered", good), rollback
    assert len(story.patches()) == before + 1
    assert not [each for each in story.ask.rollbacks() if first_bad in (each["from_version"], each["to_version"])]


def test_pods_that_never_become_ready_are_rolled_back_after_the_api_server_was_away_for_two_minutes(story):
    good = story.good()
    bad = story.deploy("broken:slow-1")
    story.switch("away", seconds=AWAY)
    gone = time.monotonic()

    assert "SSLContext" not in story.not_ready("The API server cannot be asked")["detail"]
    assert story.serving() == bad  # what was known is not forgotten
    assert not [each for each in story.ask.rollbacks() if each["from_version"] == bad]
    rollback = story.rollback(bad, within=AWAY + 120)
    assert time.monotonic() - gone > AWAY
    assert (rollback["outcome"], rollback["to_version"]) == ("recovered", good), rollback
    decision = story.ask.decision(rollback["decision_id"])
    assert decision["alert"]["name"] in ("KubernetesPodsNotReady", "KubernetesRolloutStuck")
