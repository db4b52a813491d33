"""deploy/systemd: units that systemd-analyze accepts, and a release script that is run for real.

`systemctl` alone is stood in for: no systemd is booted where tests run.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from check.documents import ROOT
from rearguard_controller import config
from rearguard_controller.model import Mode

FOLDER = ROOT / "deploy/systemd"
UNITS = ("rearguard.service", "rearguard-exporter.service")
MOST_EXPOSED = 25  # of 100; what systemd-analyze calls OK begins lower than 50
SYSTEM = Path("/usr/lib/systemd/system")
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$CALLS"
case $1 in
  restart)
    [ ! -e "$CALLS.broken" ] || { rm -f "$CALLS.active"; exit 1; }
    [ ! -e "$CALLS.killed" ] || { kill -9 $PPID; exit 1; }
    date +@%s > "$CALLS.active" ;;
  is-active) [ -e "$CALLS.active" ] ;;
  show) cat "$CALLS.active" ;;
esac
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A root folder with the machine's own units, ours, and the programs that ours start."""
    if shutil.which("systemd-analyze") is None or not SYSTEM.is_dir():
        pytest.fail("systemd-analyze is missing: apt-get install systemd")
    root = tmp_path_factory.mktemp("system")
    shutil.copytree(SYSTEM, root / SYSTEM.relative_to("/"), symlinks=True)
    shutil.copytree(FOLDER, root / "etc/systemd/system", dirs_exist_ok=True)
    for program in ("opt/rearguard/bin/rearguard", "opt/rearguard/bin/rearguard-exporter", "bin/kill"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).write_text("#!/bin/sh\n")
        (root / program).chmod(0o755)
    return root


def _analyze(*words):
    command = ["systemd-analyze", "--no-pager", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_accepted_without_a_word_and_exposes_little(system, unit):
    verified = _analyze("verify", "--man=no", f"--root={system}", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = _analyze("security", "--offline=true", f"--root={system}", f"--threshold={MOST_EXPOSED}", unit)
    assert rated.returncode == 0, rated.stdout


def test_the_verification_can_fail(system):
    broken = (FOLDER / UNITS[0]).read_text().replace("ProtectSystem=strict", "ProtectSystem=stict")
    (system / "etc/systemd/system/broken.service").write_text(broken)
    assert "stict" in _analyze("verify", "--man=no", f"--root={system}", "broken.service").stderr


def test_the_drop_in_lets_the_commands_write_where_the_configuration_points():
    (written,) = re.findall(
        r"^ReadWritePaths=(.+)$", (FOLDER / "rearguard.service.d/checkout.conf").read_text(), re.MULTILINE
    )
    text = (FOLDER / "rearguard.yaml").read_text()
    commands = re.findall(r"^ +\w+: \[(/opt/.+)\]$", text, re.MULTILINE)
    assert [each.split(", ")[:3] for each in commands] == [
        ["/opt/rearguard/release", written, "checkout.service"]
    ] * 4
    rule = (FOLDER / "50-rearguard.rules").read_text()
    assert 'action.lookup("unit") === "checkout.service"' in rule
    assert f"journal: sqlite:///var/lib/{_unit('StateDirectory')}/" in text
    assert f'subject.user === "{_unit("User")}"' in rule


def _unit(key):
    (value,) = re.findall(rf"^{key}=(.+)$", (FOLDER / UNITS[0]).read_text(), re.MULTILINE)
    return value


def test_the_configuration_is_accepted_and_observes():
    (target,) = config.load(FOLDER / "rearguard.yaml").targets
    assert target.policy.mode is Mode.OBSERVE


# --- the release script ---------------------------------------------------------------------------------------------


class Service:
    """A service with two releases, and what systemctl was told."""

    def __init__(self, folder):
        self.home, self.calls = folder / "checkout", folder / "calls"
        for age, version in enumerate(("1.4.2", "1.4.1")):
            (self.home / "releases" / version).mkdir(parents=True)
            os.utime(self.home / "releases" / version, (1_700_000_000 - age, 1_700_000_000 - age))
        (folder / "bin").mkdir()
        (folder / "bin/systemctl").write_text(SYSTEMCTL)
        (folder / "bin/systemctl").chmod(0o755)
        self._environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(self.calls)}

    def release(self, *words):
        command = [FOLDER / "release", self.home, "checkout.service", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=self._environment)
        return done.returncode, done.stdout + done.stderr

    def restarts(self):
        return self.calls.read_text().splitlines().count("restart checkout.service") if self.calls.exists() else 0


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path)


def test_a_release_is_activated_by_link_and_restart_and_named_afterwards(service):
    assert service.release("list") == (0, "1.4.2\n1.4.1\n")
    assert service.release("activate", "1.4.2") == (0, "")
    assert service.release("activate", "1.4.1") == (0, "")
    assert service.release("current") == (0, "1.4.1\n")
    assert (service.home / "current").resolve() == service.home / "releases/1.4.1"
    assert service.restarts() == 2


def test_a_release_that_serves_already_is_not_restarted(service):
    service.release("activate", "1.4.2")
    assert service.release("activate", "1.4.2") == (0, "")
    assert service.restarts() == 1


@pytest.mark.parametrize("version", ["1.5.0", "", "../etc", "-rf", ".hidden"])
def test_what_is_no_installed_release_changes_nothing(service, version):
    service.release("activate", "1.4.2")
    for word in ("check", "activate"):
        code, said = service.release(word, version)
        assert code in {1, 2}
        assert said.startswith("release: ")
    assert service.release("current") == (0, "1.4.2\n")
    assert service.restarts() == 1


def test_a_service_that_does_not_start_is_said_and_the_release_stays_named(service):
    service.release("activate", "1.4.2")
    Path(f"{service.calls}.broken").touch()
    assert service.release("activate", "1.4.1") == (
        1,
        "release: checkout.service does not start with 1.4.1: journalctl -u checkout.service\n",
    )
    assert service.release("current") == (0, "1.4.1\n")


def test_a_script_that_dies_before_the_restart_leaves_the_old_release_named_and_is_run_again(service):
    service.release("activate", "1.4.2")
    Path(f"{service.calls}.active").write_text(f"@{int(time.time()) - 60}\n")  # it has run for a minute
    Path(f"{service.calls}.killed").touch()
    assert service.release("activate", "1.4.1")[0] == -9
    assert service.release("current") == (0, "1.4.2\n")
    Path(f"{service.calls}.killed").unlink()
    assert service.release("activate", "1.4.1") == (0, "")
    assert service.release("current") == (0, "1.4.1\n")


def test_before_anything_was_activated_no_version_is_made_up(service):
    code, said = service.release("current")
    assert code == 1
    assert "nothing was activated yet" in said
