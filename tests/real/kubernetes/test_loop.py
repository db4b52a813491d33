"""The whole loop on the stand-in cluster: real Prometheus scrapes the pods, and real kubectl deploys."""

import pytest

from local_stack.ask import Asker
from local_stack.cluster_stack import ClusterStack
from local_stack.load import LoadThread
from local_stack.process import wait_until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def stack(tmp_path):
    with ClusterStack(tmp_path / "stack") as stack:
        yield stack


def known_good(stack, asker, image):
    version = stack.version_of(image)
    wait_until(
        lambda: asker.target().get("last_known_good") == version, within=120, what=f"{image} earned trust", every=0.5
    )
    return version


def closed(asker, within=200):
    def found():
        return next((each for each in asker.rollbacks() if each["phase"] == "closed"), None)

    return wait_until(found, within=within, what="the rollback is closed", every=0.5)


@pytest.mark.soak
def test_a_bad_release_of_a_deployment_is_rolled_back_to_its_known_good_template(stack):
    stack.start()
    asker, load = Asker(stack.layout), LoadThread(stack.service)
    load.start()
    try:
        first = known_good(stack, asker, "shop:v1")
        stack.deploy("v2")
        rollback = closed(asker)
    finally:
        load.stop()
    assert (rollback["outcome"], rollback["trigger"]) == ("recovered", "alert")
    assert (rollback["from_version"], rollback["to_version"]) == (stack.version_of("shop:v2"), first)
    assert stack.image() == "shop:v1"
    assert len(asker.rollbacks()) == 1
    history = stack.kubectl("rollout", "history", "deployment/shop")
    assert f"back to {first} (rollback {rollback['id']})" in history
