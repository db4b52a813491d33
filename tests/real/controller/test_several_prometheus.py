"""Several real Prometheus under one controller: each target is judged by its own, and none holds up the others."""

import asyncio
import contextlib
import json
import socket
import time

import pytest

from local_stack.process import free_ports
from real.controller.served import BASE, SENDER, alerts, evaluating, metrics, serving, until
from real.controller.test_cli import rearguard
from real.controller.test_fleet import questions
from real.prometheus import page, running

CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus:
  url: "{prometheus}"
  poll_interval: 1s
  others: {{us: {{url: "OTHER"}}}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: act}}}}
targets:
  - &eu
    name: checkout-eu
    match: {{service_name: checkout, deployment_environment_name: production}}
    release: {{command: {{current: [./release, current], rollback: [./release, activate, "{{to_version}}"]}}}}
  - {{<<: *eu, name: checkout-us, prometheus: us}}
"""
FIRES = """
groups:
  - name: g
    interval: 1s
    rules:
      - alert: Broken
        expr: vector(1)
        labels: {action: rollback, service_name: checkout, deployment_environment_name: production}
"""
SILENT = FIRES.replace("vector(1)", "vector(1) > 2")
EU, US = "checkout-eu", "checkout-us"


def named(text, other):
    return text.replace("OTHER", other)


async def target(service, name):
    _, status = await service.get(f"{BASE}/rollback/status")
    return next(each for each in status["targets"] if each["name"] == name)


async def decided(service, name):
    _, found = await service.get(f"{BASE}/decisions", params={"target": name})
    return found["decisions"]


async def ages(service):
    found = (await metrics(service))["rearguard_other_prometheus_age_seconds"]
    return {each.labels["prometheus"]: each.value for each in found.samples}


async def test_an_alert_is_that_of_the_target_whose_prometheus_has_it_though_both_have_its_labels(tmp_path):
    with evaluating(tmp_path / "eu", SILENT) as eu, evaluating(tmp_path / "us", FIRES) as us:
        async with serving(tmp_path, eu, configuration=named(CONFIGURATION, us)) as service:

            async def fires():
                return (await target(service, US))["checks"]["prometheus"] and await decided(service, US)

            (first, *_) = await until(fires)
            assert first["alert"]["source"] == "prometheus"
            labels = {"action": "rollback", "service_name": "checkout", "deployment_environment_name": "production"}
            sent = await service.post("/webhook/alertmanager", alerts("Broken", **labels), SENDER)
            assert sent[0] == 202

            async def judged():
                return not await service.controller.journal.unjudged(10)

            await until(judged)  # which does not say where it comes from
            assert await decided(service, EU) == []
            _, everything = await service.get(f"{BASE}/decisions")
            assert {each["target"] for each in everything["decisions"]} == {US}


@pytest.mark.timeout(240)
async def test_one_that_is_away_or_hangs_makes_only_its_own_targets_unready_and_delays_no_alert_of_others(tmp_path):
    hanging = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
    port = hanging.getsockname()[1]
    with hanging, evaluating(tmp_path / "eu", FIRES) as eu:
        configuration = named(CONFIGURATION, f"http://127.0.0.1:{port}")
        async with serving(tmp_path, eu, configuration=configuration) as service:

            async def is_looked_at():
                checks = (await target(service, US))["checks"]
                return checks["prometheus"] is False and (await target(service, EU))["checks"]["prometheus"]

            await until(is_looked_at, 120)  # its lists have half a minute
            (said,) = [
                each["detail"] for each in (await target(service, US))["not_ready"] if each["name"] == "prometheus"
            ]
            assert "Prometheus us" in said
            assert "prometheus.others.us.url" in said
            assert await decided(service, EU)
            assert await decided(service, US) == []
            before = (await ages(service))["us"]
            await asyncio.sleep(1.1)
            assert (await ages(service))["us"] > before + 1
            began = time.monotonic()
            for _ in range(5):
                await service.controller.parts.watchers[""].poll(service.controller.parts.intake)
            assert time.monotonic() - began < 15  # five seconds of patience each would be 25


async def test_a_reload_adds_one_and_takes_one_away(tmp_path):
    with evaluating(tmp_path / "eu", SILENT) as eu, evaluating(tmp_path / "us", FIRES) as us:
        async with serving(tmp_path, eu, configuration=named(CONFIGURATION, us)) as service:
            both = (tmp_path / "rearguard.yaml").read_text()
            alone = both.replace(f'  others: {{us: {{url: "{us}"}}}}\n', "").replace(", prometheus: us", "")
            assert "us" in await ages(service)
            (tmp_path / "rearguard.yaml").write_text(alone)
            assert await service.post("/-/reload", None) == (200, {"reloaded": True})
            assert await ages(service) == {}
            assert "US" not in service.controller.parts.watchers

            async def is_its_own():
                return (await target(service, US))["checks"]["match"] is False  # both have the same labels now

            await until(is_its_own)
            (tmp_path / "rearguard.yaml").write_text(both)
            assert await service.post("/-/reload", None) == (200, {"reloaded": True})

            async def fires():
                return (await target(service, US))["firing"]

            await until(fires)
            assert (await target(service, EU))["firing"] == []


async def test_questions_grow_with_the_number_of_prometheus_and_not_with_that_of_targets(tmp_path):
    more = "".join(
        f"  - {{{{<<: *eu, name: s{number}, match: {{{{service_name: s{number}}}}}, prometheus: us}}}}\n"
        for number in range(40)
    )
    found = {}
    with evaluating(tmp_path / "eu", SILENT) as eu, evaluating(tmp_path / "us", SILENT) as us:
        for name, text in (("few", CONFIGURATION), ("many", CONFIGURATION + more)):
            folder = tmp_path / name
            folder.mkdir()
            once = named(text, us).replace("1s", "1h")
            async with serving(folder, eu, configuration=once) as service:
                parts = service.controller.parts
                for _ in range(3):
                    await parts.watcher.poll(parts.intake)
                    for one in parts.watchers.values():
                        await one.each.ended()
                before = [await questions(service.session, each) for each in (eu, us)]
                await parts.watcher.poll(parts.intake)
                for one in parts.watchers.values():
                    await one.each.ended()
                after = [await questions(service.session, each) for each in (eu, us)]
                found[name] = [now - then for now, then in zip(after, before, strict=True)]
    assert found["few"][0] == found["many"][0]
    assert 0 < found["many"][1] <= found["few"][1] + 16  # a bounded number about single targets, see docs/fleet.md


SCRAPES = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: shop, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
DISCOVERS = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 1s, others: {{us: {{url: "OTHER"}}}}}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: observe}}}}
discover:
  - prometheus: {{command: {{current: [echo, v2], rollback: [./release, activate, "{{to_version}}"]}}}}
"""


