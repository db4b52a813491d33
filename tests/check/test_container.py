"""The Dockerfile as text: users, targets and files; `make soak` builds it by a real engine and runs the image."""

import re

import pytest

from check import manifests
from check.documents import ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"
PLAIN_WORDS = {"ARG", "FROM", "LABEL", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}


def _instructions():
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def _stages():
    """Each stage by name: what it begins from, and its instructions."""
    stages = {}
    for word, rest in _instructions():
        if word == "FROM":
            begun, _, name = rest.split()
            stages[name] = (begun, [])
        elif stages:
            stages[name][1].append((word, rest))
    return stages


def test_the_controllers_image_is_the_default_and_runs_as_the_user_of_the_pod():
    stages = _stages()
    pod = manifests.objects("base")["Deployment", "rearguard"]["spec"]["template"]["spec"]["securityContext"]
    *_, last = stages
    assert last == "controller"
    assert stages["controller"][0] == stages["with-kubectl"][0] == "controller-base"
    users = [rest for word, rest in stages["controller-base"][1] if word == "USER"]
    assert users == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]


@pytest.mark.parametrize("name", ["controller-base", "exporter"])
def test_an_image_that_is_run_has_a_user_without_rights_and_none_of_the_builders_files(name):
    begun, steps = _stages()[name]
    assert begun == "runtime"
    (user,) = [rest for word, rest in steps if word == "USER"]
    assert int(user.split(":")[0]) > 10_000
    assert [rest.split()[1:] for word, rest in steps if word == "COPY"] == [["/opt/rearguard", "/opt/rearguard"]]


def test_an_image_takes_no_secret_and_only_files_that_exist_and_are_let_in():
    allowed = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    for word, rest in _instructions():
        assert word in PLAIN_WORDS
        assert not re.search(r"token|password|secret|credential", rest, re.IGNORECASE)
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in allowed


def test_the_label_names_the_version_that_is_built():
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert ("ARG", f"VERSION={version}") in _instructions()
