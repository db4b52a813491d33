"""The files that run the stand-alone exporter: its unit has right commands, its image is made of what exists."""

import re
import shlex

import pytest
import yaml

from check.documents import ROOT
from rearguard_exporter.standalone.command import parser
from rearguard_exporter.standalone.config.keys import SECTIONS

UNIT = ROOT / "deploy/systemd/rearguard-exporter.service"
CONTAINER = ROOT / "deploy/exporter"


@pytest.mark.parametrize("key", ["ExecStartPre", "ExecStart"])
def test_the_unit_runs_the_command_as_it_is(key):
    (line,) = re.findall(rf"^{key}=(.+)$", UNIT.read_text(), re.MULTILINE)
    program, *words = shlex.split(line)
    assert program.endswith("/bin/rearguard-exporter")
    assert parser().parse_args(words).check is (key == "ExecStartPre")


def test_the_container_sees_the_processes_of_its_service_and_gets_its_configuration():
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    exporter = services["exporter"]
    build = exporter["build"]
    dockerfile = (CONTAINER / build["context"] / build["dockerfile"]).read_text()
    assert f"AS {build['target']}\n" in dockerfile
    assert exporter["pid"] == exporter["network_mode"] == "service:shop"
    (mounted,) = exporter["volumes"]
    source, target, _ = mounted.split(":")
    assert (CONTAINER / source).is_file()
    assert f'"{target}"' in dockerfile
    keys = yaml.safe_load((CONTAINER / "exporter.yaml").read_text()).keys()
    assert keys <= set(SECTIONS[0].names)
