"""The errors of the controller: one base, few children.

Here: errors that an operator or a client can do something about; each has a hint that says what.
Never here: failed actions. A hook that fails or a command that times out is a step's result, not an exception.
"""

from __future__ import annotations


def shortened(text: str, most: int) -> str:
    """A text from outside, short enough for a sentence: its first `most` characters, and a sign if it was cut."""
    return text if len(text) <= most else text[:most] + "…"


class RearguardError(Exception):
    """Something an operator can mend.

    Attributes:
        message: one sentence that says what is wrong.
        hint: one sentence that says what to do; may be empty.
        field: the input's field or key at fault, if it was one.
    """

    def __init__(self, message: str, *, hint: str = "", field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field


class ConfigError(RearguardError):
    """The configuration cannot be used; the message names file, line and key.

    Attributes:
        others: what else is wrong with the same file, as far as that can be told; none of them has others itself.
    """

    others: tuple[ConfigError, ...] = ()


class InvalidInputError(RearguardError):
    """A request, payload or argument is not what it must be; `field` names the place."""


class WrongUseError(InvalidInputError):
    """The words of a command make no sense together."""


class MissingLibraryError(RearguardError):
    """A part of Rearguard needs a library that is not installed; the message names the command that installs it."""


class NotFoundError(RearguardError):
    """The named target, rollback or decision does not exist."""


class ConflictError(RearguardError):
    """The request is understood, but the present state does not allow it."""


class JournalError(RearguardError):
    """The journal could not be read or written: nothing was stored."""


class DamagedError(JournalError):
    """One record of the journal cannot be read, and asking again does not help; the others can be read."""


class LeaseLostError(RearguardError):
    """Another replica leads now: nothing was written, and this process must do nothing more."""


class SourceError(RearguardError):
    """An outside system that is asked for facts (Prometheus, a target) gave no usable answer."""


class ShortageError(SourceError):
    """A question could not even be asked: the controller has no descriptors, memory or processes left for it."""


# Module -> the extra that installs it, and what needs it. Exporter and command line alone work without any of them.
_EXTRAS = {
    **dict.fromkeys(
        ("aiohttp", "jinja2", "orjson", "requests", "rich", "structlog", "yaml"), ("controller", "This command")
    ),
    "asyncpg": ("postgres", "A journal in PostgreSQL"),
}


def missing_library(error: ModuleNotFoundError) -> MissingLibraryError | None:
    """What to tell an operator when a library of an extra is not installed.

    Returns:
        None if no extra installs the missing module: a defect, or a damaged installation.
    """
    if error.name not in _EXTRAS:
        return None
    extra, what = _EXTRAS[error.name]
    return MissingLibraryError(
        f"{what} needs the library {error.name}, which is not installed; run: pip install 'rearguard[{extra}]'"
    )


def sentences(error: RearguardError) -> str:
    """A fault and what to do about it, as sentences."""
    return f"{error.message.rstrip('.')}. {error.hint}".rstrip()
