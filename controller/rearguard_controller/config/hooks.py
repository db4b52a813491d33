"""Commands, requests and hooks of the configuration.

Here: the blocks that become actions, and what an argument or address may contain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from rearguard_controller.config import drains
from rearguard_controller.config.keys.targets import CHECK, COMMAND_RELEASE, HOOK, HOOKS, HTTP, UNDO
from rearguard_controller.config.reading import LEAST_TIMEOUT, Block, Place, meant
from rearguard_controller.config.secret_files import HEADER_NAME
from rearguard_controller.model import (
    Action,
    AfterCrash,
    CommandAction,
    CommandRelease,
    Drain,
    Hook,
    HttpAction,
    OnFailure,
)
from rearguard_controller.model.targets import PLACEHOLDERS

COMMAND_TIMEOUT = 300.0
REQUEST_TIMEOUT = 30.0
LOOK_TIMEOUT = 30.0  # at most, for commands that only look: current, versions, check
_HARMLESS = ("GET", "HEAD")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OWN_STEPS = (
    "pause-owner",
    "roll-back",
    "health",
    "recovery",
)  # of every rollback; undo hooks are named "undo NAME", with a space
_ONE_ACTION = "give exactly one of command and http"
_NOT_OF_A_DRAIN = {
    "undo": "a drain is undone by itself",
    "check": "a drill asks the API server itself",
    "after_crash": "a drain looks first, so that it may always be repeated",
    **dict.fromkeys(("cwd", "env", "pass_env"), "this is for commands"),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """In which folder and with which variables a command runs."""

    cwd: str
    env: Mapping[str, str]
    pass_env: tuple[str, ...]
    words: tuple[str, ...] = PLACEHOLDERS  # that arguments may hold


def name(place: Place) -> str:
    """A name that may stand in addresses, arguments and metric labels."""
    text = place.line("a name")
    if not NAME.fullmatch(text):
        raise place.error(
            f"{text[:60]!r} is no name", "use letters, digits, '.', '_' and '-', at most 100, first a letter or digit"
        )
    return text


def url(place: Place, *, placeholders: bool) -> str:
    """An http or https address; placeholders only where a rollback will fill them."""
    text = place.line("an http or https address")
    if placeholders:
        _check_placeholders(place, text)
    try:
        parts = urlsplit(_PLACEHOLDER.sub("x", text) if placeholders else text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(char.isspace() for char in text):
        raise place.error("this is no address", "it must look like http://host:port/path")
    return text


def command_release(place: Place, folder: Path, *, more: tuple[str, ...] = ()) -> CommandRelease:
    """The commands that read and change a target's version; arguments may hold these placeholders more."""
    block = place.block(COMMAND_RELEASE)
    timeout = block.duration("timeout", COMMAND_TIMEOUT, least=LEAST_TIMEOUT)
    around = _surroundings(block, folder, Surroundings(str(folder), {}, (), (*PLACEHOLDERS, *more)))
    look = min(timeout, LOOK_TIMEOUT)
    rollback, versions, check = block.get("rollback"), block.get("versions"), block.get("check")
    return CommandRelease(
        current=_command(block.need("current"), look, around),
        rollback=None if rollback is None else _command(rollback, timeout, around),
        versions=None if versions is None else _command(versions, look, around),
        check=None if check is None else _command(check, look, around),
    )


def hooks(place: Place | None, folder: Path, *, in_cluster: bool) -> tuple[tuple[Hook, ...], tuple[Hook, ...]]:
    """The hooks before and after, in order; `in_cluster`: of targets that are workloads."""
    if place is None:
        return (), ()
    block = place.block(HOOKS)
    before, after = block.get("before"), block.get("after")
    taken = set(OWN_STEPS)
    return (
        () if before is None else _hooks(before, taken, partial(_before, folder=folder, in_cluster=in_cluster)),
        () if after is None else _hooks(after, taken, partial(_after, folder=folder)),
    )


