"""What goes wrong at the vendors hurts no application: addresses that are none, receivers that hang or refuse."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

import pytest

from real.exporter.apm.running import Shop, options
from real.exporter.apm.sentry_receiver import KEY, SentryReceiver

SECRET = "d41d8cd98f00b204e9800998ecf8427e"


def python(code, **environment):
    env = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=env
    )


BAD = [f"https://{SECRET}@", f"{SECRET}", f"https://{SECRET}@sentry.test/checkout", f"ftp://{SECRET}@sentry.test/1",
       f"https://{SECRET}@sentry.test:port/1"]  # fmt: skip


def test_a_dsn_in_the_environment_that_is_none_is_one_line_without_it_and_the_application_runs():
    code = """
import logging, os
logging.basicConfig(level=logging.DEBUG)
from rearguard_exporter import Monitor
for dsn in os.environ["BAD"].split():
    os.environ["SENTRY_DSN"] = dsn
    monitor = Monitor("shop", "1.0", "test")
    print(repr(monitor), vars(monitor), monitor._endpoints.metrics.render("", "").body.decode())
    monitor.close()
"""
    done = python(code, BAD=" ".join(BAD))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("SENTRY_DSN is no DSN; Sentry shows it as https://KEY@HOST/PROJECT") == len(BAD)
    assert SECRET not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_dsn_given_as_an_argument_that_is_none_raises_without_it():
    code = """
import os, traceback
from rearguard_exporter import Monitor
for dsn in os.environ["BAD"].split():
    try:
        Monitor("shop", "1.0", "test", sentry={"dsn": dsn})
    except ValueError:
        traceback.print_exc(chain=False)
try:
    Monitor("shop", sentry=os.environ["BAD"])
except TypeError:
    traceback.print_exc()
"""
    done = python(code, BAD=" ".join(BAD))
    assert done.stderr.count("the dsn in Monitor(sentry=...) is no DSN; Sentry shows it as") == len(BAD)
    assert done.stderr.count("TypeError: sentry is True, False, or a mapping of options of sentry_sdk.init") == 1
    assert SECRET not in done.stderr + done.stdout


MISSING = """
import logging, sys
logging.basicConfig()
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {"sentry_sdk", "ddtrace"}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
from rearguard_exporter import Monitor
"""


@pytest.mark.parametrize(("extra", "variable"), [("sentry", "SENTRY_DSN"), ("datadog", "DD_AGENT_HOST")])
def test_an_sdk_that_is_missing_is_told_with_the_command_that_installs_it(extra, variable):
    address = f"https://{SECRET}@sentry.test/1"
    by_environment = python(f"{MISSING}\nMonitor('shop').close()", **{variable: address})
    assert by_environment.returncode == 0, by_environment.stderr
    (line,) = by_environment.stderr.splitlines()
    assert variable in line
    assert f"pip install 'rearguard[{extra}]'" in line
    by_argument = python(f"{MISSING}\nMonitor('shop', {extra}=True)")
    assert f"pip install 'rearguard[{extra}]'" in by_argument.stderr.splitlines()[-1]
    assert SECRET not in by_environment.stderr


def test_nothing_of_the_vendors_is_imported_unless_asked_for():
    code = """
import sys
from rearguard_exporter import Monitor
Monitor("shop").close()
Monitor("shop", sentry=False, datadog=False).close()
sys.exit(1 if {"sentry_sdk", "ddtrace"} & set(sys.modules) else 0)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_an_agent_whose_address_is_none_is_a_line_of_the_log_and_the_application_runs(tmp_path):
    with Shop(tmp_path, "fastapi", DD_TRACE_AGENT_URL="no address") as shop:
        assert [shop.get(path)[0] for path in ("/items/3", "/boom", "/metrics")] == [200, 500, 200]


