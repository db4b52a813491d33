"""A mutation campaign: guards of the rooms that decide and act are taken away one by one, and a test must see it.

Run by `make mutants` (a part: `make mutants ONLY=execution`), never in the working tree: each worker has a copy.
First the tests run once without any change, which shows what each of them calls; then each mutant meets only the
tests that call its function, the quickest first, until one of them fails. It is a small program of our own instead of
mutmut or cosmic-ray, because those change every operator and number, where guards and early returns are what is to be
watched here; because neither picks tests by what they call; and because a survivor has a name that stays.

It ends with 1 where a mutant survives that explained.toml does not name, and writes the result to RESULT.md.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import report
from mutate import mutants, telling
from rooms import GUARDS, LEFT_OUT, LEFT_OUT_TESTS, LONGEST_RUN, LONGEST_TEST, PART_OF_GUARDS, ROOMS, TESTS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = Path("controller/rearguard_controller")
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".local", ".*_cache", ".hypothesis", "__pycache__", "*.pyc")
PLUGINS = (
    "-p",
    "no:cacheprovider",
    "-p",
    "pytest_asyncio.plugin",
    "-p",
    "pytest_timeout",
    "-p",
    "_hypothesis_pytestplugin",
)
WORKERS = 2
START = 30.0  # seconds that a run of pytest may take beyond its tests
SLOWER = 5.0  # times that a mutant's tests may take longer than they did: the machine may be busy

RUNNING = set()  # processes
STOPPED = threading.Event()


def main():
    parser = argparse.ArgumentParser(
        prog="make mutants", description="Take guards away and see whether a test fails."
    )
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; without: all")
    parser.add_argument("--name", action="append", help="only mutants with these names")
    parser.add_argument("--all", action="store_true", help="all mutants of the rooms, not a choice")
    words = parser.parse_args()
    rooms = words.rooms or list(ROOMS)
    unknown = set(rooms) - set(ROOMS)
    if unknown:
        parser.error(f"no such room: {', '.join(sorted(unknown))}; rooms are {', '.join(ROOMS)}")
    chosen = [each for room in rooms for each in choice(room, everything=words.all or bool(words.name))]
    chosen = [each for each in chosen if not words.name or each.name in words.name]
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="rearguard-mutants-") as folder:
        copies = [copy(Path(folder) / str(number)) for number in range(WORKERS)]
        seen = calls(copies[0])
        results = campaign(chosen, copies, seen)
    explained = tomllib.loads((HERE / "explained.toml").read_text())
    is_whole = not words.rooms and not words.name and not words.all
    left = report.tell(results, explained, minutes=(time.monotonic() - began) / 60, file=HERE if is_whole else None)
    sys.exit(1 if left else 0)


def choice(room, *, everything):
    """The mutants of a room that are tried, in the order of its files."""
    found = []
    for file in sorted((ROOT / PACKAGE / room).rglob("*.py")):
        name = str(file.relative_to(ROOT / PACKAGE))
        if not name.startswith(LEFT_OUT):
            found += mutants(file.read_text(), name)
    by_name = sorted(found, key=lambda each: each.name)
    guards = [each for each in by_name if each.way in GUARDS]
    others = [each for each in by_name if each.way not in GUARDS]
    of_guards = round(ROOMS[room] * PART_OF_GUARDS)
    chosen = found if everything else [*guards[:of_guards], *others[: ROOMS[room] - of_guards]]
    return sorted(chosen, key=lambda each: (each.file, each.line, each.name))


def copy(to):
    shutil.copytree(ROOT, to, ignore=NOT_COPIED, symlinks=True)
    told = run(to, [sys.executable, "-c", "import rearguard_controller as it; print(it.__file__)"], 60).stdout.strip()
    if not told.startswith(str(to)):
        sys.exit(f"the copy's package is not the one that is imported, but {told}")
    return to


def run(folder, words, limit, **more):
    """A finished process, or None after the limit; it ends with everything that it started."""
    paths = os.pathsep.join(str(folder / each) for each in ("controller", "exporter"))
    environment = {**os.environ, "PYTHONPATH": paths, "REARGUARD_FIRST_FAULT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        ["nice", *words],
        cwd=folder,
        env={**environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        RUNNING.add(process)
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None
        finally:
            RUNNING.discard(process)
    return subprocess.CompletedProcess(words, process.returncode, out)


def pytest(folder, words, limit, **more):
    """Only with the plugins that the tests need: the others take longer to load than most tests."""
    options = ["-q", "-m", "not soak", "--timeout=120", "--no-header", *PLUGINS]
    more["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return run(folder, [sys.executable, "-m", "pytest", *options, *words], limit, **more)


def calls(folder):
    """What each test calls, as the plugin who_calls.py writes it down; without tests that are red by themselves."""
    file = folder / "calls.json"
    before = {each: each.read_text() for room in ROOMS for each in (folder / PACKAGE / room).rglob("*.py")}
    for each, text in before.items():
        each.write_text(telling(text, str(each.relative_to(folder / PACKAGE))))
    words = ["-p", "who_calls", "-o", f"pythonpath=tests deploy/local {HERE.relative_to(ROOT)}", "-k", LEFT_OUT_TESTS]
    print("running the tests once, to see what they call ...", flush=True)
    done = pytest(folder, [*words, *TESTS], 1800, REARGUARD_CALLS=str(file))
    for each, text in before.items():
        each.write_text(text)
    if done is None or not file.exists():
        sys.exit(f"the tests do not run without any mutant:\n{done.stdout[-3000:] if done else 'not in time'}")
    seen = json.loads(file.read_text())
    red = [name for name, each in seen.items() if each.get("bad")]
    if done.returncode:
        print(done.stdout[-3000:])
    if red:
        print(f"red or skipped without any mutant, and left out: {', '.join(sorted(red))}")
    return {name: each for name, each in seen.items() if not each.get("bad") and each["seconds"] <= LONGEST_TEST}


def tests_of(mutant, seen):
    """The tests that call a mutant's function, file by file, the quickest first; and their seconds."""
    place = f"{mutant.file} {mutant.function}"
    mine = sorted((each["seconds"], name) for name, each in seen.items() if place in each["calls"])
    taken, seconds = [], 0.0
    for took, name in mine:
        if seconds + took > LONGEST_RUN:
            break
        taken.append(name)
        seconds += took
    files = list(dict.fromkeys(name.partition("::")[0] for name in taken))
    return sorted(taken, key=lambda name: files.index(name.partition("::")[0])), seconds


