"""The stand-in cluster as a whole: `running` starts one in this process and stops it again.

async with running() as cluster:
    cluster.scripts.set("shop:v2", Script(never_ready=True))
    cluster.add_namespace("shop")
    cluster.create(deployment)
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
"""

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
import yaml
from aiohttp import web

from local_cluster.access import ADMIN, Access, Tokens, service_account
from local_cluster.admin import Admin
from local_cluster.api import ApiServer
from local_cluster.budgets import BudgetController
from local_cluster.daemon_sets import DaemonSetController
from local_cluster.deployments import DeploymentController
from local_cluster.events import Events
from local_cluster.faults import Faults
from local_cluster.garbage import NamespaceController, collect_garbage
from local_cluster.kinds import BY_NAME, NAMESPACES, NODES, SERVICE_ACCOUNTS, Kind
from local_cluster.objects import Object, namespace_of
from local_cluster.pod_processes import ProcessRunner
from local_cluster.pod_scripts import Scripts
from local_cluster.pods import NODE, Kubelet, Runner, ScriptRunner
from local_cluster.replica_sets import ReplicaSetController
from local_cluster.request import Asked
from local_cluster.services import ServiceController
from local_cluster.stateful_sets import StatefulSetController
from local_cluster.store import Change, Store
from local_cluster.watching import Watches, too_old
from local_cluster.work_queue import WorkQueue
from local_cluster.writing import Write

_FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Cluster:
    """One stand-in cluster; everything a test may look at or switch is an attribute."""

    def __init__(self, *, remembered: int = 4000, tls: bool = True, logs: Path | None = None) -> None:
        """Hold an empty cluster that does not run yet; `remembered` changes of each kind can be watched again.

        What pods print that are processes goes to files under `logs`.

        Without TLS, `kubectl` sends no token: client libraries do not trust a token to a plain connection.
        """
        self._authority = trustme.CA() if tls else None
        self.store = Store(remembered=remembered)
        self.scripts = Scripts()
        self.digests: dict[str, str] = {}  # image: the digest its tag points to
        self.faults = Faults()
        self.watches = Watches()
        self.tokens = Tokens()
        self.access = Access(self.store)
        self.admin_token = self.tokens.issue(ADMIN)
        self.api = ApiServer(self.store, self.access, self.tokens, self.faults, self.watches)
        collect_garbage(self.store)
        self._events = Events(self.store)
        self.programs = ProcessRunner(self.store, logs or Path(tempfile.gettempdir()) / f"local_cluster_{id(self)}")
        runners: list[Runner] = [self.programs, ScriptRunner(self.scripts)]
        self.kubelet = Kubelet(self.store, self._events, runners, self.digests)
        self.api.read_log = self.programs.read_log
        self.programs.look_again = self.kubelet.look_again
        self.services = ServiceController(self.store, self._events)
        self._queues: list[WorkQueue] = [
            DeploymentController(self.store, self._events).queue,
            ReplicaSetController(self.store, self._events).queue,
            StatefulSetController(self.store, self._events).queue,
            DaemonSetController(self.store, self._events).queue,
            self.services.queue,
            NamespaceController(self.store).queue,
            BudgetController(self.store).queue,
            self.kubelet.queue,
        ]
        self.api.admin = Admin(
            self.api,
            self.scripts,
            self.programs,
            self.digests,
            self.kubelet.look_at_all,
            self.forget_changes,
            self.away_for,
        ).answer
        self.store.listen(NAMESPACES, self._when_namespace_changed)
        self._runner: web.AppRunner | None = None
        self.port = 0
        for name in _FIRST_NAMESPACES:
            self.add_namespace(name)
        self.add_node(NODE)

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"{'https' if self._authority else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the authority that signed the API server's; empty without TLS."""
        return self._authority.cert_pem.bytes() if self._authority else b""

    def _tls(self) -> ssl.SSLContext | None:
        if self._authority is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc").configure_cert(context)
        return context

    async def start(self, port: int = 0) -> None:
        """Listen on loopback, on a free port when it is 0, and start the controllers."""
        self.port = port
        await self.come_back()
        for queue in self._queues:
            queue.start()

    async def stop(self) -> None:
        """End everything."""
        await self.go_away()
        for queue in self._queues:
            await queue.stop()
        self.services.close()
        self.programs.kill_all()

    async def go_away(self) -> None:
        """Close the API: open watches break off, and new connections are refused. Controllers and pods go on."""
        if self._runner:
            self.watches.held = False
            self.watches.end_all()
            await self._runner.cleanup()
            self._runner = None

    @property
    def answering(self) -> bool:
        """True while the API is open."""
        return self._runner is not None

    async def away_for(self, seconds: float) -> None:
        """Go away, and come back after this time."""
        await self.go_away()
        await asyncio.sleep(seconds)
        await self.come_back()

    async def come_back(self) -> None:
        """Open the API again, on the same port."""
        runner = web.AppRunner(self.api.application(), shutdown_timeout=0.2, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self._tls())
        await site.start()
        self.port = int(runner.addresses[0][1])
        self._runner = runner

    def add_namespace(self, name: str) -> None:
        """Create a namespace, unless it is there."""
        if self.store.find(NAMESPACES, "", name) is None:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def add_node(self, name: str) -> None:
        """Add a node; only DaemonSets mind how many there are."""
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        self.store.create(NODES, {"metadata": metadata, "spec": {}, "status": _node_status()})

    def create(self, value: Object) -> Object:
        """Create an object as the API would, with defaults and checks, but without a request; raises `ApiError`."""
        kind = BY_NAME[value["apiVersion"], value["kind"]]
        return Write(self.store, self._asked(kind, value, "create"), "test").create(value)

    def _asked(self, kind: Kind, value: Object, verb: str) -> Asked:
        namespace = (namespace_of(value) or "default") if kind.namespaced else ""
        return Asked(kind, namespace, value["metadata"].get("name") or "", "", verb)

    def token_of(self, namespace: str, name: str) -> str:
        """Return a new token for a service account."""
        return self.tokens.issue(service_account(namespace, name))

    def forget_changes(self) -> None:
        """Make every version so far too old, and tell the open watches so."""
        self.store.forget_changes()
        self.watches.end_all(too_old())

    async def settled(self, *, within: float = 20.0) -> None:
        """Wait until no controller has anything left to do now; raises `TimeoutError`."""
        async with asyncio.timeout(within):
            quiet = 0
            while quiet < len(self._queues):
                await asyncio.sleep(0)
                quiet = quiet + 1 if all(queue.idle for queue in self._queues) else 0

    def write_kubeconfig(self, path: Path, *, token: str = "", namespace: str = "default") -> Path:
        """Write a kubeconfig for the holder of the token, the administrator by default; returns its path."""
        name = "stand-in"
        server: dict[str, str] = {"server": self.url}
        if self.ca_pem:
            server["certificate-authority-data"] = base64.b64encode(self.ca_pem).decode()
        settings = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": server}],
            "users": [{"name": name, "user": {"token": token or self.admin_token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
            "current-context": name,
        }
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        path.chmod(0o600)
        return path

    def write_account_files(self, folder: Path, namespace: str, name: str) -> Path:
        """Write `token`, `ca.crt` and `namespace` as a pod finds them mounted; returns the folder.

        Called again, it writes a new token, as the kubelet does when it rotates them; the old one stays good.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in (("ca.crt", self.ca_pem), ("namespace", namespace.encode())):
            (folder / file).write_bytes(content)
        fresh = folder / "..token"
        fresh.write_text(self.token_of(namespace, name), encoding="ascii")
        fresh.replace(folder / "token")
        return folder

    def _when_namespace_changed(self, change: Change) -> None:
        if change.what == "ADDED":
            account = {"metadata": {"name": "default", "namespace": change.object["metadata"]["name"]}}
            self.store.create(SERVICE_ACCOUNTS, account)


def _node_status() -> Object:
    return {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "nodeInfo": {"kubeletVersion": "v1.32.4"},
    }


@asynccontextmanager
async def running(
    *, port: int = 0, remembered: int = 4000, tls: bool = True, logs: Path | None = None
) -> AsyncIterator[Cluster]:
    """Run a cluster in this process for as long as the block lasts."""
    cluster = Cluster(remembered=remembered, tls=tls, logs=logs)
    await cluster.start(port)
    try:
        yield cluster
    finally:
        await cluster.stop()
