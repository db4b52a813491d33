"""The exporter's README can be believed: its programs run, its table is the table, its rules are rules."""

import re
import subprocess
import sys

import pytest

from local_stack.binaries import ROOT, find
from rearguard_exporter import FAMILIES
from rearguard_exporter.families import OWN
from rearguard_exporter.standalone import families as standalone

README = (ROOT / "exporter" / "README.md").read_text()
STANDALONE = (ROOT / "docs" / "standalone.md").read_text()
PROGRAMS = dict(re.findall(r"^\*\*([A-Za-z]+)[^\n]*\n\n```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE))
DJANGO = (
    "from django.conf import settings\nsettings.configure(ROOT_URLCONF='x', SECRET_KEY='x', ALLOWED_HOSTS=['*'])\n"
)
EXPOSED = """
import gc
from rearguard_exporter.frameworks.monitor_parts import MonitorParts
(made,) = [each for each in gc.get_objects() if isinstance(each, MonitorParts)]
assert b'service_name="checkout"' in made.endpoints.metrics.render("", "").body
made.lifecycle.stop()
"""


@pytest.mark.parametrize("name", ["aiohttp", "FastAPI", "Middleware", "Flask", "Django", "Databases", "Vitals"])
def test_every_program_of_the_readme_runs(name, tmp_path):
    program = (DJANGO if name == "Django" else "") + PROGRAMS[name] + EXPOSED
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    if name != "Databases":
        assert len([line for line in PROGRAMS[name].splitlines() if line]) <= 10


def test_the_table_has_every_family_and_its_labels():
    rows = re.findall(r"^\| (`.*?) \| (?:gauge|counter|histogram)[^|]*\|([^|]*)\|$", README, re.MULTILINE)
    told = {name: labels for names, labels in rows for name in re.findall(r"`([a-z_]+)`", names)}
    for family in OWN:
        labels = set(re.findall(r"`([a-z_]+)`", told[family.name]))
        assert set(family.labels) <= labels, family.name
    assert told.keys() <= {family.name for family in FAMILIES}


def test_this_page_and_the_stand_alone_one_have_every_family_of_the_stand_alone_exporter():
    for page in (README, STANDALONE):
        rows = re.findall(r"^\| (`.*?) \|([^|]*)\|(?:[^|]*\|)?$", page, re.MULTILINE)
        told = {name: labels for names, labels in rows for name in re.findall(r"`([a-z_]+)`", names)}
        assert {family.name for family in standalone.FAMILIES} <= told.keys()
        for family in standalone.FAMILIES:
            labels = set(re.findall(r"`([a-z_]+)`", told[family.name]))
            if page is STANDALONE:
                labels.add("db_client_connection_pool_name")  # said once for all, below the table
            assert set(family.labels) <= labels, family.name


def test_its_rules_are_rules(tmp_path):
    rules = tmp_path / "rules.yml"
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    rules.write_text(text)
    done = subprocess.run([find("promtool"), "check", "rules", rules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rules found" in done.stdout