@contextlib.contextmanager
def scraping(folder, *services):
    """The address of a Prometheus that scrapes these services."""
    lines = [
        f'target_info{{service_name="{name}",service_version="1",deployment_environment_name="production"}} 1\n'
        for name in services
    ]
    folder.mkdir()
    with page("".join(lines).encode()) as port:
        (folder / "prometheus.yml").write_text(SCRAPES.format(port=port))
        with running(folder) as address:
            yield address


async def test_a_service_that_is_found_is_judged_by_the_prometheus_that_shows_it(tmp_path):
    with scraping(tmp_path / "eu", "basket", "both") as eu, scraping(tmp_path / "us", "search", "both") as us:
        async with serving(tmp_path, eu, configuration=named(DISCOVERS, us)) as service:

            async def found():
                return {each.name: each.prometheus for each in service.controller.parts.configuration.targets}

            async def are_there():
                return await found() == {"basket": "", "both": "", "search": "us"}

            await until(are_there, 60)


async def test_services_of_one_that_is_away_wait_and_those_of_others_do_not(tmp_path):
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    with scraping(tmp_path / "eu", "basket") as eu:
        async with serving(tmp_path, eu, configuration=named(DISCOVERS, nobody)) as service:

            async def is_there():
                return [each.name for each in service.controller.parts.configuration.targets] == ["basket"]

            await until(is_there, 60)


def test_a_live_check_looks_at_each(tmp_path):
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    (tmp_path / "current").write_text("v1\n")
    with evaluating(tmp_path / "eu", SILENT) as eu:
        file = tmp_path / "rearguard.yaml"
        file.write_text(named(CONFIGURATION, nobody).format(folder=tmp_path, prometheus=eu))
        done = rearguard("check", "--live", "--json", "--config", str(file))
    found = json.loads(done.stdout)["live"]
    about = {(each["about"], each["weight"]) for each in found}
    assert ("Prometheus", "good") in about
    assert ("Prometheus us", "blocks") in about
    (said,) = [each["said"] for each in found if (each["about"], each["weight"]) == ("Prometheus us", "blocks")]
    assert nobody in said


@pytest.mark.parametrize("target_name", [None, "search"])
def test_the_past_of_a_target_is_that_of_its_own_prometheus(tmp_path, target_name):
    text = CONFIGURATION.replace("name: checkout-us,", "name: search, match: {{service_name: search}},")
    (tmp_path / "current").write_text("v1\n")
    with scraping(tmp_path / "eu", "checkout") as eu, scraping(tmp_path / "us", "search") as us:
        file = tmp_path / "rearguard.yaml"
        file.write_text(named(text, us).format(folder=tmp_path, prometheus=eu))
        words = ["backtest", "--json", "--since", "70s", "--config", str(file)]
        words += [] if target_name is None else ["--target", target_name]
        deadline = time.monotonic() + 60
        while True:
            done = rearguard(*words)
            told = json.loads(done.stdout) if done.returncode == 0 else {"targets": []}
            seen = {each["name"] for each in told["targets"] if each["data_from"] is not None}
            if seen == ({"search"} if target_name else {"checkout-eu", "search"}):
                break
            assert time.monotonic() < deadline, (done.stdout, done.stderr)
            time.sleep(1)
    assert told["prometheus"] == ([us] if target_name else [eu, us])
