#!/usr/bin/env python3
"""The version that all hosts of an inventory serve, asked by Ansible: ansible_release.py INVENTORY COMMAND [VERSION].

current           prints the version that every host serves; hosts that differ are named, and that is an error
list              prints the versions that every host has, in the order of the first
activate VERSION  lets it serve on every host
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def play(inventory: str, book: str, **given: str) -> None:
    """Run a playbook; what it prints is ours to show only if it fails."""
    words = ["ansible-playbook", "--inventory", inventory, str(HERE / book), "--extra-vars", json.dumps(given)]
    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}  # Ansible takes no other encoding
    pipe = subprocess.PIPE
    done = subprocess.run(words, env=utf8, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout)


def asked(inventory: str, word: str) -> dict[str, list[str]]:
    """The lines that each host prints."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "said"
        play(inventory, "ask.yml", word=word, into=str(into))
        if not into.exists():
            sys.exit(f"{inventory} has no host of the group that {HERE / 'ask.yml'} names")
        return dict(json.loads(into.read_text()))


def main(inventory: str, command: str, version: str = "") -> None:
    """Run one command."""
    if command == "current":
        found = asked(inventory, "current")
        if len({tuple(lines) for lines in found.values()}) > 1:
            sys.exit("the hosts differ: " + ", ".join(f"{host} serves {lines[0]}" for host, lines in found.items()))
        sys.stdout.write(f"{next(iter(found.values()))[0]}\n")
    elif command == "list":
        lists = list(asked(inventory, "list").values())
        sys.stdout.writelines(f"{each}\n" for each in lists[0] if all(each in other for other in lists))
    elif command == "activate":
        play(inventory, "release.yml", version=version)
    else:
        sys.exit(f"no such command: {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
