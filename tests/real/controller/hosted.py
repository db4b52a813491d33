"""A controller behind its real listener, with limits and TLS as configured: for the tests of the HTTP side."""

from __future__ import annotations

import asyncio
import contextlib

from real.controller.served import CONFIGURATION, NOWHERE, RELEASE
from rearguard_controller import api, config
from rearguard_controller.journal.sqlite.store import SqliteJournal
from rearguard_controller.service import controller as app


@contextlib.asynccontextmanager
async def hosted(folder, more="", *, text=CONFIGURATION, prometheus=NOWHERE, journal=None):
    """The controller and its port; `more` is added to the configuration, `journal` stands for the one in it."""
    release = folder / "release"
    release.write_text(RELEASE)
    release.chmod(0o755)
    (folder / "current").write_text("v2\n")
    (folder / "sender").write_text("send-1\n")
    (folder / "viewer").write_text("dora:read-1\n")
    (folder / "operator").write_text("ann:act-1\nbob:act-2\n")
    file = folder / "rearguard.yaml"
    file.write_text(text.format(folder=folder, prometheus=prometheus) + more)
    configuration = config.load(file)
    journal = journal or SqliteJournal.open(configuration.journal)
    controller = app.Controller(file, configuration, journal, insecure=False)
    listener = api.Listener(controller.web, grace=1)
    running = None
    try:
        port = await listener.start("127.0.0.1", 0, controller.tls)
        running = asyncio.create_task(controller.run())
        yield controller, port
    finally:
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await listener.close()
        await controller.close()
