"""Writes `rules/` as PrometheusRule objects for the Prometheus operator: `overlays/kube-prometheus/rules.yaml`.

Run it after a change of the rules; `make check` fails while the two differ. One object for each file.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
WRITTEN = Path(__file__).resolve().parent / "overlays/kube-prometheus/rules.yaml"
_HEAD = "# Written by deploy/kubernetes/operator_rules.py from rules/. Edit those, and run it again.\n"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they stand."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def objects() -> list[dict[str, Any]]:
    """Return one PrometheusRule for each file of `rules/`, in the order of their names."""
    return [_object(file) for file in sorted(RULES.glob("*.yml"))]


def _object(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": f"rearguard-{file.stem}",
            "namespace": "rearguard",
            "labels": {"app.kubernetes.io/name": "rearguard", "prometheus": "k8s", "role": "alert-rules"},
        },
        "spec": {"groups": content["groups"]},
    }


def text() -> str:
    """Return what the file should hold."""
    return _HEAD + yaml.dump_all(objects(), Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


if __name__ == "__main__":
    WRITTEN.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{WRITTEN.relative_to(ROOT)}\n")
