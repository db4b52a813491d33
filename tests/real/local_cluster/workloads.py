"""Manifests that the tests of the stand-in cluster use."""


def workload(kind="Deployment", *, image="shop:v1", replicas=2, name="shop", **spec):
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "shop", "image": image}]},
    }
    size = {} if kind == "DaemonSet" else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {**size, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }
