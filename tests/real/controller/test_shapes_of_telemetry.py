"""Each SDK, convention, histogram and way to Prometheus: only what a rule can speak of is ready and earns trust."""

import asyncio
import time

import pytest
import yaml

from real.shapes_kit import FEW, NEW, OLD, Shape, every_shape, scraped
from rearguard_controller import config
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.service import controller as app

WITHIN = 100.0  # seconds in which what can be seen must be known good
LONGER = 25.0  # seconds for which what cannot be seen is watched after that; longer than trust takes


def configured(folder, address, shapes, trust):
    (folder / "release").write_text("#!/bin/sh\necho v1\n")
    (folder / "release").chmod(0o755)
    command = {"current": ["./release"], "rollback": ["./release", "{to_version}"]}
    settings = {
        "environment": "production",
        "journal": f"sqlite://{folder}/journal.db",
        "listen": "127.0.0.1:9465",
        "prometheus": {"url": address, "poll_interval": "2s"},
        "policies": {"standard": {"mode": "act", "known_good_after": "10s", "trust": trust}},
        "targets": [
            {
                "name": each.name,
                "match": {"service_name": each.name, "deployment_environment_name": "production"},
                "release": {"command": command},
            }
            for each in shapes
        ],
    }
    file = folder / "rearguard.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


async def watched(folder, address, shapes, wanted, trust="figures"):
    """The names of shapes that earned trust, and the check `figures` of each, after some time."""
    file = configured(folder, address, shapes, trust)
    configuration = config.load(file)
    controller = app.Controller(file, configuration, SqliteJournal.open(configuration.journal), insecure=True)
    running = asyncio.create_task(controller.run())
    ends = time.monotonic() + WITHIN

    async def trusted():
        known = {each.name: await controller.journal.releases(each.name) for each in shapes}
        return {name for name, releases in known.items() if any(one.known_good_at for one in releases)}

    try:
        while not wanted <= await trusted():
            assert time.monotonic() < ends, wanted - await trusted()
            await asyncio.sleep(1)
        await asyncio.sleep(LONGER)
        checks = {each.name: controller.parts.watcher.polled(each.name).get("figures") for each in shapes}
        return await trusted(), checks
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await controller.close()


def look(tmp_path, shapes):
    seen = {each.name for each in shapes if each.seen}
    with scraped(tmp_path, shapes) as address:
        found, checks = asyncio.run(watched(tmp_path, address, shapes, seen))
    assert found == seen
    assert {name for name, check in checks.items() if check.holds} == seen
    for each in shapes:
        told = checks[each.name].detail
        if not each.info:
            assert f'No target_info has service_name="{each.name}"' in told or "no target_info" in told
        elif each.convention == "old" and each.histogram == "classic":
            assert f"{NEW}_count" in told
            assert OLD in told
            assert "OTEL_SEMCONV_STABILITY_OPT_IN" in told
        elif each.convention == "new" and each.histogram == "native":
            assert "native histogram" in told
            assert "rules/optional/native_histograms.yml" in told


def test_only_what_a_rule_can_speak_of_is_ready_and_trusted_and_the_others_are_told_why(tmp_path):
    look(tmp_path, FEW)


def test_a_service_with_native_histograms_alone_is_trusted_by_the_rules_for_them(tmp_path):
    shapes = (Shape("java", "new", "native", True, "direct"), Shape("go", "new", "classic", True, "direct"))
    with scraped(tmp_path, shapes, "optional/native_histograms") as address:
        found, checks = asyncio.run(watched(tmp_path, address, shapes, {each.name for each in shapes}))
    assert found == {each.name for each in shapes}
    assert all(check.holds for check in checks.values()), checks


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_same_of_every_sdk_convention_histogram_and_way(tmp_path):
    look(tmp_path, tuple(every_shape()))
