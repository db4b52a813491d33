"""The kinds of objects that the stand-in knows, with the words that discovery tells about them.

A kind without a controller of its own is stored and watched, nothing more.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object in one version of one API group."""

    group: str
    version: str
    plural: str
    name: str
    short: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()  # subresources: status, scale, eviction, token
    namespaced: bool = True
    custom: bool = False  # comes from a CustomResourceDefinition: no strategic merge patch

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The name that messages use: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def kind_and_group(self) -> str:
        """The name that messages about invalid objects use: `Pod`, `Deployment.apps`."""
        return f"{self.name}.{self.group}" if self.group else self.name


def _custom(group: str, version: str, plural: str, name: str, *short: str, namespaced: bool = True) -> Kind:
    return Kind(group, version, plural, name, short, parts=("status",), namespaced=namespaced, custom=True)


_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_MONITORING = "monitoring.coreos.com"
_WORKLOAD = ("status", "scale")

NAMESPACES = Kind("", "v1", "namespaces", "Namespace", ("ns",), ("status", "finalize"), namespaced=False)
NODES = Kind("", "v1", "nodes", "Node", ("no",), ("status",), namespaced=False)
PODS = Kind("", "v1", "pods", "Pod", ("po",), ("status", "log", "eviction"))
SERVICES = Kind("", "v1", "services", "Service", ("svc",), ("status",))
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap", ("cm",))
SECRETS = Kind("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts", "ServiceAccount", ("sa",), ("token",))
CLAIMS = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("pvc",), ("status",))
CORE_EVENTS = Kind("", "v1", "events", "Event", ("ev",))
EVENTS = Kind("events.k8s.io", "v1", "events", "Event", ("ev",))
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment", ("deploy",), _WORKLOAD)
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet", ("rs",), _WORKLOAD)
STATEFUL_SETS = Kind("apps", "v1", "statefulsets", "StatefulSet", ("sts",), _WORKLOAD)
DAEMON_SETS = Kind("apps", "v1", "daemonsets", "DaemonSet", ("ds",), ("status",))
REVISIONS = Kind("apps", "v1", "controllerrevisions", "ControllerRevision")
ROLES = Kind(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Kind(_RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Kind(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota", ("quota",), ("status",))
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",), ("status",))
BUDGETS = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), ("status",))
ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")

KINDS: tuple[Kind, ...] = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    CLAIMS,
    CORE_EVENTS,
    QUOTAS,
    Kind("", "v1", "limitranges", "LimitRange", ("limits",)),
    Kind("", "v1", "endpoints", "Endpoints", ("ep",)),
    Kind("", "v1", "replicationcontrollers", "ReplicationController", ("rc",), _WORKLOAD),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", ("pv",), ("status",), namespaced=False),
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    REVISIONS,
    AUTOSCALERS,
    BUDGETS,
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", ("netpol",)),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", ("ing",), ("status",)),
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    LEASES,
    EVENTS,
    ENDPOINT_SLICES,
    Kind("batch", "v1", "jobs", "Job", (), ("status",)),
    Kind("batch", "v1", "cronjobs", "CronJob", ("cj",), ("status",)),
    Kind(
        _ADMISSION,
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        (),
        ("status",),
        namespaced=False,
    ),
    Kind(_ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        ("crd",),
        ("status",),
        namespaced=False,
    ),
    _custom("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
    _custom("gateway.networking.k8s.io", "v1", "gateways", "Gateway", "gtw"),
    _custom(_MONITORING, "v1", "servicemonitors", "ServiceMonitor", "smon"),
    _custom(_MONITORING, "v1", "podmonitors", "PodMonitor", "pmon"),
    _custom(_MONITORING, "v1", "prometheusrules", "PrometheusRule", "promrule"),
    _custom(_MONITORING, "v1", "prometheuses", "Prometheus", "prom"),
    _custom(_MONITORING, "v1", "alertmanagers", "Alertmanager", "am"),
    _custom(_MONITORING, "v1alpha1", "alertmanagerconfigs", "AlertmanagerConfig", "amcfg"),
    _custom("argoproj.io", "v1alpha1", "applications", "Application", "app"),
    _custom("argoproj.io", "v1alpha1", "appprojects", "AppProject", "appproj"),
    _custom("argoproj.io", "v1alpha1", "rollouts", "Rollout", "ro"),
    _custom("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", "Kustomization", "ks"),
    _custom("helm.toolkit.fluxcd.io", "v2", "helmreleases", "HelmRelease", "hr"),
)

BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}
