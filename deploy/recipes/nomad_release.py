#!/usr/bin/env python3
"""The versions of a job of Nomad, by its HTTP API: nomad_release.py JOB TASK COMMAND [VERSION].

A version is the tag of the image that TASK runs. Nomad numbers each change of a job, a way back too; the tag stays.
The address and the token are those of Nomad's own tools: NOMAD_ADDR, NOMAD_TOKEN.

    current           prints the tag of the job as it stands
    versions          prints the tags of its versions that were stable, the newest first
    rollback VERSION  reverts to the newest stable version with this tag; refused if somebody deployed meanwhile
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

WITHIN = 30.0  # seconds


def ask(path: str, body: object = None) -> object:
    """What Nomad answers to this request, as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ.get("NOMAD_ADDR", "http://127.0.0.1:4646") + path, data)  # noqa: S310
    if token := os.environ.get("NOMAD_TOKEN"):
        request.add_header("X-Nomad-Token", token)
    try:
        with urllib.request.urlopen(request, timeout=WITHIN) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"Nomad refused {path} ({error.code}): {error.read(500).decode(errors='replace')}")
    except (OSError, ValueError) as error:
        sys.exit(f"Nomad gave no answer to {path}: {error}")


def tag(job: dict, task: str) -> str:
    """The tag of the image that a task of a job runs."""
    for group in job.get("TaskGroups") or ():
        for each in group["Tasks"]:
            if each["Name"] == task:
                return str(each["Config"]["image"]).rpartition(":")[2]
    sys.exit(f"The job has no task {task}.")


def main(name: str, task: str, command: str, version: str = "") -> None:
    """Run one command."""
    path = f"/v1/job/{urllib.parse.quote(name, safe='')}"
    job = ask(path)
    if command == "current":
        sys.stdout.write(f"{tag(job, task)}\n")
        return
    stable = [each for each in ask(f"{path}/versions")["Versions"] if each["Stable"]]  # the newest first
    if command == "versions":
        sys.stdout.writelines(f"{each}\n" for each in dict.fromkeys(tag(each, task) for each in stable))
    elif command == "rollback":
        if tag(job, task) == version:
            return
        fitting = [each["Version"] for each in stable if tag(each, task) == version]
        if not fitting:
            sys.exit(f"Nomad has no stable version of {name} with {version} any more (see job_max_versions).")
        ask(f"{path}/revert", {"JobID": name, "JobVersion": fitting[0], "EnforcePriorVersion": job["Version"]})
    else:
        sys.exit(f"no such command: {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
