"""`rearguard init` against a real Prometheus: what it finds, says and writes, and what can be done with that."""

import contextlib
import http.server
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from local_stack.binaries import environment, find
from local_stack.process import free_ports
from real.controller.test_cli import rearguard
from real.prometheus import running
from rearguard_controller import config
from rearguard_controller.model import Mode, PrometheusRelease

NAMED = 'service_name="{}",deployment_environment_name="production"'


def info(service, version=None):
    told = "" if version is None else f',service_version="{version}"'
    return f"target_info{{{NAMED.format(service)}{told}}} 1\n"


def requests(counts):
    name = "http_server_request_duration_seconds"
    return f"# TYPE {name} histogram\n" + "".join(
        f'{name}_bucket{{http_response_status_code="{code}",le="+Inf"}} {count}\n'
        f'{name}_count{{http_response_status_code="{code}"}} {count}\n'
        f'{name}_sum{{http_response_status_code="{code}"}} {count / 100}\n'
        for code, count in counts.items()
    )


class Pages:
    """Every path is an instance; what it counts grows with the time."""

    def __init__(self):
        self.began, self.asked = time.time(), 0

    def body(self, path):
        passed = time.time() - self.began
        good, bad = int(passed * 8), int(passed * 2)
        counted = requests({200: good, 500: bad})
        match path:
            case "/orders":
                return info("orders", "v1") + counted
            case "/nover":
                return info("nover") + counted
            case "/unk":
                return info("unk", "unknown") + counted
            case "/workers":  # two processes in turn
                self.asked += 1
                turn = self.asked % 2
                start = 1000 + 50 * turn
                process = f"process_start_time_seconds {start}\nprocess_cpu_seconds_total {passed + 40 * turn}\n"
                return info("workers", "7") + requests({200: good + 1000 * turn}) + process
            case "/quiet":
                return info("quiet", "1")
            case "/go":
                return (
                    f'# TYPE http_requests_total counter\nhttp_requests_total{{code="200",method="get"}} {good}\n'
                    f'http_requests_total{{code="500",method="get"}} {bad}\nbuild_info{{version="1.2.3"}} 1\n'
                )
            case "/inst":
                return f'http_requests_total{{handler="/",status="2xx"}} {good}\n'
        return "some_gauge 1\n"


@contextlib.contextmanager
def pages():
    world = Pages()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = world.body(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


JOBS = ("orders", "nover", "unk", "workers", "quiet", "go", "inst", "node")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    with pages() as port:
        jobs = [
            {
                "job_name": name,
                "metrics_path": f"/{name}",
                "scrape_interval": "30s" if name == "quiet" else "1s",
                "scrape_timeout": "1s",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
            for name in JOBS
        ]
        (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
        with running(folder) as found:
            yield found


@pytest.fixture(scope="module")
def found(address, tmp_path_factory):
    """The folder and the answer of an `init` that saw every instance."""
    deadline, number = time.monotonic() + 90, 0
    while True:
        folder = tmp_path_factory.mktemp("work") / "rearguard"
        number += 1
        done = rearguard("init", "--prometheus", address, "--to", str(folder), "--json")
        services = json.loads(done.stdout)["services"] if done.returncode == 0 else []
        told = {each["service"]: each for each in services}
        seen = {"orders", "nover", "unk", "workers", "quiet"} <= set(told)
        if seen and told["orders"]["requests_per_second"] and "Several workers" in str(told["workers"]["problems"]):
            return folder, json.loads(done.stdout)
        assert time.monotonic() < deadline, (done.stdout[-3000:], done.stderr)
        time.sleep(1)


WRONG = {
    "nover": ["No service_version", "REARGUARD_VERSION"],
    "unk": ["Its version is unknown", "REARGUARD_VERSION"],
    "workers": ["Several workers answer on one address", "docs/workers.md"],
    "quiet": ["Scraped too rarely", "job quiet every 30s", "15s or less", "No http_server_request_duration_seconds"],
}


def test_every_service_is_found_and_what_is_wrong_with_it_is_said_in_words(found):
    _, told = found
    services = {each["service"]: each for each in told["services"]}
    assert set(services) == {"orders", "nover", "unk", "workers", "quiet"}
    orders = services["orders"]
    assert (orders["environment"], orders["versions"], orders["problems"]) == ("production", ["v1"], [])
    assert orders["error_share"] == pytest.approx(0.2, abs=0.05)
    assert 0 < orders["requests_per_second"] < 13  # ten, once a whole minute was scraped
    for name, parts in WRONG.items():
        for part in parts:
            assert part in " ".join(services[name]["problems"]), name
    assert {each["job"]: each["counter"] for each in told["without_target_info"]} == {
        "go": "http_requests_total",
        "inst": "http_requests_total",
    }
    assert told["left_out"] == ["node"]
    assert told["rules_loaded"] is False


def test_the_configuration_can_be_used_as_it_stands_and_only_observes(found):
    folder, told = found
    file = folder / "rearguard.yaml"
    assert file.read_text().startswith("# yaml-language-server: $schema=configuration.schema.json\n")
    assert [each.name for each in folder.glob("*.json")] == ["configuration.schema.json"]
    read = config.load(file)
    assert [each.name for each in read.targets] == sorted(each["service"] for each in told["services"])
    assert {each.policy.mode for each in read.targets} == {Mode.OBSERVE}
    assert all(isinstance(each.release, PrometheusRelease) for each in read.targets)
    assert read.targets[1].match == ({"service_name": "orders", "deployment_environment_name": "production"},)
    checked = rearguard("check", "--config", str(file))
    assert checked.returncode == 0, checked.stderr
    assert "serve will refuse" not in checked.stdout


def test_a_service_without_target_info_is_a_commented_target_with_an_alert_of_its_own(found):
    folder, _ = found
    text = (folder / "rearguard.yaml").read_text()
    for job in ("go", "inst"):
        assert f"# Job {job}: It shows no target_info" in text
    awake = re.sub(r"(?m)^#(?=  )", "", text)
    (folder.parent / "awake.yaml").write_text(awake)
    read = {each.name: each for each in config.load(folder.parent / "awake.yaml").targets}
    assert read["go"].release == PrometheusRelease({"job": "go"}, "build_info", "version")
    assert read["inst"].release.current.argv == ("./release", "current")
    rules = yaml.safe_load((folder / "own-alerts.yml").read_text())["groups"][0]["rules"]
    assert [each.get("alert") for each in rules] == [None, None, "OwnErrorRate"]
    assert 'job="go",code=~"5.."' in rules[0]["expr"]
    assert 'job="inst",status=~"5.."' in rules[1]["expr"]


def test_tokens_are_for_their_owner_alone_and_alertmanager_sends_a_bare_one(found):
    folder, _ = found
    for role in ("sender", "viewer", "operator"):
        file = folder / "tokens" / role
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text().strip()) >= 48
    assert stat.S_IMODE((folder / "tokens").stat().st_mode) == 0o700
    assert ":" not in (folder / "tokens" / "sender").read_text()
    receiver = yaml.safe_load((folder / "alertmanager-snippet.yml").read_text())["receivers"][0]
    sends = receiver["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"]
    assert Path(sends).read_text() == (folder / "tokens" / "sender").read_text()


def test_the_snippets_and_rules_are_what_prometheus_and_alertmanager_take(found):
    folder, _ = found
    for words in (
        [find("promtool"), "check", "config", folder / "prometheus-snippet.yml"],
        [find("promtool"), "check", "rules", folder / "own-alerts.yml"],
        [find("amtool"), "check-config", folder / "alertmanager-snippet.yml"],
    ):
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    snippet = yaml.safe_load((folder / "prometheus-snippet.yml").read_text())
    assert snippet["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:9465"]}]


