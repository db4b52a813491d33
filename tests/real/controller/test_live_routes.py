"""Whether alerts reach the controller, by a real Alertmanager's configuration, with and without a real amtool."""

from pathlib import Path

import pytest

from local_stack import binaries
from local_stack.process import free_ports
from real.cluster.replicas import Program
from rearguard_controller.adapters.alertmanager import Alertmanager
from rearguard_controller.adapters.prometheus import Rules
from rearguard_controller.config import AlertmanagerSettings
from rearguard_controller.watching.live.finding import Weight
from rearguard_controller.watching.live.routes import LiveRoutes
from unit.controller.factories import target

SHIPPED = (Path(__file__).parents[3] / "deploy/alertmanager/alertmanager.yml").read_text()
TAKEN = """matchers: ['action="rollback"']"""
FOR_OTHERS = SHIPPED.replace(TAKEN, """matchers: ['action="rollback"', 'team=web']""")
HARD = SHIPPED.replace(TAKEN, """matchers: ['action=~"(roll(back)?)+"']""")  # no expression that we compare
NOBODY = SHIPPED.replace("/webhook/alertmanager", "/elsewhere").replace("rearguard", "somebody")


@pytest.fixture
async def look(tmp_path, monkeypatch):
    started = []

    async def asked(content, *, amtool=False):
        (tmp_path / "alertmanager.yml").write_text(content)
        (port,) = free_ports(1)
        words = (
            binaries.find("prometheus-alertmanager"),
            "--config.file=alertmanager.yml",
            f"--storage.path={tmp_path / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
        address = f"http://127.0.0.1:{port}"
        started.append(Program(tmp_path, "alertmanager", words, address, ready="/-/ready"))
        await started[-1].start()
        tools = tmp_path / "tools"
        tools.mkdir()
        if amtool:
            (tools / "amtool").symlink_to(binaries.find("amtool"))
        monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
        client = Alertmanager(AlertmanagerSettings((address,)))
        try:
            (found,) = await LiveRoutes(client).look((target(),), {"": Rules()})
        finally:
            await client.close()
        return found

    yield asked
    for program in started:
        await program.remove()


@pytest.mark.parametrize("amtool", [True, False])
async def test_the_shipped_routes_reach_the_controller(look, amtool):
    found = await look(SHIPPED, amtool=amtool)
    assert (found.weight, found.about) == (Weight.GOOD, "checkout")
    assert "reach the receiver rearguard" in found.said


@pytest.mark.parametrize("amtool", [True, False])
async def test_an_alert_that_another_receiver_gets_is_told_with_the_cure(look, amtool):
    found = await look(FOR_OTHERS, amtool=amtool)
    assert (found.weight, found.about) == (Weight.LOOK, "checkout")
    assert "to team, and not to rearguard: merge deploy/alertmanager/alertmanager.yml" in found.said


async def test_what_cannot_be_compared_here_is_unknown_and_amtool_knows_it(look):
    found = await look(HARD)
    assert found.weight is Weight.UNKNOWN
    assert "amtool on PATH can" in found.said


async def test_amtool_is_asked_where_it_is_there(look):
    assert (await look(HARD, amtool=True)).weight is Weight.GOOD


async def test_where_no_receiver_is_the_controller_that_is_said(look):
    found = await look(NOBODY)
    assert found.about == "Alertmanager"
    assert found.weight in (Weight.LOOK, Weight.UNKNOWN)  # newer ones hide addresses
    assert "polling" in found.said or "hides the addresses" in found.said
