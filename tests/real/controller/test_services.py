"""Every service that Prometheus shows in an environment is a target, without a line of its own or a reload."""

import asyncio
import contextlib
import json
import time

import pytest

from real.controller.hosted import hosted
from real.controller.test_cli import rearguard
from real.prometheus import page, running
from rearguard_controller import config
from rearguard_controller.errors import ConfigError
from rearguard_controller.watching import services

DEADLINE = 90.0
SETTINGS = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: shop, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:9465
prometheus: {{url: "{prometheus}", poll_interval: 1s}}
tokens: {{sender: sender, viewer: viewer, operator: operator}}
policies: {{standard: {{mode: observe}}}}
targets:
  - name: listed
    match: {{service_name: listed, deployment_environment_name: production}}
    release: {{command: {{current: [cat, current]}}}}
discover:
  - prometheus:
      command:
        current: [echo, "{{service}}-{{environment}}-v2"]
        rollback: [./release, activate, "{{service}}", "{{to_version}}"]
"""


def shown(*named, environment="production", label="deployment_environment_name"):
    return "".join(
        f'target_info{{service_name="{name}",service_version="1",{label}="{environment}",instance="{name}"}} 1\n'
        for name in named
    )


@pytest.fixture
def shop(tmp_path):
    """The address of a Prometheus, and what it scrapes."""
    body = bytearray((shown("basket", "listed", "--help") + shown("other", environment="test")).encode())
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with page(body) as port:
        (folder / "prometheus.yml").write_text(SETTINGS.format(port=port))
        with running(folder) as address:
            yield address, body


async def until(holds):
    async with asyncio.timeout(DEADLINE):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.2)


async def test_a_service_becomes_a_target_by_being_scraped_and_stays_one_while_it_is_down(
    tmp_path, shop, monkeypatch
):
    monkeypatch.setattr(services, "ASK_EVERY", 0.0)
    address, body = shop
    async with hosted(tmp_path, text=CONFIGURATION, prometheus=address) as (controller, _):

        async def has(*names):
            async def holds():
                return {each.name for each in controller.parts.configuration.targets} == set(names)

            await until(holds)

        async def serves(name, version):
            async def holds():
                return (await controller.journal.target_state(name)).serving_version == version

            await until(holds)

        await has("listed", "basket")  # neither one of another environment, nor one whose name is an option
        await serves("basket", "basket-production-v2")
        body[:] = shown("search", label="deployment_environment").encode()  # and the others are gone
        await has("listed", "basket", "search")
        await serves("search", "search-production-v2")
        (found,) = [each for each in controller.parts.configuration.targets if each.name == "search"]
        assert found.release.rollback.argv == ("./release", "activate", "search", "{to_version}")
        assert found.match == ({"service_name": "search", "deployment_environment_name": "production"},)
        assert found.policy.name == "standard"


def looked(file):
    done = rearguard("check", "--live", "--json", "--config", str(file))
    return [(each["weight"], each["about"], each["said"]) for each in json.loads(done.stdout)["live"]]


def test_a_live_check_looks_at_the_services_that_prometheus_shows(tmp_path, shop):
    """The program that puts back is not there, which is found of services that stand in no file, too."""
    address, _ = shop
    (tmp_path / "current").write_text("v1\n")
    file = tmp_path / "rearguard.yaml"
    file.write_text(CONFIGURATION.format(folder=tmp_path, prometheus=address))
    deadline = time.monotonic() + DEADLINE
    found = looked(file)
    while not any("basket-production-v2" in said for _, _, said in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
        found = looked(file)
    assert ("good", "Prometheus", "1 service is discovered.") in found
    blocks = [said for weight, about, said in found if (weight, about) == ("blocks", "basket")]
    assert any("./release is not there" in said for said in blocks)
    assert any("no target may have such a name: --help." in said for _, _, said in found)
    with running_empty(tmp_path) as empty:
        file.write_text(CONFIGURATION.format(folder=tmp_path, prometheus=empty))
        (none,) = [said for weight, about, said in looked(file) if weight == "look" and "discover" in said]
    assert none == (
        'No service is discovered: no target_info has deployment_environment_name="production". Correct'
        " `environments` of `discover`, or what the services call their environment."
    )


@contextlib.contextmanager
def running_empty(folder):
    """A Prometheus that scrapes nothing."""
    (folder / "empty").mkdir()
    (folder / "empty" / "prometheus.yml").write_text("scrape_configs: []\n")
    with running(folder / "empty") as address:
        yield address


WRONG = {
    "no place": ("discover: [{policy: standard}]", "exactly one of kubernetes and prometheus"),
    "two": (
        "discover: [{policy: standard, kubernetes: {namespaces: [a], selector: a}, prometheus: {}}]",
        "exactly one of kubernetes and prometheus",
    ),
    "a match": (
        "discover: [{policy: standard, match: {a: b}, prometheus: {command: {current: [a]}}}]",
        "matched by its name",
    ),
    "a word": ('discover: [{policy: standard, prometheus: {command: {current: [a, "{servis}"]}}}]', "service"),
    "no way back": ("discover: [{policy: acts, prometheus: {command: {current: [a]}}}]", "can only be observed"),
}
BASE = """
environment: production
journal: sqlite:////tmp/journal.db
listen: 127.0.0.1:9465
prometheus: {url: "http://127.0.0.1:9090"}
tokens: {sender: a, viewer: b, operator: c}
policies: {standard: {mode: observe}, acts: {mode: act}}
"""


@pytest.mark.parametrize("wrong", WRONG)
def test_an_entry_that_cannot_be_used_says_what_to_write(tmp_path, wrong):
    text, told = WRONG[wrong]
    with pytest.raises(ConfigError) as refused:
        config.parse(BASE + text, file="rearguard.yaml", folder=tmp_path)
    assert told in f"{refused.value.message} {refused.value.hint}"


def test_with_several_environments_a_target_is_named_by_both(tmp_path):
    text = "discover: [{policy: standard, prometheus: {environments: [eu, us], command: {current: [a]}}}]"
    found = config.parse(BASE + text, file="rearguard.yaml", folder=tmp_path)
    targets = services.targets_of(found, dict.fromkeys([("shop", "us"), ("shop", "eu"), ("shop", "test")], ""))
    assert [each.name for each in targets] == ["eu/shop", "us/shop"]
