"""A past that is written by hand and served by a real Prometheus.

Here: samples as OpenMetrics text, blocks made of it by promtool, and a Prometheus that has them.
Never here: expectations.
"""

import shutil
import subprocess
from contextlib import contextmanager

from local_stack.binaries import environment, find
from real.prometheus import running

REQUESTS = "http_server_request_duration_seconds_count"
SETTINGS = "global: {evaluation_interval: 1h}\nrule_files: [rules.yml]\n"


class Past:
    """Samples of metrics, one file for each, in a folder of the past's own."""

    def __init__(self, folder, every=15.0):
        self.folder = folder
        self._every = every
        self._files = {}

    def add(self, metric, labels, start, end, value=1.0):
        """A sample every so often from `start` to `end`, as a scrape or a rule would have left it."""
        if metric not in self._files:
            self._files[metric] = (self.folder / f"{len(self._files)}.txt").open("w+")
        text = ",".join(f'{name}="{said}"' for name, said in sorted(labels.items()))
        sample = f"{metric}{{{text}}} {value} "
        count = int((end - start) / self._every)
        self._files[metric].writelines(f"{sample}{start + n * self._every:.3f}\n" for n in range(count + 1))

    def version(self, labels, version, start, end):
        """An instance that shows who it is."""
        own = {**labels, "service_version": version, "job": "shop", "instance": f"{labels['service_name']}:1"}
        self.add("target_info", own, start, end)

    def fires(self, name, labels, pending, firing, end):
        """An alert that is pending from `pending` on, and firing from `firing` to `end`."""
        own = {"alertname": name, "action": "rollback", "severity": "critical", **labels}
        self.add("ALERTS", {**own, "alertstate": "pending"}, pending, firing - self._every)
        self.add("ALERTS", {**own, "alertstate": "firing"}, firing, end)
        self.add("ALERTS_FOR_STATE", own, pending, end, pending)

    def write(self):
        """The whole past as one file."""
        with (self.folder / "past.txt").open("w") as whole:
            for metric, file in self._files.items():
                whole.write(f"# TYPE {metric} unknown\n")
                file.seek(0)
                shutil.copyfileobj(file, whole)
                file.close()
            whole.write("# EOF\n")


class Counters(Past):
    """A past of raw counters, scraped every 5 s."""

    def __init__(self, folder):
        super().__init__(folder, every=5.0)

    def serves(self, labels, version, instance, start, end, *, requests, failures, skips=(), job="shop (1)"):
        """An instance with its counters: so many requests in each step, and failures as a function of time."""
        place = {"job": job, "instance": instance}
        total = failed = 0.0
        for number in range(int((end - start) / 5.0) + 1):
            at = start + 5.0 * number
            wrong = failures(at)
            total, failed = total + requests - wrong, failed + wrong
            if at in skips:
                continue
            self.add("target_info", {**labels, **place, "service_version": version}, at, at)
            self.add(REQUESTS, {**place, "http_route": "/", "http_response_status_code": "200"}, at, at, total)
            if failed:
                self.add(REQUESTS, {**place, "http_route": "/", "http_response_status_code": "500"}, at, at, failed)
            self.add(REQUESTS, {**place, "http_response_status_code": "404", "error_type": "e"}, at, at, 1.0)


@contextmanager
def remembered(past, rules):
    """The address of a Prometheus that remembers a past and has these rules loaded."""
    folder = past.folder
    past.write()
    (folder / "prometheus.yml").write_text(SETTINGS)
    (folder / "rules.yml").write_text(rules)
    making = [find("promtool"), "tsdb", "create-blocks-from", "--max-block-duration=700h", "openmetrics", "--quiet"]
    subprocess.run(
        [*making, folder / "past.txt", folder / "data"],
        env=environment(),
        check=True,
        capture_output=True,
        timeout=120,
    )
    with running(folder, "--storage.tsdb.retention.time=10y") as address:
        yield address
