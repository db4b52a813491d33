"""A controller of many targets asks Prometheus no more questions than one of few."""

import asyncio
import re

import aiohttp
import pytest

from real.controller.hosted import hosted
from real.prometheus import page, running
from rearguard_controller.adapters.prometheus import promql
from rearguard_controller.adapters.prometheus.client import Prometheus
from rearguard_controller.config import PrometheusSettings
from rearguard_controller.watching import instances
from unit.controller.factories import target

DEADLINE = 60.0
SILENT = "None of its numbers has changed"
SETTINGS = """
global: {{scrape_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - {{job_name: shop, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
  - {{job_name: 'a.b|c "d"', honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
"""
ODD = ("plain", "a.b", "axb", "a|b", 'quote"d', "back\\slash", "(open", "ünï", "two words", "^$", "")


@pytest.fixture
def prometheus(tmp_path):
    """The address of a Prometheus, given what its one service shows."""
    opened = []

    def start(text, rules="groups: []"):
        shown = page(text.encode())
        port = shown.__enter__()
        opened.append(shown)
        folder = tmp_path / "prometheus"
        folder.mkdir()
        (folder / "prometheus.yml").write_text(SETTINGS.format(port=port))
        (folder / "rules.yml").write_text(rules)
        started = running(folder)
        opened.append(started)
        return started.__enter__()

    yield start
    for each in reversed(opened):
        each.__exit__(None, None, None)


async def until(ask, within=DEADLINE):
    async with asyncio.timeout(within):
        while True:
            if found := await ask():
                return found
            await asyncio.sleep(0.1)


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def info(**labels):
    inside = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    return f"target_info{{{inside}}} 1\n"


async def test_each_target_finds_in_the_answer_for_all_what_it_would_be_told_alone(prometheus):
    lines = [
        info(service_name=name, service_version="v1", instance=f"{number}", **{environment: "production"})
        for number, name in enumerate(ODD)
        for environment in ("deployment_environment_name", "deployment_environment")
    ]
    lines.append(info(service_name="plain", service_version="v2", instance="new", deployment_environment_name="test"))
    address = prometheus("".join(lines))
    selectors = [
        *({"service_name": name, "deployment_environment_name": "production"} for name in ODD),
        {"service_name": "plain", "deployment_environment_name": "test"},
        {"service_name": "plain", "deployment_environment": "production"},
        {"service_name": "plain"},
        {"job": 'a.b|c "d"'},
        {"job": "shop", "service_name": ""},
        {"service_name": "nobody"},
    ]
    targets = [target(name=f"t{number}", telemetry=selector) for number, selector in enumerate(selectors)]
    asks = Prometheus(PrometheusSettings(urls=(address,)))
    try:

        async def both_are_scraped():
            return len(await asks.query("up == 1")) == 2

        await until(both_are_scraped)
        for some in (targets, targets[:2], targets[-1:]):
            seen = await instances.read(asks, some, lambda: 1000.0, ages=True)
            for each in some:
                alone = await asks.query(promql.presence(each.telemetry))
                there = await seen.of(each)
                assert told(there.samples) == told(alone), each.telemetry
                assert len(there.ages) == len(alone)
    finally:
        await asks.close()


def told(samples):
    return sorted((sorted(sample.labels.items()), sample.value) for sample in samples)


async def questions(session, address):
    """How many requests the API of Prometheus has answered, as it says itself."""
    async with session.get(f"{address}/metrics") as answer:
        shown = await answer.text()
    found = re.findall(r'^prometheus_http_requests_total\{code="\d+",handler="/api/.*?"\} (\S+)', shown, re.MULTILINE)
    return sum(map(float, found))


TARGET = """
  - name: s{number}
    match: {{service_name: s{number}, deployment_environment_name: production}}
    policy: standard
    release: {{command: {{current: [cat, current], rollback: [./release, "{{to_version}}"]}}}}
"""


RULES = """
groups:
  - name: fleet
    interval: 1s
    rules:
      - alert: Failing
        expr: failing > 0.5
        labels: {action: rollback}
        annotations: {figure: failing, threshold: "> 0.5"}
"""


@pytest.mark.parametrize(("few", "many"), [(5, 100)])
async def test_a_poll_of_many_targets_asks_as_often_as_one_of_few(prometheus, tmp_path, few, many):
    """Their instances are those of a gateway, whose numbers might have stopped: that is asked once, too."""
    services = [
        {
            "service_name": f"s{number}",
            "service_version": "v2",
            "deployment_environment_name": "production",
            "instance": f"{number}",
        }
        for number in range(many)
    ]
    shown = [info(**each) + info(**each).replace("target_info", "failing").replace(" 1", " 0") for each in services]
    address = prometheus("".join(shown), RULES)
    counted = {}
    async with aiohttp.ClientSession() as session:
        for number in (few, many):
            folder = tmp_path / f"of-{number}"
            folder.mkdir()
            more = "".join(TARGET.format(number=each) for each in range(number))
            async with hosted(folder, more, prometheus=address) as (controller, _):
                watcher, intake = controller.parts.watcher, controller.parts.intake

                async def polled(watcher=watcher, intake=intake):
                    """The questions of one poll that comes a minute after the one before."""
                    watcher._checks._figures._kept.clear()
                    watcher._coverage._asked.clear()
                    before = await questions(session, address)
                    await watcher.poll(intake)
                    await watcher.each.ended()
                    return await questions(session, address) - before

                async def can_be_told(watcher=watcher, polled=polled):
                    await polled()
                    return "of 1 trigger rules" in watcher.polled("s0")["figures"].detail or SILENT in str(
                        watcher.polled("s0")["figures"]
                    )

                await until(can_be_told)
                for _ in range(2):
                    await polled()
                counted[number] = max([await polled() for _ in range(3)])
    assert counted[many] == counted[few] <= 40


async def test_targets_that_no_rule_speaks_of_are_asked_about_a_few_at_each_poll_until_each_has_its_reason(
    prometheus, tmp_path
):
    many, at_most = 60, 40
    names = [f"s{number}" for number in range(many)]
    seen = [
        {"service_name": name, "service_version": "v2", "deployment_environment_name": "production", "instance": name}
        for name in names
    ]
    address = prometheus(
        "".join(info(**each) + info(**each).replace("target_info", "odd_jobs") for each in seen), RULES
    )
    folder = tmp_path / "of-all"
    folder.mkdir()
    more = "".join(TARGET.format(number=number) for number in range(many))
    async with aiohttp.ClientSession() as session, hosted(folder, more, prometheus=address) as (controller, _):
        watcher, intake = controller.parts.watcher, controller.parts.intake
        asked = []

        async def each_has_its_reason():
            before = await questions(session, address)
            await watcher.poll(intake)
            await watcher.each.ended()
            asked.append(await questions(session, address) - before)
            return all("failing" in watcher.polled(name)["figures"].detail for name in names)

        await until(each_has_its_reason)
        assert max(asked[1:]) <= at_most  # the first one reads the past of each target, once
