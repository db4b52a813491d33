"""Programs are found on PATH first, then in `.local/`; what is missing is said in one clear sentence."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from local_stack import binaries

ROOT = binaries.ROOT


def run(*words, path):
    environment = {"PATH": str(path), "PYTHONPATH": str(ROOT / "deploy/local"), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("name", binaries.PROGRAMS)
def test_every_program_is_found_and_starts(name):
    if name in binaries.OPTIONAL and binaries.missing([name]):
        pytest.skip(f"{name} is not to be had here")
    flag = "-v" if name == "haproxy" else "--version"
    done = subprocess.run(
        [binaries.find(name), flag], env=binaries.environment(), capture_output=True, text=True, check=True
    )
    said = done.stdout.lower() + done.stderr.lower()
    if name not in ("victoria-metrics", "vmalert"):  # Debian's are built without a version
        assert "version" in said or "(postgresql) " in said or "chrom" in said


def test_path_comes_before_what_was_fetched_and_upstreams_name_is_known(tmp_path):
    own = tmp_path / "alertmanager"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    code = "from local_stack.binaries import find; print(find('prometheus-alertmanager'))"
    found = run("-c", code, path=tmp_path).stdout.strip()
    assert found in {str(own), "/usr/bin/prometheus-alertmanager"}


def test_an_unknown_program_is_refused():
    with pytest.raises(binaries.BinaryMissingError, match="grafana is not one of prometheus, promtool"):
        binaries.find("grafana")


def test_fetching_again_does_nothing_and_is_quick():
    done = run("-m", "local_stack.binaries", path=os.environ["PATH"])
    assert done.returncode == 0
    assert "fetching" not in done.stdout
    found = [name for name in binaries.PROGRAMS if name not in binaries.OPTIONAL or not binaries.missing([name])]
    assert [line.split()[0] for line in done.stdout.splitlines()] == found


def test_without_apt_one_sentence_says_what_to_install(tmp_path):
    package = tmp_path / "deploy/local/local_stack"
    package.mkdir(parents=True)
    for name in ("__init__.py", "binaries.py"):
        (package / name).write_text((ROOT / "deploy/local/local_stack" / name).read_text())
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"PATH": str(empty), "PYTHONPATH": str(tmp_path / "deploy/local")}
    nowhere = "b._SYSTEM_FOLDERS = (); b._SERVER_FOLDERS = 'none'"
    code = f"import local_stack.binaries as b; {nowhere}; raise SystemExit(b.main())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: Install haproxy, postgresql, prometheus, prometheus-alertmanager with this system's package "
        "manager, so that prometheus, promtool, prometheus-alertmanager, amtool, haproxy, postgres, initdb, pg_ctl "
        "is on PATH.\n"
    )


def test_a_program_that_is_too_old_or_does_not_start_is_not_usable_and_the_reason_is_said(tmp_path):
    for name, body in (
        ("prometheus", "echo 'prometheus, version 2.31.2+ds1 (branch: debian/sid)'"),
        ("promtool", "echo 'promtool, version 3.5.0 (branch: HEAD)'"),
        ("amtool", "echo 'no such library' >&2; exit 127"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    code = "import json; from local_stack.binaries import missing; print(json.dumps(missing()))"
    assert json.loads(run("-c", code, path=f"{tmp_path}:/usr/bin:/bin").stdout) == {
        "prometheus": f"{tmp_path}/prometheus is version 2.31; 2.42 or later is needed",
        "amtool": f"{tmp_path}/amtool does not start: no such library",
    }


def test_a_fetched_program_reads_its_folder_from_where_it_lies(tmp_path):
    usr = tmp_path / "usr"
    templates = usr / "share/prometheus/alertmanager"
    templates.mkdir(parents=True)
    (templates / "default.tmpl").write_text("the template\n")
    program = usr / "bin/amtool"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncat /usr/share/prometheus/alertmanager/default.tmpl\necho "$@"\n')
    program.chmod(0o755)
    binaries._relocate(program)
    program.chmod(0o755)
    done = subprocess.run([program, "one word", "--flag"], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "the template\none word --flag\n"


def test_the_shipped_alertmanager_configuration_is_accepted_by_amtool():
    configuration = ROOT / "deploy/alertmanager/alertmanager.yml"
    done = subprocess.run(
        [binaries.find("amtool"), "check-config", configuration], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


APT = """#!/bin/sh
# Stands for apt-get and apt-cache: says what this release has, and writes down what is asked for.
echo "$(basename "$0") $*" >> {folder}/asked
case "$(basename "$0") $*" in
  *depends*--recurse*) ;;
  *depends*postgresql) {depends} ;;
  *depends*chromium-common) {browser} ;;
  *pkgnames*) {names} ;;
  *download*) exit {code} ;;
