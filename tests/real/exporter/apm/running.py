"""Runs a shop in a process of its own, with the vendors' addresses in its environment."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

TESTS = Path(__file__).parents[3]
QUIET = ("SENTRY_", "DD_", "OTEL_", "REARGUARD_")


class Shop:
    """One shop that is served. Its log is a file, which `said` reads."""

    def __init__(self, folder, framework, order="ours", **environment):
        env = {name: value for name, value in os.environ.items() if not name.startswith(QUIET)}
        env |= {"PYTHONPATH": str(TESTS), "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", **environment}
        self.log = folder / f"{framework}.log"
        command = [sys.executable, str(Path(__file__).with_name("shop.py")), framework, order]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert line.strip().isdigit(), self.said()
        self.address = f"127.0.0.1:{line.strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Stop it as its supervisor does."""
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()

    def said(self):
        return self.log.read_text()

    def complaints(self):
        """What the exporter complained of; that a plain application shows no routes is no complaint."""
        lines = self.said().splitlines()
        return [line for line in lines if "rearguard_exporter:" in line and "no route that is known" not in line]

    def get(self, path, **headers):
        """The status and the body."""
        asked = urllib.request.Request(f"http://{self.address}{path}", headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 - loopback
                return answer.status, answer.read()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read()


def options(**arguments):
    """Arguments of the monitor, as a shop reads them."""
    return json.dumps(arguments)