def _hooks(place: Place, taken: set[str], read: Callable[[Place], Hook]) -> tuple[Hook, ...]:
    """The hooks of a list; adds their names, and the objects that they drain, to `taken`."""
    found = []
    for item in place.items("a list of hooks"):
        hook = read(item)
        if hook.name in taken:
            of_rollback = hook.name in OWN_STEPS
            problem = f"{hook.name!r} is the name of {'a step of every rollback' if of_rollback else 'another hook'}"
            raise (
                item.block(HOOK)
                .need("name")
                .error(problem, "choose another name" if of_rollback else "give each hook of a target its own name")
            )
        if isinstance(hook.action, Drain):
            if str(hook.action) in taken:
                problem = f"two hooks drain {hook.action}"
                raise item.block(HOOK).need("kubernetes").error(problem, "say all of it in one hook")
            taken.add(str(hook.action))
        taken.add(hook.name)
        found.append(hook)
    return tuple(found)


def _before(place: Place, *, folder: Path, in_cluster: bool) -> Hook:
    block = place.block(HOOK)
    if (misplaced := block.get("before_restore")) is not None:
        raise misplaced.error("this is for after hooks", "remove it, or move the hook to after")
    draining = block.get("kubernetes")
    if draining is not None:
        return _drain(block, draining, in_cluster=in_cluster)
    found = _hook(block, folder)
    undo_place = block.get("undo")
    if undo_place is None:
        return found
    undo, around = undo_place.block(UNDO), _surroundings(block, folder, Surroundings(str(folder), {}, ()))
    return replace(
        found,
        undo=_action(undo, folder, _surroundings(undo, folder, around)),
        undo_when_healthy=undo.word("when", ("always", "healthy"), "always") == "healthy",
    )


def _after(place: Place, *, folder: Path) -> Hook:
    block = place.block(HOOK)
    if (misplaced := block.get("undo")) is not None:
        raise misplaced.error("only a before hook can be undone", "remove undo, or move the hook to before")
    if (misplaced := block.get("kubernetes")) is not None:
        raise misplaced.error("only a before hook can drain", "move the hook to before")
    return replace(_hook(block, folder), before_restore=block.boolean("before_restore", default=False))


def _drain(block: Block, place: Place, *, in_cluster: bool) -> Hook:
    """A hook of the controller's own: it looks first, so that it may be repeated, and is undone by itself."""
    if any(block.get(key) is not None for key in ("command", "http")):
        raise block.place.error("this names two actions", _ONE_ACTION)
    for key, why in _NOT_OF_A_DRAIN.items():
        if (misplaced := block.get(key)) is not None:
            raise misplaced.error(why, "remove it")
    timeout = block.duration("timeout", REQUEST_TIMEOUT, least=LEAST_TIMEOUT)
    action, when_healthy = drains.drain(place, timeout, in_cluster=in_cluster)
    return Hook(
        name=name(block.need("name")),
        action=action,
        undo=replace(action, restore=True),
        on_failure=OnFailure(block.word("on_failure", ("continue", "stop"), "continue")),
        after_crash=AfterCrash.REDO,
        undo_when_healthy=when_healthy,
    )


def _hook(block: Block, folder: Path) -> Hook:
    """What hooks before and after have in common."""
    around = _surroundings(block, folder, Surroundings(str(folder), {}, ()))
    check = block.get("check")
    return Hook(
        name=name(block.need("name")),
        action=_action(block, folder, around),
        check=None if check is None else _hook_check(check, folder, around),
        on_failure=OnFailure(block.word("on_failure", ("continue", "stop"), "continue")),
        after_crash=AfterCrash(block.word("after_crash", ("never_redo", "redo"), "never_redo")),
    )


