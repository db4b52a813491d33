"""Explaining over the wire: by decision, rollback, target and alert, with evidence, against a served controller."""

import asyncio
import json
import time

import structlog.testing

from real.controller.served import BASE, SENDER, alerts, listening, serving
from rearguard_controller.cli import main

LABELS = {"deployment_environment_name": "production", "action": "rollback"}


async def deliver(service, name, of):
    """Deliver an alert and return the decision about it."""
    body = alerts(name, service_name=of, **LABELS)
    assert (await service.post("/webhook/alertmanager", body, SENDER))[0] == 202
    deadline = time.monotonic() + 10
    while True:
        _, page = await service.get(f"{BASE}/decisions?alert={name}&target={of}&limit=1")
        if page["decisions"]:
            return page["decisions"][0]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def firing(name, **labels):
    found = {"alertname": name, "severity": "critical", **LABELS, **labels}
    annotations = {"figure": "errors", "threshold": "> 0.1"}
    return {"labels": found, "annotations": annotations, "state": "firing", "activeAt": "2026-01-01T00:00:00Z"}


async def test_a_decision_is_found_by_whatever_names_it_and_says_what_it_rests_on(tmp_path, monkeypatch, capsys):
    async with (
        listening([firing("Slow", service_name="checkout")]) as (prometheus, _),
        serving(tmp_path, prometheus) as service,
    ):
        monkeypatch.setenv("REARGUARD_URL", service.url)
        monkeypatch.setenv("REARGUARD_TOKEN_FILE", str(tmp_path / "viewer"))

        async def asked_for(*words, code=0):
            capsys.readouterr()
            with structlog.testing.capture_logs():  # the controller's own, in this process
                assert await asyncio.to_thread(main, words) == code
            told = capsys.readouterr()
            return told.out if code == 0 else told.err

        async def explain(*words, code=0):
            return await asked_for("explain", *words, code=code)

        first = await deliver(service, "Slow", "checkout")
        second = await deliver(service, "Slow", "search")
        evidence = [each for each in first["evidence"] if each["start"] is None and "no_storm" not in each["serves"]]
        asked = {(each["source"], each["question"]): each["answer"] for each in evidence}
        assert asked["prometheus", "errors"] == "no data"
        assert asked["prometheus", "GET /api/v1/alerts"].startswith(
            "Slow is firing, active since 2026-01-01T00:00:00Z"
        )
        assert asked["target", "./release current"] == "v2"
        assert asked["target", "./release list"] == "v1, v2, v3"
        assert {source for source, _ in asked} == {"prometheus", "target", "journal"}

        assert json.loads(await explain(first["id"], "--json")) == first
        assert json.loads(await explain("checkout", "--json")) == first
        assert json.loads(await explain("Slow", "--json")) == second  # the newest
        assert json.loads(await explain("Slow", "--target", "checkout", "--json")) == first
        assert json.loads(await explain("--alert", "Slow", "--json")) == second
        told = await explain("Slow")
        assert "decisions about this alert for checkout, too" in told
        assert "What would have to change" in told
        assert "There are decisions" not in await explain("Slow", "--target", "checkout")
        listed = await asked_for("decisions", "--alert", "Slow")
        assert first["id"] in listed
        assert second["id"] in listed
        assert first["id"] not in await asked_for("decisions", "--alert", "Slow", "--target", "search")

        assert (await service.post(f"{BASE}/targets/checkout/releases", {"version": "v1", "good": True}))[0] == 200
        _, opened = await service.post(f"{BASE}/rollback/trigger", {"target": "checkout", "reason": "slow"})
        _, rollback = await service.get(f"{BASE}/rollback/{opened['rollback_id']}")
        by_hand = json.loads(await explain(opened["rollback_id"], "--json"))
        assert by_hand == rollback["decision"]
        assert {code for each in by_hand["evidence"] for code in each["serves"]} == {
            "known_good_exists",
            "no_open_rollback",
        }

        await deliver(service, "checkout", "search")
        assert "name of a target and of an alert" in await explain("checkout", code=1)
        assert json.loads(await explain("--target", "checkout", "--json"))["id"] == by_hand["id"]
        assert json.loads(await explain("--alert", "checkout", "--json"))["target"] == "search"
        assert "called Nothing" in await explain("Nothing", code=1)
        assert "about an alert Slow" in await explain("Slow", "--target", "nobody", code=1)
