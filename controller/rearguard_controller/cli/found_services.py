"""A configuration that nobody wrote: the services that Prometheus shows, each a target that is only observed.

Here: for a back-test without a file. `rearguard init` writes the same one down.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from rearguard_controller import config
from rearguard_controller.adapters.prometheus import Prometheus
from rearguard_controller.backtest import survey
from rearguard_controller.backtest.services import Survey
from rearguard_controller.cli import first_files
from rearguard_controller.cli.first_files import Setting
from rearguard_controller.config import Configuration, PrometheusSettings
from rearguard_controller.errors import NotFoundError


def configuration(settings: PrometheusSettings, seconds: float) -> tuple[Configuration, tuple[str, ...]]:
    """The configuration, and a sentence for each kind of service that cannot be judged; one question has `seconds`.

    Raises:
        NotFoundError: no service tells a version.
        RearguardError: Prometheus does not answer.
    """
    found = asyncio.run(_look(settings, seconds))
    judged = tuple(each for each in found.services if each.versions)
    silent = sorted(each.name for each in found.services if not each.versions)
    notes = []
    if silent:
        notes.append(f"Without a version, so nothing can be said of them: {first_files.names(silent)}.")
    if found.plain:
        jobs = first_files.names([each.job for each in found.plain])
        notes.append(f"Without target_info, so no rule speaks of these jobs: {jobs}.")
    if not judged:
        raise NotFoundError(
            " ".join(["Prometheus shows no service with a version now.", *notes]),
            hint="rearguard init --prometheus URL says what is wrong with each service.",
        )
    setting = Setting(Path("/"), settings.urls[0], None, (), "127.0.0.1:9465", "production", time.time())
    text = first_files.configuration(replace(found, services=judged, plain=()), setting)
    return config.parse(text, file="the services found", folder=Path("/")), tuple(notes)


async def _look(settings: PrometheusSettings, seconds: float) -> Survey:
    prometheus = Prometheus(settings, timeout=seconds)
    try:
        return await survey.look(prometheus)
    finally:
        await prometheus.close()
