"""Which pods Prometheus scrapes, as a file of targets: `python -m local_stack.pod_targets --kubeconfig F --out F`.

Debian builds Prometheus without its discovery for Kubernetes, so this stands in for it: it asks the API server for
the pods of a namespace each second, as `role: pod` would watch them, and writes those that run.
"""

import argparse
import base64
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import yaml

_EVERY = 1.0  # seconds
_LIMIT = 5.0  # seconds for one answer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pod_targets", description="Pods as targets of Prometheus.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--app", required=True, help="value of the label app")
    parser.add_argument("--out", type=Path, required=True, help="file of targets (file_sd)")
    return parser.parse_args()


def _targets(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a group for each pod that runs and has an address."""
    found = []
    for pod in pods:
        ports = pod["spec"]["containers"][0].get("ports") or []
        address = pod.get("status", {}).get("podIP")
        if (
            address
            and ports
            and pod["status"].get("phase") == "Running"
            and "deletionTimestamp" not in pod["metadata"]
        ):
            about = {"pod": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
            found.append({"targets": [f"{address}:{ports[0]['containerPort']}"], "labels": about})
    return found


def main() -> None:
    """Write until asked to end."""
    options = _arguments()
    known = yaml.safe_load(options.kubeconfig.read_text(encoding="utf-8"))
    cluster, user = known["clusters"][0]["cluster"], known["users"][0]["user"]
    url = f"{cluster['server']}/api/v1/namespaces/{options.namespace}/pods?labelSelector=app%3D{options.app}"
    with tempfile.NamedTemporaryFile(suffix=".pem") as authority, requests.Session() as session:
        authority.write(base64.b64decode(cluster["certificate-authority-data"]))
        authority.flush()
        session.headers["Authorization"] = f"Bearer {user['token']}"
        while True:
            with suppress(requests.RequestException, ValueError, KeyError):  # the cluster is away: the file stays
                pods = session.get(url, timeout=_LIMIT, verify=authority.name).json()["items"]
                aside = options.out.with_suffix(".new")
                aside.write_text(json.dumps(_targets(pods)), encoding="utf-8")
                aside.replace(options.out)
            time.sleep(_EVERY)


if __name__ == "__main__":
    main()
