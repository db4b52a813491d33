#!/usr/bin/env python3
"""The versions of a release of Helm, as a target's release command: helm_release.py RELEASE NAMESPACE COMMAND.

A version is the revision that brought it, such as r4. Going back makes a new revision with the old content ("Rollback
to 4"), which is the same version again. Chart and values come from Helm's own record, so no repository is asked.

    current           prints the version of the newest revision
    versions          prints those that were deployed and are still recorded, the newest first
    rollback VERSION  goes back to it and waits until its pods are ready
"""

import json
import re
import subprocess
import sys

ROLLBACK = re.compile(r"Rollback to (\d+)")  # how Helm describes a revision that it made by going back
DEPLOYED = ("deployed", "superseded")  # states of a revision that came up


def helm(*words: str) -> str:
    """What helm prints; its own words on standard error if it fails."""
    done = subprocess.run(["helm", *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def revisions(release: str, namespace: str) -> list[tuple[int, str, str]]:
    """(revision, version, state) of everything that Helm has recorded, the oldest first."""
    brought_by: dict[int, int] = {}
    found = []
    for each in json.loads(helm("history", release, "--namespace", namespace, "--max", "1000", "--output", "json")):
        number = each["revision"]
        back = ROLLBACK.fullmatch(each.get("description", ""))
        first = number if back is None else int(back[1])
        brought_by[number] = brought_by.get(first, first)
        found.append((number, f"r{brought_by[number]}", each["status"]))
    return found


def main(release: str, namespace: str, command: str, version: str = "") -> None:
    """Run one command."""
    known = revisions(release, namespace)
    if command == "current":
        sys.stdout.write(f"{known[-1][1]}\n")
    elif command == "versions":
        deployed = [name for _, name, state in reversed(known) if state in DEPLOYED]
        sys.stdout.writelines(f"{name}\n" for name in dict.fromkeys(deployed))
    elif command == "rollback":
        fitting = [number for number, name, state in known if name == version and state in DEPLOYED]
        if not fitting:
            sys.exit(f"Helm has no deployed revision of {version} any more (see --history-max of helm upgrade).")
        if known[-1][1] == version and known[-1][2] == "deployed":
            return
        helm("rollback", release, str(fitting[-1]), "--namespace", namespace, "--wait", "--timeout", "4m")
    else:
        sys.exit(f"no such command: {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
