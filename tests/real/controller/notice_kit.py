"""What tests of notices share: a rollback's story, entries of each kind, a mail server, and nasty text."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from real.controller.test_notify import ALL
from rearguard_controller.config import NotifyEntry
from rearguard_controller.model import Outcome, Phase, StepKind, StepState
from unit.controller.factories import NOW, decision, rollback

URL = "https://rearguard.example.com"
NASTY = "<!channel> & <http://evil|click> *bold* `code` @everyone [x](http://evil) \u202e %%% \x1b[31m"
TS = {"ok": True, "channel": "C1", "ts": "1700000000.000100"}


class Mailbox:
    """A mail server that takes every mail, or says hello and nothing more."""

    def __init__(self, *, hangs):
        self.hangs, self.port, self.received, self.recipients = hangs, 0, [], set()

    async def serve(self, reader, writer):
        writer.write(b"220 mail.example.com ESMTP\r\n")
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                if self.hangs:
                    continue
                word = line[:4].upper()
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    self.received.append((await reader.readuntil(b"\r\n.\r\n"))[:-5])
                elif word == b"RCPT":
                    self.recipients.add(line.split(b":", 1)[1].split()[0].decode())
                writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
        writer.close()


@contextlib.asynccontextmanager
async def mailbox(*, hangs=False):
    it = Mailbox(hangs=hangs)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


def waiting(**fields):
    return rollback(phase=Phase.WAITING, needs_approval=True, wait_until=NOW + 1800, **fields)


def closed(outcome=Outcome.RECOVERED, **fields):
    done = rollback(**fields)
    state = StepState.DONE
    steps = tuple(
        replace(step, state=state, attempt=1, started_at=NOW) if step.kind is StepKind.ROLL_BACK else step
        for step in done.steps
    )
    return replace(done, steps=steps, phase=Phase.CLOSED, outcome=outcome, closed_at=NOW + 60, detail="0.01 now.")


def of_kind(kind, receiver, path="", **fields):
    return NotifyEntry(
        **{"events": ALL, "url": f"http://{receiver.host}{path}", "timeout": 2.0, "kind": kind, **fields}
    )


def with_token(tmp_path, kind, receiver, **fields):
    (tmp_path / "token").write_text("Secret-token\n")
    return of_kind(kind, receiver, token_file=tmp_path / "token", **fields)


def story(told, receiver_url=URL):
    """A rollback from the question to its good end."""
    told.use(external_url=receiver_url)
    told.notify.decided(decision(rollback_id="r1"), waiting())
    told.notify.started(rollback(), decision())
    told.notify.finished(closed(), decision())


def in_file(tmp_path, url, **fields):
    (tmp_path / "address").write_text(url + "\n")
    fields = {"events": ALL, "timeout": 10.0, "url_file": tmp_path / "address", **fields}
    return NotifyEntry(**fields)
