"""What goes wrong at the vendors hurts no application: addresses that are none, receivers that hang or refuse."""

import socket
import subprocess
import sys
import time
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


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["deaf", "absent"])
def test_a_request_takes_as_long_with_a_faulty_receiver_as_with_a_good_one(fault, sentry, tmp_path):
    deaf = Deaf()
    address = deaf.address if fault == "deaf" else absent()
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    with (
        Shop(tmp_path / "good", "fastapi", SENTRY_DSN=sentry.dsn) as good,
        Shop(tmp_path / "bad", "fastapi", SENTRY_DSN=f"http://{KEY}@{address}/42") as bad,
    ):
        taken = {good: [], bad: []}
        for number in range(100):  # in turn, so that what else the machine does hits both
            for shop, times in taken.items():
                began = time.monotonic()
                assert shop.get("/boom" if number % 3 == 0 else "/items/3")[0] in {200, 500}
                times.append(time.monotonic() - began)
    deaf.server.close()
    assert median(taken[bad]) < 1.5 * median(taken[good]) + 0.01


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
