"""In a storm of very many targets none is asked by itself: nothing that it says could lead to a rollback."""

import asyncio
import time
from dataclasses import replace

import pytest

from real.controller.hosted import hosted
from real.prometheus import page, running

DEADLINE = 120.0
DAY = 86_400.0
MANY = 40
NAMES = [f"s{number}" for number in range(MANY)]
SETTINGS = """
global: {{scrape_interval: 1s}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: shop, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
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
TARGET = """
  - name: {name}
    match: {{service_name: {name}, deployment_environment_name: production}}
    policy: standard
    release:
      command:
        current: [sh, -c, "echo current >> runs; cat current"]
        versions: [sh, -c, "echo versions >> runs; echo v2; echo v1"]
        rollback: [./release, activate, "{{to_version}}"]
"""
OF_FIGURES = (
    "began_after_release", "previous_version_healthy", "not_shown_by_older", "evidence_suffices", "not_a_blip"
)  # fmt: skip
STORM = "storm: {{targets: 3, within: {within}}}\n"


def shown(*failing):
    """What the services show."""
    labels = 'service_name="{}",service_version="v2",deployment_environment_name="production",instance="{}"'
    return "".join(
        f"{metric}{{{labels.format(name, name)}}} {value}\n"
        for name in NAMES
        for metric, value in (("target_info", 1), ("failing", int(name in failing)))
    ).encode()


@pytest.fixture
def services(tmp_path):
    """The address of a Prometheus, and what the services show."""
    now, folder = bytearray(shown()), tmp_path / "prometheus"
    folder.mkdir()
    with page(now) as port:
        (folder / "prometheus.yml").write_text(SETTINGS.format(port=port))
        (folder / "rules.yml").write_text(RULES)
        with running(folder) as address:
            yield address, now


class Fleet:
    """A controller that leads, and polls when it is told to."""

    def __init__(self, folder, controller):
        self.folder, self.controller, self.journal = folder, controller, controller.journal

    async def until(self, holds):
        """Poll until it holds."""
        async with asyncio.timeout(DEADLINE):
            while not await holds():
                parts = self.controller.parts
                await parts.watcher.poll(parts.intake)
                await parts.watcher.each.ended()
                await asyncio.sleep(0.2)  # between two polls, with a deadline

    async def grown_old(self):
        """Every target has served v2, which it shows, for a day; v1 was known good before it."""

        async def learned():
            known = [await self.journal.releases(name) for name in NAMES]
            return all(any(each.service_version == "v2" for each in of_one) for of_one in known)

        await self.until(learned)
        old = time.time() - DAY
        for name in NAMES:
            await self.journal.change_release(
                name, "v2", lambda it: replace(it, known_good_at=old, first_seen=old, served_at=old)
            )
            v1 = (await self.journal.releases(name))[0]
            v1 = replace(v1, version="v1", first_seen=old - DAY, last_seen=old, served_at=old - DAY)
            await self.journal.change_release(name, "v1", lambda _none, v1=v1: replace(v1, service_version="v1"))
            await self.journal.change_target(name, lambda it: replace(it, serving_since=old, adopting=False))

        counts = [0, 0, 0]

        async def nothing_runs():
            counts.append(len(self.runs()))
            return len(set(counts[-3:])) == 1

        await self.until(nothing_runs)

    def runs(self):
        return (self.folder / "runs").read_text().split()

    async def newest(self):
        """The newest decision about each target."""
        made = (await self.journal.decisions(limit=1000)).items
        return {each.target: each for each in reversed(made) if each.target in NAMES}


def reasons(decision):
    return {each.code.value: each for each in decision.reasons}


async def test_in_a_storm_of_very_many_nothing_is_run_and_what_was_not_asked_is_said_to_be(tmp_path, services):
    """A storm over 2,000 targets took a process or two and ten questions for each, at each poll and judgement."""
    address, now = services
    more = "".join(TARGET.format(name=name) for name in NAMES)
    async with hosted(tmp_path, more + STORM.format(within="1h"), prometheus=address) as (controller, _):
        it = Fleet(tmp_path, controller)
        await it.grown_old()
        before = it.runs()
        now[:] = shown(*NAMES)

        async def all_are_judged():
            return (await it.newest()).keys() == set(NAMES)

        await it.until(all_are_judged)
        await it.until(all_are_judged)
        assert it.runs() == before
        for decision in (await it.newest()).values():
            said = reasons(decision)
            assert said["no_storm"].holds is False
            spared = f"in a storm of {MANY} targets none is asked by itself"
            assert (said["alert_confirmed"].holds, said["alert_confirmed"].detail) == (
                None,
                f"Failing fires; its figure was not asked, {spared}.",
            )
            assert said["known_good_exists"].holds is None
            assert said["known_good_exists"].detail.endswith(f"whether it can be activated was not asked, {spared}.")
            assert (decision.verdict, decision.would, decision.from_version) == ("leave", "leave", "v2")
            not_asked = {each.question for each in decision.evidence if f"not asked, {spared}" in each.answer}
            assert {"failing", "sh -c echo current >> runs; cat current"} < not_asked
            assert {name for name in OF_FIGURES if said[name].holds is not None} == set()
        now[:] = shown("s0")
        file = tmp_path / "rearguard.yaml"
        file.write_text(file.read_text().replace(STORM.format(within="1h"), STORM.format(within="1s")))
        await controller.reload()

        async def it_is_judged_anew():
            said = reasons((await it.newest())["s0"])
            return said["no_storm"].holds and said["alert_confirmed"].holds

        await it.until(it_is_judged_anew)
        assert {"current", "versions"} <= set(it.runs()[len(before) :])
