"""Routes of FastAPI in the versions that changed what they leave in the scope, and no request counted twice."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
COUNT = "http_server_request_duration_seconds_count"

# The same in every version: templates with the prefixes of routers and mounts, and each request once.
ROUTES = {
    "/plain 200": 2,
    "/api/items/{item_id} 200": 2,
    "/api/nested/deep/{name} 200": 1,
    "/api/crash 500 LookupError": 1,
    "/sub/inside/{thing} 200": 1,
    "/sub/{path} 404": 1,  # lost in a mount
    "/files/{path} 200": 1,  # no router below the mount
}
STARLETTES = {"/starlette/page 200": 1, "/starlette/more/{x} 200": 1}
OLD_STARLETTES = {"/starlette/{path} 200": 1, "/starlette/more/{path} 200": 1}  # no more than the mount is left
ASKED = 15


def counted(python):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "exporter")}
    done = subprocess.run(
        [python, HERE / "fastapi_versions.py"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(shown, *, has_starlettes):
    http = shown["http"]
    expected = ROUTES | (STARLETTES if has_starlettes else OLD_STARLETTES)
    assert {key: http.get(key) for key in expected} == expected
    assert sum(http.values()) == ASKED
    # What is left is unmatched, or a page of FastAPI's own.
    rest = {key.partition(" ")[0] for key in http.keys() - expected.keys()}
    assert rest <= {"__unmatched__", "/docs", "/openapi.json"}
    assert shown["sockets"] == {"/ws/{room}": 1}


def test_the_version_that_is_installed_leaves_every_route():
    check(counted(sys.executable), has_starlettes=True)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("wanted", "version", "has_starlettes"),
    [
        ("fastapi==0.115.*", "0.115.", False),
        ("fastapi==0.137.*", "0.137.", True),
        ("fastapi", "0.", True),
    ],
)
def test_every_version_leaves_its_routes(tmp_path, wanted, version, has_starlettes):
    python = environment_with(tmp_path, wanted)
    shown = counted(python)
    assert shown["versions"]["fastapi"].startswith(version)
    check(shown, has_starlettes=has_starlettes)


def environment_with(folder, wanted):
    """An environment with this FastAPI and what the exporter needs; of all else the versions of development."""
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    others = [line for line in lines if not line.lower().startswith(("fastapi==", "starlette=="))]
    (folder / "constraints.txt").write_text("\n".join(others))
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        [*pip, "install", "-c", folder / "constraints.txt", wanted, "prometheus-client", "psutil"],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.parametrize("beside", ["native", "instrumentator"])
def test_no_request_is_counted_twice_beside_other_telemetry(beside):
    done = subprocess.run(
        [sys.executable, HERE / "telemetry_beside.py", beside],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    families = list(parse_openmetrics(done.stdout))  # it refuses a family that comes twice
    counts = [
        (sample.labels, sample.value) for family in families for sample in family.samples if sample.name == COUNT
    ]
    assert len(counts) == 1
    labels, value = counts[0]
    assert (labels["http_route"], value) == ("/items/{item_id}", 3)
    assert set(labels) == {"http_request_method", "http_route", "http_response_status_code", "error_type"}
    (info,) = [sample for family in families for sample in family.samples if sample.name == "target_info"]
    assert info.labels["service_name"] == "shop"  # and not OpenTelemetry's: the rules join with one
    names = {family.name for family in families}
    assert ("http_requests" in names) == (beside == "instrumentator")  # the other's figures are its own
    assert beside == "native" or "trace_id" not in done.stdout