esac
"""


def asked_of_apt(tmp_path, *words, depends=":", names=":", browser=":", code=0, calls="raise SystemExit(b.main())"):
    """What is downloaded where nothing is installed, on a release that has these packages."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("apt-get", "apt-cache"):
        (tools / name).write_text(
            APT.format(folder=tmp_path, depends=depends, names=names, browser=browser, code=code)
        )
        (tools / name).chmod(0o755)
    package = tmp_path / "deploy/local/local_stack"
    package.mkdir(parents=True)
    for name in ("__init__.py", "binaries.py"):
        (package / name).write_text((ROOT / "deploy/local/local_stack" / name).read_text())
    for name in ("dpkg", "dpkg-query", "basename"):
        (tools / name).symlink_to(shutil.which(name))
    code = (
        "import sys, local_stack.binaries as b; b._SYSTEM_FOLDERS = (); b._SERVER_FOLDERS = 'none';"
        f" sys.argv = ['binaries', *{list(words)!r}]; b.LOCAL.mkdir(exist_ok=True); {calls}"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": str(tools), "PYTHONPATH": str(tmp_path / "deploy/local")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = (tmp_path / "asked").read_text().splitlines()
    return next(line for line in lines if " download " in line).partition(" download ")[2].split()


@pytest.mark.parametrize("version", ["14", "16", "17", "18"])
def test_the_server_of_this_release_is_the_one_that_the_meta_package_depends_on(tmp_path, version):
    depends = f"printf 'postgresql\\n  Depends: postgresql-common\\n  Depends: postgresql-{version}\\n'"
    found = asked_of_apt(tmp_path, depends=depends, names="printf 'postgresql-99\\n'")
    assert found == ["haproxy", f"postgresql-{version}", "prometheus", "prometheus-alertmanager"]


def test_without_a_meta_package_the_newest_server_is_taken(tmp_path):
    names = "printf 'postgresql-9\\npostgresql-17\\npostgresql-15\\npostgresql-17-cron\\npostgresql-client-18\\n'"
    assert "postgresql-17" in asked_of_apt(tmp_path, names=names)


BROWSER = """printf 'chromium\\n  Depends: libshop9\\n |Depends: libgtk-3-0\\n  Depends: chromium-common\\n'"""


def test_a_browser_comes_with_the_rest_of_it_and_without_a_desktop(tmp_path):
    code = "b.fetch_packages(['chromium'])"
    assert asked_of_apt(tmp_path, calls=code, browser=BROWSER) == ["chromium", "chromium-common", "libshop9"]


def test_where_there_is_no_browser_a_note_says_so_and_the_setup_succeeds(tmp_path):
    nowhere = "b._SYSTEM_FOLDERS = (); b.LOCAL = b.Path(sys.argv[1]); b.PROGRAMS = {'chromium': ()}"
    code = f"import sys, local_stack.binaries as b; {nowhere}; raise SystemExit(b.main())"
    done = run("-c", code, str(tmp_path / "local"), path=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "fetching chromium into .local/ (once) ...\n"
    assert done.stderr.startswith("note: the tests with chromium are left out: Install chromium with ")


def test_the_demo_asks_for_no_postgresql(tmp_path):
    assert asked_of_apt(tmp_path, "--demo") == ["haproxy", "prometheus", "prometheus-alertmanager"]


def test_the_demo_needs_every_program_that_its_stack_starts():
    source = (ROOT / "deploy/local/local_stack/stack.py").read_text()
    started = set(re.findall(r'binaries\.find\("([\w-]+)"\)', source))
    assert started
    assert started <= set(binaries.DEMO)
