"""The manifests of deploy/kubernetes, rendered by the real kubectl; no cluster is asked for."""

import functools
import shlex
import shutil
import subprocess

import pytest
import yaml

from check.documents import ROOT

FOLDER = ROOT / "deploy/kubernetes"
# Oldest and newest Kubernetes that the validator knows schemas of.
VERSIONS = ("1.25", "1.37")


class _Loader(yaml.SafeLoader):
    """Takes a bare `=` for text, as Kubernetes does."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)


@functools.cache
def _rendered(folder):
    if shutil.which("kubectl") is None:
        pytest.fail("kubectl is missing: apt-get install kubernetes-client, or see kubernetes.io/docs/tasks/tools.")
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def objects(folder):
    """Every object of a folder below deploy/kubernetes, by kind and name without a generated name's hash."""
    rendered = yaml.load_all(_rendered(FOLDER / folder), Loader=_Loader)
    return {(one["kind"], one["metadata"]["name"].split("-config-")[0]): one for one in rendered}


def component(name, tmp_path, namespace=None):
    """The objects that a component adds, by kind and name."""
    where = {"namespace": namespace} if namespace else {}
    (tmp_path / name).mkdir(exist_ok=True)
    folder = shutil.copytree(FOLDER / "components" / name, tmp_path / name / "component")
    (folder.parent / "kustomization.yaml").write_text(yaml.safe_dump({"components": ["component"], **where}))
    return objects(folder.parent)
