"""The OpenAPI document against the routes, and against what a served controller really answers.

`schemathesis` sends what the document allows and what it forbids; every answer must be one that is documented, in its
form, and none a failure of the server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from real.controller.running import TOKENS, controller
from real.controller.served import OPERATOR, SENDER, VIEWER, serving
from rearguard_controller.api.auth import Role
from rearguard_controller.api.operations import EVENTS, OPERATIONS

FOR_MACHINES = ("/api/", "/-/", "/healthz", "/integrations/", "/metrics", "/openapi.json", "/readyz", "/webhook/")
LESSER = (SENDER, VIEWER)  # what they may not do is proven route by route, and what they may an operator does too
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


async def test_the_document_is_valid_and_names_every_route_with_its_role(tmp_path):
    async with serving(tmp_path) as service:
        assert (await service.get("/openapi.json", None))[0] == 401
        status, document = await service.get("/openapi.json", VIEWER)
        assert status == 200
        OpenAPIV31SpecValidator(document).validate()
        shown = {
            (method.upper(), path): operation["x-role"]
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        }
        routes = {(route.method, route.resource.canonical) for route in service.controller.web.router.routes()}
        of_page = {
            (route.method, route.resource.canonical)
            for route in service.controller.web.router.routes()
            if route.handler.__module__.startswith("rearguard_controller.page.")
        }
        assert [path for _, path in of_page if path.startswith(FOR_MACHINES)] == []
        assert {path for _, path in of_page} >= {"/", "/targets/{name}", "/rollbacks/{id}", "/decisions/{id}"}
        assert shown.keys() == routes - of_page == OPERATIONS.keys()
        tokens = {None: None, SENDER: Role.SENDER, VIEWER: Role.VIEWER, OPERATOR: Role.OPERATOR}
        for (method, path), role in shown.items():
            url = service.url + path.replace("{id}", "x").replace("{name}", "x")
            let_in = set()
            for token, name in tokens.items():
                headers = {"Authorization": token} if token else {}
                async with service.session.request(method, url, headers=headers, data=b"{") as response:
                    if response.status not in (401, 403):
                        let_in.add(name)
            expected = {"viewer": {Role.VIEWER, Role.OPERATOR}, None: {None, *Role}}.get(role, {role})
            assert let_in == expected, (method, path)


def explore(folder: Path, url: str, examples: int, *more: str) -> None:
    """Have schemathesis try every route, with the same dice at every run."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{url}/openapi.json",
            f"--checks={CHECKS}",
            f"--max-examples={examples}",
            f"--exclude-path={EVENTS}",  # its answer does not end; test_events.py reads it
            "--seed=7",
            "--generation-database=none",
            "--phases=examples,coverage,fuzzing",
            "--mode=all",
            "--request-timeout=20",
            "--suppress-health-check=all",
            "--no-color",
            *more,
        ],
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("token", [None, OPERATOR, *(pytest.param(each, marks=pytest.mark.soak) for each in LESSER)])
def test_every_answer_is_a_documented_one(tmp_path, token):
    with controller(tmp_path, TOKENS) as url:
        explore(tmp_path, url, 4, *([f"--header=Authorization:{token}"] if token else []))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_every_answer_is_a_documented_one_where_everybody_may_do_everything(tmp_path):
    with controller(tmp_path, "") as url:
        explore(tmp_path, url, 6)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_long_exploration_meets_documented_answers_only(tmp_path):
    with controller(tmp_path, "") as url:
        explore(tmp_path, url, 150, "--max-time=240")
