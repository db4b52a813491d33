"""`rearguard serve` in a process of its own, with a command that releases and a token for each role."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from local_stack.process import Program, free_ports
from real.controller.served import NOWHERE, OPERATOR, RELEASE, SENDER, VIEWER

CONFIGURATION = """
environment: production
journal: sqlite://{folder}/journal.db
listen: 127.0.0.1:{port}
open: [openapi]
limits: {{triggers_per_minute: 1000000}}
prometheus: {{url: "{nowhere}", poll_interval: 1h}}
{tokens}
targets:
  - name: checkout
    match: {{service_name: checkout, deployment_environment_name: production}}
    release:
      command:
        current: [./release, current]
        versions: [./release, list]
        rollback: [./release, activate, "{{to_version}}"]
"""
TOKENS = "tokens: {sender: sender, viewer: viewer, operator: operator}"


@contextlib.contextmanager
def controller(folder: Path, tokens: str = TOKENS) -> Iterator[str]:
    """A controller that lives in `folder`, where its `log` is, too; its address. Without `tokens` all may do all."""
    port = free_ports(1)[0]
    release = folder / "release"
    release.write_text(RELEASE)
    release.chmod(0o755)
    (folder / "current").write_text("v2\n")
    for name, token in (("sender", SENDER), ("viewer", VIEWER), ("operator", f"Bearer ann:{OPERATOR[7:]}")):
        (folder / name).write_text(token.removeprefix("Bearer ") + "\n")
    text = CONFIGURATION.format(folder=folder, port=port, nowhere=NOWHERE, tokens=tokens)
    (folder / "rearguard.yaml").write_text(text)
    program = Program(
        "rearguard",
        [sys.executable, "-m", "rearguard_controller", "serve", "--config", "rearguard.yaml"]
        + ([] if tokens else ["--insecure"]),
        folder=folder,
        log=folder / "log",
        ready_url=f"http://127.0.0.1:{port}/healthz",
        environment=dict(os.environ),
    )
    try:
        program.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()
    log = (folder / "log").read_text()
    assert "Traceback" not in log, log[-4000:]
