"""The chart in deploy/helm: rendered by the real helm, it holds the objects that deploy/kubernetes holds."""

import subprocess

import kubernetes_validate
import pytest
import yaml

from check import manifests
from check.documents import ROOT
from check.manifests import VERSIONS
from check.test_modelines import MODELINE
from local_stack.npm_packages import find_helm

CHART = ROOT / "deploy/helm/rearguard"
POLICIES_SINCE = (1, 30)  # the Kubernetes that knows ValidatingAdmissionPolicy in its final version


def rendered(*values, namespace="rearguard"):
    """Every object of the chart with these values, by kind and name."""
    settings = [word for value in values for word in ("--set", value)]
    command = [find_helm(), "template", "rearguard", CHART, "--namespace", namespace, *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert all("namespace" in one["metadata"] for one in found if not one["kind"].startswith("ValidatingAdmission"))
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def plain(objects):
    """Without what the two ways say differently: the namespace's own object, generated names, and the image."""
    found = {}
    for (kind, name), one in objects.items():
        if kind == "Namespace":
            continue
        spec = one.get("spec", {}).get("template", {}).get("spec")
        if kind == "ConfigMap":
            one["metadata"]["name"] = "rearguard-config"
            one["data"] = {file: MODELINE.sub("", text).strip() for file, text in one["data"].items()}
        elif spec is not None:
            spec["containers"][0].pop("image")
            spec["containers"][0]["env"].sort(key=lambda variable: variable["name"])
            (config,) = [volume for volume in spec["volumes"] if volume["name"] == "config"]
            config["configMap"]["name"] = "rearguard-config"
            one["spec"]["template"]["metadata"]["annotations"].pop("rearguard.dev/config", None)
        found[kind, name.split("-config-")[0].removesuffix("-config")] = one
    return found


def test_one_replica_is_what_the_base_and_its_target_and_policy_are(tmp_path):
    by_kubectl = manifests.objects("base") | manifests.objects("targets/shop")
    by_kubectl |= manifests.component("admission-policy", tmp_path)
    assert plain(rendered()) == plain(by_kubectl)


def test_several_replicas_are_what_the_overlay_for_them_is():
    by_kubectl = plain(manifests.objects("overlays/production-ha"))
    by_helm = plain(rendered("journal.postgresSecret=rearguard-postgres"))
    for objects in (by_kubectl, by_helm):
        objects.pop(("ConfigMap", "rearguard"))  # the overlay's is an example
        objects["PodDisruptionBudget", "rearguard"]["metadata"].pop("labels", None)
    assert by_helm == by_kubectl


@pytest.mark.parametrize(
    ("value", "component", "role"),
    [
        ("drainNamespaces={shop}", "drain", "rearguard-drain"),
        ("pause.argocd=argocd", "pause-argocd", "rearguard-pause-argocd"),
        ("pause.flux=flux-system", "pause-flux", "rearguard-pause-flux"),
    ],
)
def test_rights_are_those_of_the_component_and_belong_to_the_account(tmp_path, value, component, role):
    by_kubectl = manifests.component(component, tmp_path)
    by_helm = rendered(value, namespace="ops")
    assert by_helm["Role", role]["rules"] == next(
        one["rules"] for (kind, _), one in by_kubectl.items() if kind == "Role"
    )
    binding = by_helm["RoleBinding", role]
    assert binding["roleRef"]["name"] == role
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "rearguard", "namespace": "ops"}]


def test_the_policy_is_about_the_account_of_the_chart_s_namespace():
    policy = rendered(namespace="ops")["ValidatingAdmissionPolicy", "rearguard-templates-only"]
    (condition,) = policy["spec"]["matchConditions"]
    assert condition["expression"] == 'request.userInfo.username == "system:serviceaccount:ops:rearguard"'


def test_a_changed_configuration_is_another_pod():
    def told(*values):
        template = rendered(*values)["Deployment", "rearguard"]["spec"]["template"]
        return template["metadata"]["annotations"]["rearguard.dev/config"]

    assert told() == told()
    assert told("config=environment: staging") != told()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_and_has_no_unknown_field(version):
    more = ("drainNamespaces={shop}", "pause.argocd=argocd", "pause.flux=flux-system")
    for values in (more, (*more, "journal.postgresSecret=rearguard-postgres", "journal.storageClass=fast")):
        for (kind, _), one in rendered(*values).items():
            known = tuple(map(int, version.split("."))) >= POLICIES_SINCE
            if known or not kind.startswith("ValidatingAdmission"):
                kubernetes_validate.validate(one, version, strict=True)
