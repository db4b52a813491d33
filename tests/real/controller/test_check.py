"""The target's own `check`: a destination that cannot be activated is found before anything is begun."""

import aiohttp
import pytest

from real.controller.hosted import hosted
from real.controller.served import CONFIGURATION, NOWHERE
from real.controller.test_security import BASE, Caller

CHECKED = CONFIGURATION.replace(
    """        rollback: [./release, activate, "{{to_version}}"]
""",
    """        rollback: [./release, activate, "{{to_version}}"]
        check: [test, -e, "fit-{{to_version}}"]
    hooks: {{before: [{{name: drain, command: [touch, drained]}}]}}
""",
    1,
)


@pytest.fixture
async def caller(tmp_path):
    async with (
        hosted(tmp_path, text=CHECKED, prometheus=NOWHERE) as (_, port),
        aiohttp.ClientSession(trust_env=False) as session,
    ):
        yield Caller(session, port)


async def known_good(caller, *versions):
    for version in versions:
        path = f"{BASE}/targets/checkout/releases"
        assert (await caller.post(path, {"version": version, "good": True}))[0] == 200


async def test_a_destination_that_its_check_refuses_is_passed_over_for_the_next(tmp_path, caller):
    await known_good(caller, "v1", "v3")
    (tmp_path / "fit-v1").touch()
    status, body = await caller.post(
        f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "r", "dry_run": True}
    )
    assert (status, body["decision"]["to_version"]) == (200, "v1")


async def test_where_every_check_refuses_nothing_is_begun_and_the_answer_says_why(tmp_path, caller):
    await known_good(caller, "v1")
    status, body = await caller.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "r"})
    assert status == 422
    assert "its check failed, exit code 1" in body["error"]["message"]
    wish = {"target": "checkout", "reason": "r", "to_version": "v1", "force": True}
    assert (await caller.post(f"{BASE}/rollback/trigger", wish))[0] == 422
    assert not (tmp_path / "drained").exists()
    _, status = await caller.get(f"{BASE}/rollback/status")
    assert status["targets"][0]["armed"] is True