def test_nothing_is_overwritten(found, address):
    folder, _ = found
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    done = rearguard("init", "--prometheus", address, "--to", str(folder))
    assert done.returncode == 1
    assert f"{folder} is there already; nothing was written." in done.stderr
    assert "--to" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert [each.name for each in folder.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("words", "cause", "cure"),
    [
        (["--prometheus", "localhost:9090"], "'localhost:9090' is no address", "Write --prometheus http://host:port"),
        (["--prometheus", "http://u:p@h:1"], "do not belong into an address", "--username NAME --password-file FILE"),
        (["--prometheus", "http://127.0.0.1:9"], "http://127.0.0.1:9", "Is Prometheus running"),
        (["--prometheus", "http://h:1", "--username", "u"], "belong together", "--password-file"),
    ],
)
def test_what_cannot_be_asked_is_told_with_cause_and_cure(tmp_path, words, cause, cure):
    done = rearguard("init", *words, "--to", str(tmp_path / "x"))
    assert done.returncode in (1, 2)
    assert cause in done.stderr
    assert cure in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_from_init_to_the_first_true_sentence(found, address, tmp_path):
    """The folder as it stands, with a controller on a free port: it says what Prometheus shows."""
    port = free_ports(1)[0]
    folder = tmp_path / "first steps"
    done = rearguard("init", "--prometheus", address, "--to", str(folder), "--listen", f"127.0.0.1:{port}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "What is wrong\n" in done.stdout
    for part in (
        "nover (production): No service_version",
        "job go: It shows no target_info",
        "Left out",
        "serve --config",
    ):
        assert part in done.stdout
    command = [sys.executable, "-m", "rearguard_controller", "serve", "--config", str(folder / "rearguard.yaml")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})
    try:
        deadline = time.monotonic() + 60
        while True:
            status = rearguard("status", url=f"http://127.0.0.1:{port}", token=folder / "tokens" / "operator")
            row = next((line for line in status.stdout.splitlines() if line.startswith("orders")), "")
            if " v1 " in f"{row} ":
                break
            assert time.monotonic() < deadline, (status.stdout, status.stderr, (tmp_path / "log").read_text())
            time.sleep(0.5)
        assert "observe" in row
        assert "orders: v1 serves since " in status.stdout
        assert "nothing is put back (mode observe)" in " ".join(status.stdout.split())
    finally:
        process.terminate()
        process.wait(30)
