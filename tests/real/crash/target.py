"""A target made to be interrupted: its commands are slow enough to be hit, and every effect is a line on disk.

Run as a program by the controller, in a folder of its own. Here: reading and activating versions, hooks and their
undo, a log of what began, changed and ended, and the note of any other command that was under way at that moment.
Never here: expectations. Knobs are files: `knobs/slow.NAME` holds seconds, `knobs/fail.NAME` makes it fail.
"""

import json
import os
import sys
import time
from pathlib import Path

LOG, KNOBS, BUSY, CURRENT, DRAINED = map(Path, ("effects.log", "knobs", "busy", "current", "drained"))


def note(what, **more):
    entry = {
        "what": what,
        "step": os.environ["REARGUARD_STEP"],
        "attempt": int(os.environ["REARGUARD_ATTEMPT"]),
        "rollback": os.environ["REARGUARD_ROLLBACK_ID"],
        "pid": os.getpid(),
        **more,
    }
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, json.dumps(entry).encode() + b"\n")
    os.fsync(descriptor)
    os.close(descriptor)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def slowness(name):
    """Seconds to pause before and after the effect."""
    knob = KNOBS / f"slow.{name}"
    return float(knob.read_text()) if knob.exists() else 0.0


def activate(version):
    if (KNOBS / "idempotent").exists() and CURRENT.read_text().strip() == version:
        return
    fresh = Path(f"current.{os.getpid()}")
    fresh.write_text(version + "\n")
    fresh.replace(CURRENT)
    note("changed", version=version)


def act(verb, name, arguments):
    beside = [int(each.name) for each in BUSY.iterdir() if alive(int(each.name))]
    mine = BUSY / str(os.getpid())
    mine.touch()
    seconds = slowness(name)  # read before anybody can see that it began, and turn the knob
    note("began", name=name, beside=beside)
    time.sleep(seconds)
    if (KNOBS / f"fail.{name}").exists():
        raise SystemExit(7)
    if verb == "activate":
        activate(*arguments)
    elif name == "drain":
        DRAINED.touch()
    elif name == "restore":
        DRAINED.unlink(missing_ok=True)
    time.sleep(seconds)
    note("ended", name=name)
    mine.unlink()


def main():
    verb, *arguments = sys.argv[1:]
    if verb == "current":
        sys.stdout.write(CURRENT.read_text())
    elif verb == "versions":
        sys.stdout.write("v2\nv1\n")
    elif verb == "activate":
        act(verb, "activate", arguments)
    else:
        act(verb, arguments[0], [])


main()