def campaign(chosen, copies, seen):
    """What became of each mutant: `killed`, `survived`, or `no test`; with how, and in which time."""
    free = SimpleQueue()
    for each in copies:
        free.put(each)

    def one(mutant):
        if STOPPED.is_set():
            return None
        folder = free.get()
        try:
            result = fate(mutant, folder, seen)
        finally:
            free.put(folder)
        print(report.row(result), flush=True)
        return result

    with ThreadPoolExecutor(WORKERS) as workers:
        results = workers.map(one, chosen)
        try:
            return list(results)
        except BaseException:
            STOPPED.set()
            for process in list(RUNNING):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def fate(mutant, folder, seen):
    tests, seconds = tests_of(mutant, seen)
    if not tests:
        return report.Result(mutant, "no test", "", 0)
    file = folder / PACKAGE / mutant.file
    text = file.read_text()
    try:
        file.write_text(mutant.applied(text))
        done = pytest(folder, ["-x", *tests], START + SLOWER * seconds)
    finally:
        file.write_text(text)
    if done is None:
        return report.Result(mutant, "killed", "a test does not end", len(tests))
    if done.returncode == 0:
        return report.Result(mutant, "survived", "", len(tests))
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if not failed:
        return report.Result(mutant, "killed", f"pytest ended with {done.returncode}", len(tests))
    return report.Result(mutant, "killed", failed[0].split()[1].rpartition("/")[2], len(tests))


if __name__ == "__main__":
    main()