def _hook_check(place: Place, folder: Path, around: Surroundings) -> Action:
    """An action that only looks: with a short limit, and without a request method that could change something."""
    block = place.block(CHECK)
    action = _action(block, folder, _surroundings(block, folder, around))
    http = block.get("http")
    if isinstance(action, HttpAction) and http is not None:
        method = http.block(HTTP).get("method")
        if method is not None and action.method not in _HARMLESS:
            raise method.error(f"{action.method} may change something", f"a check is {' or '.join(_HARMLESS)}")
        action = replace(action, method=_HARMLESS[0] if method is None else action.method)
    return replace(action, timeout=min(action.timeout, LOOK_TIMEOUT))


def _action(block: Block, folder: Path, around: Surroundings) -> Action:
    command, http = block.get("command"), block.get("http")
    if command is not None and http is None:
        return _command(command, block.duration("timeout", COMMAND_TIMEOUT, least=LEAST_TIMEOUT), around)
    if http is None or command is not None:
        raise block.place.error("an action is a command or a request", _ONE_ACTION)
    for key in ("cwd", "env", "pass_env"):
        if (misplaced := block.get(key)) is not None:
            raise misplaced.error("this is for commands", "a request has headers and headers_file")
    return _request(http, block.duration("timeout", REQUEST_TIMEOUT, least=LEAST_TIMEOUT), folder)


def _command(place: Place, timeout: float, around: Surroundings) -> CommandAction:
    if not place.is_list():
        raise place.error(f"this is {place.kind}", "write an argument list: [./program, argument]; there is no shell")
    items = place.items("an argument list")
    if not items:
        raise place.error("this is empty", "name at least the program")
    for item in items:
        _check_placeholders(item, item.text("an argument"), around.words)
    if _PLACEHOLDER.search(items[0].text()):
        raise items[0].error("the program must be fixed", "use placeholders in arguments only")
    return CommandAction(
        argv=tuple(item.text() for item in items),
        timeout=timeout,
        cwd=around.cwd,
        env=around.env,
        pass_env=around.pass_env,
    )


def _check_placeholders(place: Place, text: str, known: tuple[str, ...] = PLACEHOLDERS) -> None:
    for word in _PLACEHOLDER.findall(text):
        if word not in known:
            raise place.error(f"the placeholder {{{word}}} is not known", meant(word, known))


def _surroundings(block: Block, folder: Path, inherited: Surroundings) -> Surroundings:
    cwd, env, pass_env = block.get("cwd"), block.get("env"), block.get("pass_env")
    names = inherited.pass_env
    if pass_env is not None:
        names = tuple(_variable(item, item.text()) for item in pass_env.items("a list of names"))
    added = inherited.env
    if env is not None:
        added = {_variable(entry, key): entry.text() for key, entry in env.entries("a mapping of text").items()}
    where = inherited.cwd if cwd is None else str(folder / cwd.line("a path"))
    return Surroundings(where, added, names, inherited.words)


def _variable(place: Place, text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise place.error(f"{text[:60]!r} is no variable name", "use letters, digits and '_'")
    if text.startswith("REARGUARD_"):
        raise place.error("REARGUARD_ variables are set by the controller", "choose another name")
    return text


def _request(place: Place, timeout: float, folder: Path) -> HttpAction:
    block = place.block(HTTP)
    headers, headers_file, body = block.get("headers"), block.get("headers_file"), block.get("body")
    return HttpAction(
        method=block.word("method", _METHODS, "POST"),
        url=url(block.need("url"), placeholders=True),
        timeout=timeout,
        headers={} if headers is None else _headers(headers),
        headers_file=None if headers_file is None else str(folder / headers_file.line("a path")),
        body=None if body is None else body.text(),
    )


def _headers(place: Place) -> dict[str, str]:
    entries = place.entries("a mapping of text")
    for key, entry in entries.items():
        if not HEADER_NAME.fullmatch(key):
            raise entry.error("this is no header name", "use a name such as Content-Type")
    return {key: entry.line() for key, entry in entries.items()}
