"""What the Prometheus operator and a plain Prometheus read: valid by their schemas, equal to rules and routes."""

import functools
import json
import re
import runpy
import subprocess

import jsonschema
import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1, v1alpha1

from check import manifests
from check.documents import ROOT
from check.manifests import FOLDER
from local_stack import binaries

OVERLAY = "overlays/kube-prometheus"
KINDS = {"ServiceMonitor": v1, "PrometheusRule": v1, "Alertmanager": v1, "AlertmanagerConfig": v1alpha1}
ROUTES = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
OBJECT_LIMIT = 1_000_000  # etcd takes 1.5 MiB at most, and kubectl keeps a copy in an annotation of 256 KiB
ANNOTATION_LIMIT = 262_144
SECONDS = {"s": 1, "m": 60}


@pytest.fixture(scope="module")
def objects():
    return manifests.objects(OVERLAY)


@functools.cache
def _validator(kind):
    """The operator's schema of a kind, as strict as an API server: no field that it does not name."""
    schema = _strict(getattr(KINDS[kind], kind).model_json_schema(by_alias=True))
    schema["properties"].pop("metadata")  # Kubernetes' own
    schema["required"] = [key for key in schema.get("required", []) if key != "metadata"]
    return jsonschema.Draft202012Validator(schema)


def _strict(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        if "(?i)" in str(schema.get("pattern", "")):
            del schema["pattern"]  # of Go, in a form that Python does not know
        for each in schema.values():
            _strict(each)
    elif isinstance(schema, list):
        for each in schema:
            _strict(each)
    return schema


def _validate(one):
    _validator(one["kind"]).validate({key: value for key, value in one.items() if key != "metadata"})


def test_every_object_is_valid_by_the_operators_schema_and_has_no_unknown_field(objects):
    kinds = sorted(kind for kind, _ in objects)
    assert kinds == ["AlertmanagerConfig", "ConfigMap", *["PrometheusRule"] * 6, "ServiceMonitor"]
    for (kind, _), one in objects.items():
        if kind in KINDS:
            _validate(one)
        else:
            for version in manifests.VERSIONS:
                kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("ServiceMonitor", "rearguard", ("spec", "endpoints", 0, "intervall"), "15s"),
        ("ServiceMonitor", "rearguard", ("spec", "endpoints", 0, "interval"), "15 seconds"),
        ("PrometheusRule", "rearguard-alerts", ("spec", "groups", 0, "rules", 0, "for"), "5 minutes"),
        ("PrometheusRule", "rearguard-alerts", ("spec", "groups", 0, "rules", 0, "sumary"), "x"),
        ("AlertmanagerConfig", "rearguard", ("spec", "receivers", 1, "webhookConfigs", 0, "max_alerts"), 0),
    ],
)
def test_the_schema_finds_a_mistake(objects, kind, name, path, value):
    broken = json.loads(json.dumps(objects[kind, name]))
    *parents, last = path
    place = broken
    for each in parents:
        place = place[each]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        _validate(broken)


def test_the_operators_rules_are_those_of_the_rule_files():
    written = (FOLDER / OVERLAY / "rules.yaml").read_text()
    script = FOLDER / "operator_rules.py"
    assert written == runpy.run_path(str(script))["text"](), f"run: python {script.relative_to(ROOT)}"
    found = [one for (kind, _), one in manifests.objects(OVERLAY).items() if kind == "PrometheusRule"]
    groups = {group["name"]: group for one in found for group in one["spec"]["groups"]}
    shipped = [group for file in ROOT.glob("rules/*.yml") for group in yaml.safe_load(file.read_text())["groups"]]
    assert groups == {group["name"]: group for group in shipped}
    assert len(groups) == len(shipped)


def test_every_object_is_small_enough_for_kubectl_apply(objects):
    for one in objects.values():
        assert len(json.dumps(one)) < ANNOTATION_LIMIT < OBJECT_LIMIT


def test_the_service_monitor_finds_the_controllers_service_and_port(objects):
    spec = objects["ServiceMonitor", "rearguard"]["spec"]
    service = manifests.objects("base")["Service", "rearguard"]
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert objects["ServiceMonitor", "rearguard"]["metadata"]["namespace"] == service["metadata"]["namespace"]


def test_the_dashboards_are_those_of_the_folder_and_labelled_for_the_sidecar(objects):
    (found,) = [one for (kind, _), one in objects.items() if kind == "ConfigMap"]
    assert found["metadata"]["labels"] == {"grafana_dashboard": "1"}
    files = {file.name: json.loads(file.read_text()) for file in ROOT.glob("grafana/dashboards/*.json")}
    assert {name: json.loads(text) for name, text in found["data"].items()} == files


