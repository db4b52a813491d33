"""Whether an action could be carried out, found out without doing it.

Here: looking for a program as the system would, connecting to an address (with TLS where it is https) and sending
nothing, reading the file of headers.
Never here: running a command or sending a request. A look must change nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller.adapters.actions import command
from rearguard_controller.adapters.actions.context import ActionContext, Refused, check, fill_address
from rearguard_controller.config.beside import beside
from rearguard_controller.config.secret_files import read_headers
from rearguard_controller.errors import ConfigError
from rearguard_controller.model import Action, CommandAction
from rearguard_controller.wording import fault

CONNECT_TIMEOUT = 5.0  # seconds for the name, the connection and TLS
_PORTS = {"http": 80, "https": 443}


async def obstacle(action: Action, context: ActionContext) -> str:
    """Why an action could not be started, as the end of a sentence; empty if nothing is in its way."""
    try:
        if isinstance(action, CommandAction):
            return await beside(partial(_no_program, action, context), [Path(action.cwd)])
        check(context)
        if action.headers_file is not None:
            file = Path(action.headers_file)
            await beside(partial(read_headers, file), [file])
        return await connects(fill_address(action.url, context))
    except (Refused, ConfigError) as error:
        return str(error)


async def connects(url: str) -> str:
    """Why an address cannot be connected to, without its path; empty when it can."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    try:
        port = parts.port or _PORTS[parts.scheme]
        async with asyncio.timeout(CONNECT_TIMEOUT):
            trust = await asyncio.to_thread(ssl.create_default_context) if secure else None
            _, writer = await asyncio.open_connection(host, port, ssl=trust)
    except TimeoutError:
        return f"{host} does not take a connection within {CONNECT_TIMEOUT:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {host} is not to be trusted: {error.verify_message}"
    except (OSError, ValueError, KeyError) as error:
        return f"{host} cannot be connected to: {fault(error)}"
    writer.close()
    return ""


def _no_program(action: CommandAction, context: ActionContext) -> str:
    """Looks where the new process would: relative to its folder, or along its own PATH."""
    program, folder = action.argv[0], Path(action.cwd)
    try:
        if not folder.is_dir():
            return f"its folder {folder} is not there"
    except OSError as error:
        return f"its folder {folder} cannot be entered: {error.strerror}"
    path = command.environment(action, context, os.environ).get("PATH", os.defpath)
    within = os.pathsep.join(str(folder / each) for each in path.split(os.pathsep))
    found = shutil.which(str(folder / program) if "/" in program else program, path=within)
    return "" if found else f"{program} is not there, or not executable"
