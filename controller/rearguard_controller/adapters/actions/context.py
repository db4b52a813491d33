"""What an action is told and what it answers, and how placeholders are filled.

Here: the two records, and the one place where outside text enters an argument or address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from rearguard_controller.model.targets import PLACEHOLDERS
from rearguard_controller.model.versions import is_version

_PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACEHOLDERS)})\}}")
_SHOWN = 60  # characters of a bad value that a sentence repeats


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action may know: for placeholders, for its environment, and for its standard input.

    Attributes:
        step: the step's name (`REARGUARD_STEP`).
        attempt: counted from 1 (`REARGUARD_ATTEMPT`).
        stdin: the decision as JSON.
    """

    target: str
    from_version: str = ""
    to_version: str = ""
    rollback_id: str = ""
    step: str = ""
    attempt: int = 1
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """How an action went.

    Attributes:
        output: what it printed or answered, capped, as text.
        detail: one sentence: exit code, time-out, HTTP status, or why it could not start.
        seconds: how long it took.
        never_began: the controller had no descriptors, memory or processes left to begin it; nothing has happened.
        superseded: somebody else changed the target, so that nothing was done.
    """

    ok: bool
    output: str
    detail: str
    seconds: float
    timed_out: bool = False
    never_began: bool = False
    superseded: bool = False


class Refused(Exception):  # noqa: N818 - not an error of the program: it becomes a failed result
    """An action must not be run with these values; the text is the result's sentence."""


def check(context: ActionContext) -> None:
    """Refuse versions that break the pattern, whether or not a placeholder uses them."""
    for name, version in (("from_version", context.from_version), ("to_version", context.to_version)):
        if version and not is_version(version):
            raise Refused(f"refused: {name} is {shown(version)}, which is no version")


def fill_argument(argument: str, context: ActionContext) -> str:
    """An argument with its placeholders filled, once; a value may not turn it into an option."""
    filled = _fill(argument, context, quoted=False)
    if filled.startswith("-") and not argument.startswith("-"):
        raise Refused(f"refused: the argument {shown(filled)} would be read as an option")
    return filled


def fill_address(address: str, context: ActionContext) -> str:
    """An address with its placeholders filled, each value percent-encoded."""
    return _fill(address, context, quoted=True)


def _fill(text: str, context: ActionContext, *, quoted: bool) -> str:
    values = {
        "target": context.target,
        "from_version": context.from_version,
        "to_version": context.to_version,
        "rollback_id": context.rollback_id,
    }

    def value_of(match: re.Match[str]) -> str:
        value = values[match[1]]
        if not value:
            raise Refused(f"refused: there is no {match[1]} to fill in")
        return quote(value, safe="") if quoted else value

    return _PLACEHOLDER.sub(value_of, text)


def shown(value: str) -> str:
    """A value as a sentence may repeat it: short and printable."""
    return ascii(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
