"""`make demo KUBERNETES=1`: a bad release of a Deployment, and the way back, on the stand-in cluster.

Here: what differs from the demo on plain processes: who deploys (`kubectl`), and what must be true at the end.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path

import requests

from local_stack.cluster_stack import ClusterStack
from local_stack.demo import Demo, keep_running, main
from local_stack.load import RATE, LoadThread
from local_stack.proof import Claim, condition_over
from local_stack.screen import Screen
from local_stack.story import Event

_SHOPPERS_ASKED = 30  # among thirty neighbouring customers nine never joined the loyalty programme
_OK = 200


class ClusterDemo(Demo):
    """The same story; the shop is two pods of a Deployment."""

    def __init__(self, stack: ClusterStack, screen: Screen, load: LoadThread) -> None:
        """Start nothing yet."""
        super().__init__(stack, screen, load)
        self.cluster = stack

    def set_the_scene(self) -> None:
        """Start everything, and wait until the first version is known good."""
        self.screen.title("The scene")
        self.screen.footer("starting the parts", "")
        self.cluster.start()
        started = time.monotonic() - self.began
        parts = "stand-in cluster with shop:v1 in two pods, Prometheus, Alertmanager, controller"
        self.screen.line("started", f"{parts}, in {started:.1f} s")
        self.load.start()
        self.screen.line("load", f"about {RATE:.0f} requests a second through the Service")
        self.wait_for_trust("shop:v1")

    def deploy_the_fault(self) -> None:
        """Deploy the version that fails, as anybody would."""
        self.screen.title("The fault")
        self.screen.line("kubectl", "set image deployment/shop shop=shop:v2")
        at = time.time()
        self.cluster.deploy("v2")
        self.wait_for_fault()
        self.screen.event(Event(at, "v2 deployed", "it fails for customers without a loyalty tier, three in ten"))

    def good_version(self) -> str:
        """The hash of the pod template of v1."""
        return self.cluster.version_of("shop:v1")

    def claims(self) -> list[Claim]:
        """What must be true at the end, asked of the part that must know."""
        image, found = self.cluster.image(), self.asker.rollbacks()
        outcomes = ", ".join(str(rollback["outcome"]) for rollback in found) or "none"
        history = self.cluster.kubectl("rollout", "history", "deployment/shop").strip().splitlines()
        urls = [f"{self.cluster.service}/products/1?customer={n}" for n in range(1, _SHOPPERS_ASKED + 1)]
        good = 0
        with suppress(requests.RequestException):
            good = sum(requests.get(url, timeout=5).status_code == _OK for url in urls)
        return [
            Claim("v1 serves again", image == "shop:v1", f"kubectl: the Deployment asks for {image}"),
            condition_over(self.asker),
            Claim("shoppers are served", good == len(urls), f"{good} of {len(urls)} through the Service"),
            Claim("exactly one rollback ran", outcomes == "recovered", f"{len(found)} ({outcomes})"),
            Claim(
                "kubectl rollout history tells it",
                any("rearguard: from" in line for line in history),
                history[-1].strip() if history else "it is empty",
            ),
        ]


def _run(folder: Path, *, keep: bool) -> bool:
    screen = Screen()
    with ClusterStack(folder) as stack:
        stack.apply_shop()
        load = LoadThread(stack.service)
        try:
            with screen:
                good = ClusterDemo(stack, screen, load).tell()
            if keep:
                with suppress(SystemExit):  # the signal that ends it is what was asked for
                    keep_running(stack, screen, stack.service)
        finally:
            load.stop()
    return good


if __name__ == "__main__":
    sys.exit(main(_run))
