"""The local stack with the shop as pods of the stand-in cluster: `kubectl` deploys them, Prometheus scrapes each.

Here: what differs from the stack on plain processes - the cluster, `kubectl`, and who is scraped and rolled back.
Never here: the story of the demo; how the stand-in works (`local_cluster`).
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from local_stack import binaries, settings
from local_stack.binaries import ROOT
from local_stack.layout import TARGET
from local_stack.process import Program, StackError, wait_until
from local_stack.release import CATALOGUE
from local_stack.stack import Stack

NAMESPACE = "shop"
MANIFEST = ROOT / "deploy/local/kubernetes/shop.yaml"
_KUBECTL_LIMIT = 90.0  # seconds
_PACKAGES = str(Path(__file__).resolve().parents[1])  # for programs of ours
TARGETS = "pods.json"  # of Prometheus, in the work folder


class ClusterProgram(Program):
    """The stand-in cluster: ready once it has printed its address."""

    def _ready(self) -> bool:
        if self.pid is None:
            raise StackError(f"{self.name} ended at once:\n{self.tail()}")
        return self.tail().startswith("https://")


class TargetsProgram(Program):
    """What tells Prometheus of the pods: ready once it has written its file."""

    def _ready(self) -> bool:
        return (self._folder / TARGETS).exists()


P = TypeVar("P", bound=Program)


class ClusterStack(Stack):
    """Prometheus, Alertmanager and the controller as in `Stack`; the shop runs in the stand-in cluster."""

    def __init__(self, folder: Path) -> None:
        """Lay out the folder and write every setting; nothing is started yet."""
        super().__init__(folder)
        self.kubeconfig = self.layout.folder / "kubeconfig"
        self.cluster = self._cluster()
        self.pods = self._pods()

    @property
    def programs(self) -> tuple[Program, ...]:
        """Every program, in the order of their start."""
        return (self.cluster, self.pods, self.alertmanager, self.prometheus, self.controller)

    @property
    def service(self) -> str:
        """The address of the shop's Service; raises `StackError`."""
        found = json.loads(self.kubectl("get", "service", TARGET, "-o", "json"))
        return f"http://{found['spec']['clusterIP']}"

    def start(self, *, without: Sequence[Program] = ()) -> None:
        """Apply the shop, and start every program that is not in `without`; each is ready when this returns."""
        self.apply_shop()
        settings.rewrite(self.layout.folder / "prometheus.yml", self._scrape_pods)
        self.configure_controller(self._roll_back_deployment)
        for program in self.programs:
            if program not in without:
                program.start()

    def apply_shop(self) -> None:
        """Start the cluster, and have the shop's first version serve. May be repeated."""
        self.cluster.start()
        wait_until(self.kubeconfig.exists, within=10, what="the cluster's kubeconfig")
        self.kubectl("apply", "-f", str(MANIFEST))
        self.kubectl("rollout", "status", f"deployment/{TARGET}", "--timeout=60s")

    def kubectl(self, *words: str) -> str:
        """Run the real `kubectl` as administrator, in the shop's namespace; what it printed. Raises `StackError`."""
        program = shutil.which("kubectl")
        if program is None:
            raise StackError("kubectl is missing: see kubernetes.io/docs/tasks/tools")
        home = str(self.layout.folder)
        done = subprocess.run(
            [program, "--namespace", NAMESPACE, *words],
            env={"KUBECONFIG": str(self.kubeconfig), "HOME": home, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=_KUBECTL_LIMIT,
        )
        if done.returncode != 0:
            raise StackError(f"kubectl {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def deploy(self, version: str) -> None:
        """Deploy a version of the shop as anybody would; returns at once."""
        self.kubectl("set", "image", f"deployment/{TARGET}", f"{TARGET}=shop:{version}")

    def image(self) -> str:
        """The image that the Deployment asks for now."""
        found = json.loads(self.kubectl("get", "deployment", TARGET, "-o", "json"))
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def version_of(self, image: str) -> str:
        """The version that the controller knows an image by: the hash of its pod template."""
        for each in json.loads(self.kubectl("get", "replicasets", "-o", "json"))["items"]:
            if each["spec"]["template"]["spec"]["containers"][0]["image"] == image:
                return str(each["metadata"]["labels"]["pod-template-hash"])
        raise StackError(f"no ReplicaSet has the image {image}")

    def _cluster(self) -> ClusterProgram:
        run, data = self.layout.folder / "run", self.layout.folder / "data"
        shop = [
            *("env", f"PYTHONPATH={_PACKAGES}", sys.executable, "-m", "local_stack.shop"),
            *("--release", f"{CATALOGUE}/{{tag}}", "--host", "{address}", "--port", "{port}"),
            *("--database", f"sqlite+aiosqlite:///{data}/{{pod}}.db", "--record", f"{run}/{{pod}}.json"),
        ]
        command: list[str | Path] = [
            *(sys.executable, "-m", "local_cluster", "--kubeconfig", self.kubeconfig, "--namespace", NAMESPACE),
            *("--program", f"shop:*={shlex.join(shop)}", "--logs", self.layout.folder / "logs"),
        ]
        return self._of_ours(ClusterProgram, "cluster", command)

    def _pods(self) -> TargetsProgram:
        command: list[str | Path] = [
            *(sys.executable, "-m", "local_stack.pod_targets", "--kubeconfig", self.kubeconfig),
            *("--namespace", NAMESPACE, "--app", TARGET, "--out", self.layout.folder / TARGETS),
        ]
        return self._of_ours(TargetsProgram, "pods", command)

    def _of_ours(self, kind: type[P], name: str, command: Sequence[str | Path]) -> P:
        return kind(
            name,
            command,
            folder=self.layout.folder,
            log=self.layout.log(name),
            ready_url="",
            environment={**binaries.environment(), "PYTHONPATH": _PACKAGES},
        )

    def _scrape_pods(self, content: dict[str, Any]) -> None:
        job = content["scrape_configs"][0]
        del job["static_configs"]
        job["file_sd_configs"] = [{"files": [str(self.layout.folder / TARGETS)], "refresh_interval": "1s"}]

    def _roll_back_deployment(self, content: dict[str, Any]) -> None:
        service = self.service
        content["kubernetes"] = {"kubeconfig": str(self.kubeconfig)}
        (target,) = content["targets"]
        target["release"] = {"kubernetes": {"namespace": NAMESPACE, "deployment": TARGET, "timeout": "1m"}}
        clear = {"method": "POST", "url": f"{service}/admin/cache/clear"}
        target["hooks"] = {"after": [{"name": "clear-cache", "http": clear, "on_failure": "continue"}]}
        target["verify"]["health"]["url"] = f"{service}/healthz"
