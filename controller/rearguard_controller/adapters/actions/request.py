"""Sending one HTTP request of the configuration.

Here: headers from a file at each use, no redirects (a hook's address is the address meant), a capped answer.
Never here: a second sending of a request, or state that is kept between two requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp

from rearguard_controller.adapters.actions.context import ActionContext, ActionResult, Refused, check, fill_address
from rearguard_controller.adapters.actions.redaction import Secrets
from rearguard_controller.adapters.actions.shortage import Patience, Shortages, missing, sentence
from rearguard_controller.config.beside import beside
from rearguard_controller.config.secret_files import read_headers
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import HttpAction
from rearguard_controller.times import durations
from rearguard_controller.wording import address, fault

BODY_CAP = 4 * 1024  # bytes kept of an answer
_GOOD = range(200, 300)
_REDIRECTS = range(300, 400)


async def run(
    session: aiohttp.ClientSession, action: HttpAction, context: ActionContext, shortages: Shortages
) -> ActionResult:
    """Send the request; any 2xx answer is success.

    A connection that cannot be opened for want of a resource is tried again, as long as the limit of the action:
    nothing was sent yet.
    """
    started, patience = time.monotonic(), Patience(action.timeout)
    while True:
        result, resource = await _try(session, action, context)
        if not resource:
            return result
        shortages.note(address(action.url), resource)
        pause = patience.pause()
        if pause is None:
            detail = sentence(f"{action.method} {address(action.url)}", resource)
            return replace(result, detail=detail, seconds=time.monotonic() - started, never_began=True)
        await asyncio.sleep(pause)


async def _try(
    session: aiohttp.ClientSession, action: HttpAction, context: ActionContext
) -> tuple[ActionResult, str]:
    """Send the request once; also returns the resource for want of which it could not be sent, or ""."""
    started, secrets = time.monotonic(), Secrets()
    try:
        check(context)
        url = fill_address(action.url, context)
        of_file = await _headers_of(action.headers_file)
        headers, secrets = {**action.headers, **of_file}, Secrets.of_headers(of_file)
        status, reason, body = await _send(session, action, url, headers)
    except Refused as refused:
        result = ActionResult(ok=False, output="", detail=str(refused), seconds=time.monotonic() - started)
        return result, missing(refused)
    except TimeoutError:
        detail = f"{action.method} {address(url)} timed out after {durations.render(action.timeout)}"
        seconds = time.monotonic() - started
        return ActionResult(ok=False, output="", detail=detail, seconds=seconds, timed_out=True), ""
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
        said = secrets.hide(_printable(fault(error)))
        detail = f"{action.method} {address(url)} failed: {said}"
        result = ActionResult(ok=False, output="", detail=detail, seconds=time.monotonic() - started)
        return result, missing(error) if isinstance(error, aiohttp.ClientConnectorError | RuntimeError) else ""
    text = body.decode("utf-8", errors="replace").replace("\x00", "\ufffd")
    result = ActionResult(
        ok=status in _GOOD,
        output=secrets.hide(text, cut_after=len(body) >= BODY_CAP),
        detail=f"{action.method} {address(url)} answered {status} {secrets.hide(_printable(reason))}".rstrip()
        + (" (redirects are not followed)" if status in _REDIRECTS else ""),
        seconds=time.monotonic() - started,
    )
    return result, ""


async def _send(
    session: aiohttp.ClientSession, action: HttpAction, url: str, headers: Mapping[str, str]
) -> tuple[int, str, bytes]:
    """Status, reason phrase and the first bytes of the body."""
    async with session.request(
        action.method,
        url,
        headers=headers,
        data=None if action.body is None else action.body.encode(),
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=action.timeout),
    ) as response:
        body = bytearray()
        while len(body) < BODY_CAP and (piece := await response.content.read(BODY_CAP - len(body))):
            body += piece
        return response.status, response.reason or "", bytes(body)


def _printable(text: str) -> str:
    """What a server said, as a sentence may repeat it: what is no text, and control characters, are replaced."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


async def _headers_of(file: str | None) -> dict[str, str]:
    if file is None:
        return {}
    path = Path(file)
    try:
        return await beside(partial(read_headers, path), [path])
    except ConfigError as error:
        raise Refused(f"refused: {error.message}") from error
