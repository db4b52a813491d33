"""Datadog's own test agent, in a process on loopback: it takes what the real tracer sends, and shows it."""

import base64
import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from local_stack.process import free_ports


class DatadogAgent:
    """`traces(service)` are those of one service, each a list of spans."""

    def __init__(self, folder):
        port, *others = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        ports = {"--port": str(port), "--otlp-http-port": str(others[0]), "--otlp-grpc-port": str(others[1])}
        words = [word for pair in ports.items() for word in pair]
        program = Path(sys.executable).with_name("ddapm-test-agent")
        self._log = (folder / "agent.log").open("w")
        self._process = subprocess.Popen([program, *words], stdout=self._log, stderr=subprocess.STDOUT, cwd=folder)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._ask("/info")
            except OSError:
                assert time.monotonic() < deadline, "the agent does not start"
                time.sleep(0.05)
            else:
                return

    def _ask(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def traces(self, service):
        """What came so far of this service."""
        return [trace for trace in self._ask("/test/traces") if trace and trace[0]["service"] == service]

    def wait(self, service, count, seconds=20.0):
        """The traces of this service once there are `count`."""
        deadline = time.monotonic() + seconds
        while len(found := self.traces(service)) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found

    def profiles(self, service):
        """The tags of each profile that came so far of this service."""
        bodies = [
            base64.b64decode(one["body"])
            for one in self._ask("/test/session/requests")
            if one["url"].endswith("/profiling/v1/input")
        ]
        told = [re.search(rb'"tags_profiler":\s*"([^"]*)"', body) for body in bodies]
        tags = [set(found[1].decode().split(",")) for found in told if found]
        return [each for each in tags if f"service:{service}" in each]

    def close(self):
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
