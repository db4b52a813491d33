#!/usr/bin/env python3
"""The versions of an application on Heroku, or a platform with its API: heroku_release.py APP COMMAND [VERSION].

A version is the release that brought a slug, such as v12. Going back makes a new release with the old slug, which is
the same version again. The token stands in the file that HEROKU_TOKEN_FILE names; HEROKU_API is the address.

    current           prints the version that serves
    versions          prints those that succeeded, the newest first
    rollback VERSION  makes a release of it
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

WITHIN = 30.0  # seconds
MOST = 200  # releases that are looked at


def ask(path: str, body: object = None) -> object:
    """What the platform answers to this request, as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ.get("HEROKU_API", "https://api.heroku.com") + path, data)  # noqa: S310
    token = Path(os.environ["HEROKU_TOKEN_FILE"]).read_text().strip()
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Accept", "application/vnd.heroku+json; version=3")
    request.add_header("Range", f"version ..; order=desc, max={MOST}")
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=WITHIN) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"The platform refused {path} ({error.code}): {error.read(500).decode(errors='replace')}")
    except (OSError, ValueError) as error:
        sys.exit(f"The platform gave no answer to {path}: {error}")


def main(app: str, command: str, version: str = "") -> None:
    """Run one command."""
    path = f"/apps/{urllib.parse.quote(app, safe='')}/releases"
    releases = [each for each in ask(path) if each["status"] == "succeeded" and each["slug"]]
    if not releases:
        sys.exit(f"{app} has no release that succeeded.")
    brought: dict[str, str] = {}  # slug -> the release that brought it
    for each in sorted(releases, key=lambda each: each["version"]):
        brought.setdefault(each["slug"]["id"], f"v{each['version']}")
    newest_first = [(brought[each["slug"]["id"]], each["id"]) for each in releases]
    if command == "current":
        sys.stdout.write(f"{newest_first[0][0]}\n")
    elif command == "versions":
        sys.stdout.writelines(f"{name}\n" for name in dict.fromkeys(name for name, _ in newest_first))
    elif command == "rollback":
        fitting = [number for name, number in newest_first if name == version]
        if not fitting:
            sys.exit(f"{app} has no release {version} that succeeded any more.")
        if newest_first[0][0] != version:
            ask(path, {"release": fitting[0]})
    else:
        sys.exit(f"no such command: {command}")


if __name__ == "__main__":
    main(*sys.argv[1:])