def _in_alertmanagers_words(route):
    words = {"groupBy": "group_by", "groupWait": "group_wait", "groupInterval": "group_interval"}
    words |= {"repeatInterval": "repeat_interval", "matchers": "matchers", "receiver": "receiver"}
    told = {words[key]: value for key, value in route.items()}
    told["matchers"] = [f'{each["name"]}{each["matchType"]}"{each["value"]}"' for each in told["matchers"]]
    return told


def test_the_operators_routes_are_the_shipped_ones(objects):
    spec = objects["AlertmanagerConfig", "rearguard"]["spec"]
    shipped = [
        {key: value for key, value in route.items() if key != "continue"}
        for route in ROUTES["route"]["routes"]
        if route["receiver"] == "rearguard"
    ]
    assert [_in_alertmanagers_words(route) for route in spec["route"]["routes"]] == shipped
    assert spec["route"]["groupBy"] == ROUTES["route"]["group_by"]
    nobody, rearguard = spec["receivers"]
    assert nobody == {"name": spec["route"]["receiver"]}
    (webhook,) = rearguard["webhookConfigs"]
    service = manifests.objects("base")["Service", "rearguard"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert webhook["url"] == f"http://{host}:{service['spec']['ports'][0]['port']}/webhook/alertmanager"
    assert (webhook["sendResolved"], webhook["maxAlerts"]) == (True, 0)


def test_the_documented_patch_of_the_alertmanager_is_valid_and_the_secret_is_the_one_that_is_read(objects):
    text = (ROOT / "docs/kubernetes.md").read_text()
    (patch,) = re.findall(r"patch alertmanager \S+ --type merge \\?\s*--patch '([^']+)'", text)
    _validate({"apiVersion": "monitoring.coreos.com/v1", "kind": "Alertmanager", **json.loads(patch)})
    assert json.loads(patch) == {"spec": {"alertmanagerConfigMatcherStrategy": {"type": "None"}}}
    receiver = objects["AlertmanagerConfig", "rearguard"]["spec"]["receivers"][1]
    credentials = receiver["webhookConfigs"][0]["httpConfig"]["authorization"]["credentials"]
    assert f"create secret generic {credentials['name']} --from-file={credentials['key']}=" in text


# --- without the operator ------------------------------------------------------------------------------------------

PLAIN = FOLDER / "plain"


def test_the_plain_routes_are_the_shipped_ones_with_the_address_in_the_cluster():
    written = yaml.safe_load((PLAIN / "alertmanager.yml").read_text())
    expected = json.loads(json.dumps(ROUTES).replace("http://rearguard:9465", "http://rearguard.rearguard.svc:9465"))
    assert written == expected
    _tool("amtool", "check-config", PLAIN / "alertmanager.yml")


def _tool(name, *words):
    done = subprocess.run(
        [binaries.find(name), *words],
        env=binaries.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


POD = {
    "__address__": "10.0.0.7:8080",
    "__meta_kubernetes_namespace": "shop",
    "__meta_kubernetes_pod_name": "checkout-5d9",
    "__meta_kubernetes_pod_phase": "Running",
    "__meta_kubernetes_pod_label_app_kubernetes_io_name": "checkout",
    "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
    "__meta_kubernetes_pod_annotation_prometheus_io_port": "8080",
    "__meta_kubernetes_pod_container_port_number": "8080",
}


LEFT_OUT = (
    {"__meta_kubernetes_pod_container_port_number": "9000"},
    {"__meta_kubernetes_pod_phase": "Succeeded"},
    {"__meta_kubernetes_pod_annotation_prometheus_io_scrape": "false"},
)


def test_a_plain_prometheus_scrapes_the_annotated_port_of_a_running_pod_and_nothing_else(tmp_path):
    written = yaml.safe_load((PLAIN / "prometheus.yml").read_text())
    (job,) = written["scrape_configs"]
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod", "namespaces": {"names": ["rearguard", "shop"]}}]
    pods = [
        POD | change for change in ({}, *LEFT_OUT)
    ]  # Debian's Prometheus asks no Kubernetes: told what it would find
    job["static_configs"] = [{"targets": [pod.pop("__address__")], "labels": pod} for pod in pods]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(written))
    _tool("promtool", "check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    words = ("check", "service-discovery", "--timeout=2s", tmp_path / "prometheus.yml", "pods")
    found = [each["labels"] for each in json.loads(_tool("promtool", *words)) if each.get("labels")]
    assert [{key: value for key, value in each.items() if not key.startswith("__")} for each in found] == [
        {"job": "shop/checkout", "namespace": "shop", "pod": "checkout-5d9", "instance": "10.0.0.7:8080"}
    ]


def test_the_controllers_pod_is_one_that_a_plain_prometheus_scrapes():
    annotations = manifests.objects("base")["Deployment", "rearguard"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "9465"}