class Deaf:
    """A receiver that takes connections and never answers."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"


def refusing(handler):
    handler.send_response(429)
    handler.send_header("Retry-After", "60")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def absent():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        return f"127.0.0.1:{holder.getsockname()[1]}"


def slowest(shop, count=60):
    """Seconds of the slowest request but two, of requests that fail and that do not."""
    taken = []
    for number in range(count):
        began = time.monotonic()
        assert shop.get("/boom" if number % 3 == 0 else "/items/3")[0] in {200, 500}
        taken.append(time.monotonic() - began)
    return sorted(taken)[-3]


def in_turn(shops, rounds=40):
    """Seconds of a request to each shop, median. They are asked in turn, so that a busy machine hits all of them."""
    taken = {name: [] for name in shops}
    for number in range(rounds):
        for name, shop in shops.items():
            began = time.monotonic()
            assert shop.get("/boom" if number % 3 == 0 else "/items/3")[0] in {200, 500}
            taken[name].append(time.monotonic() - began)
    return {name: median(times) for name, times in taken.items()}


class Faulty(ThreadingHTTPServer):
    """A receiver that answers with this status, after these seconds."""

    daemon_threads = True

    def __init__(self, status, seconds=0.0):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                time.sleep(seconds)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_port}"


@pytest.mark.soak
@pytest.mark.parametrize("vendor", ["sentry", "datadog"])
def test_a_request_takes_as_long_with_a_faulty_receiver_as_with_a_good_one_and_little_longer_than_with_none(
    vendor, sentry, agent, tmp_path
):
    deaf = Deaf()
    with Faulty(200, 2.0) as slow, Faulty(500) as failing, contextlib.ExitStack() as running:
        good = (
            sentry.dsn.partition("@")[2].removesuffix("/42") if vendor == "sentry" else agent.url.partition("//")[2]
        )
        addresses = {
            "good": good,
            "deaf": deaf.address,
            "absent": absent(),
            "slow": slow.address,
            "failing": failing.address,
        }
        told = {"none": {}} | {
            name: {"SENTRY_DSN": f"http://{KEY}@{address}/42"}
            if vendor == "sentry"
            else {"DD_TRACE_AGENT_URL": f"http://{address}"}
            for name, address in addresses.items()
        }
        shops = {}
        for name, environment in told.items():
            (tmp_path / name).mkdir()
            shops[name] = running.enter_context(Shop(tmp_path / name, "fastapi", **environment))
        in_turn(shops, 5)  # what is made at the first request
        took = in_turn(shops)
    deaf.server.close()
    for fault in ("deaf", "absent", "slow", "failing"):
        assert took[fault] < 1.5 * took["good"] + 0.01, took
        assert took[fault] < 3 * took["none"] + 0.02, took


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["deaf", "absent"])
def test_a_receiver_that_hangs_or_is_not_there_delays_no_request_and_shows_no_key(fault, tmp_path):
    deaf = Deaf()
    address = deaf.address if fault == "deaf" else absent()
    with Shop(
        tmp_path, "fastapi", SENTRY_DSN=f"http://{KEY}@{address}/42", DD_TRACE_AGENT_URL=f"http://{address}"
    ) as shop:
        shop.get("/boom")
        assert slowest(shop) < 1.0  # the SDKs wait for two seconds and more
        shown = "".join(shop.get(path)[1].decode() for path in ("/metrics", "/readyz", "/api/monitoring/dashboard"))
    deaf.server.close()
    assert KEY not in shop.said() + shown


def test_a_receiver_that_refuses_delays_no_request(tmp_path):
    receiver = SentryReceiver(behave=refusing)
    with Shop(tmp_path, "fastapi", SENTRY_DSN=receiver.dsn) as shop:
        shop.get("/boom")
        assert slowest(shop) < 1.0
    receiver.close()
    assert KEY not in shop.said()


@pytest.mark.soak
def test_options_of_the_sdk_are_passed_on_and_profiles_are_sent_where_asked_for(sentry, tmp_path):
    arguments = options(sentry={"dsn": sentry.dsn, "release": "own"}, profiling=True)
    with Shop(tmp_path, "fastapi", OPTIONS=arguments) as shop:
        deadline = time.monotonic() + 30
        while not sentry.of("profile_chunk"):
            shop.get("/items/3")
            assert time.monotonic() < deadline
        assert sentry.wait("transaction", 1)[0]["release"] == "own"
    assert sentry.encodings == {"gzip"}
