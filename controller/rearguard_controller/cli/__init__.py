"""The command `rearguard`: runs one command, and turns its errors into a sentence, a hint and an exit code.

Here: the entry, the exit codes, and which module has which command.
Never here: heavy imports at the top. A command loads what it needs when it runs, so that help comes at once and
works without the controller's libraries.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence

from rearguard_controller.cli.arguments import command_names, parser, subparsers
from rearguard_controller.errors import ConfigError, RearguardError, missing_library

__all__ = ["main"]

GOOD, FAILED, WRONG_USE, UNKNOWN = 0, 1, 2, 4
CODES = {  # by name: importing UnknownResultError would load the HTTP client
    "UnknownResultError": UNKNOWN,
    "WrongUseError": WRONG_USE,
    "MissingLibraryError": WRONG_USE,
}
INTERRUPTED = 130  # as shells report Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 good; 1 failed; 2 wrong use, or a library is not installed; 3 rolled back (`watch`); 4 when
        the result of the request, or the state of the watched version, is not known.
    """
    words = parser()
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = next((word for word in given if not word.startswith("-")), None)
    _refuse_unknown(words, command)
    _refuse_unknown_options(words, command, given)
    options = words.parse_args(given)
    if options.print_version:
        from importlib.metadata import version  # noqa: PLC0415  # costs more than the rest of --help

        print(f"rearguard {version('rearguard')}")  # noqa: T201  # the answer of the command
        return GOOD
    if options.command is None:
        words.print_help(sys.stderr)
        return WRONG_USE
    try:
        code = _command(options.command)(options)
        sys.stdout.flush()
    except RearguardError as error:
        return _complain(error)
    except ModuleNotFoundError as error:  # the base installation has no library of the controller's
        missing_one = missing_library(error)
        if missing_one is None:
            raise
        return _complain(missing_one)
    except KeyError as missing:  # every answer of this version has this field
        return _complain(RearguardError(f"The answer lacks {missing}.", hint="Is REARGUARD_URL another version?"))
    except BrokenPipeError:  # the program that reads our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _refuse_unknown(words: ArgumentParser, word: str | None) -> None:
    """End with wrong use if the first word is no command; argparse would not say which one was meant."""
    if word is not None and word not in subparsers(words):
        known = command_names(words)
        from rearguard_controller.wording import meant  # noqa: PLC0415  # mistakes only

        question = meant(word, known) or f"These are known: {', '.join(known)}. "
        words.error(f"There is no command {word!r}. {question}".rstrip())


def _refuse_unknown_options(words: ArgumentParser, command: str | None, given: Sequence[str]) -> None:
    """End with wrong use at an option that the command has not; argparse might complain of another one."""
    if command is None:
        return
    of_it = subparsers(words)[command]
    known = [name for action in of_it._actions for name in action.option_strings]  # noqa: SLF001  # argparse has no public way
    for word in given[given.index(command) + 1 :]:
        name = word.partition("=")[0]
        if word == "--":
            return
        if name.startswith("--") and name not in known:
            from rearguard_controller.wording import meant  # noqa: PLC0415  # mistakes only

            options = [each for each in known if each.startswith("--")]
            question = meant(name, options) or f"These are known: {', '.join(options)}."
            of_it.error(f"There is no option {name!r} of {command}. {question}".rstrip())


def _command(name: str) -> Callable[..., int]:
    if name in ("serve", "check"):
        from rearguard_controller.cli import serve  # noqa: PLC0415  # loads the server

        return serve.COMMANDS[name]
    if name == "backtest":
        from rearguard_controller.cli import backtest  # noqa: PLC0415  # loads what judges

        return backtest.COMMANDS[name]
    if name == "init":
        from rearguard_controller.cli import init  # noqa: PLC0415  # loads the client of Prometheus

        return init.init
    if name in ("files", "schema"):
        from rearguard_controller.cli import files  # noqa: PLC0415  # loads importlib.resources

        return files.COMMANDS[name]
    if name in ("status", "history", "show", "decisions", "audit", "releases"):
        from rearguard_controller.cli import show  # noqa: PLC0415  # loads the HTTP client

        return show.COMMANDS[name]
    if name in ("completion", "complete"):
        from rearguard_controller.cli import completion  # noqa: PLC0415  # loads the HTTP client

        return completion.COMMANDS[name]
    if name == "explain":
        from rearguard_controller.cli import explain  # noqa: PLC0415  # loads the HTTP client

        return explain.explain
    if name in ("login", "logout", "context"):
        from rearguard_controller.cli import login  # noqa: PLC0415  # loads the HTTP client

        return login.COMMANDS[name]
    if name == "drill":
        from rearguard_controller.cli import drill  # noqa: PLC0415  # loads the HTTP client

        return drill.COMMANDS[name]
    if name == "watch":
        from rearguard_controller.cli import watch  # noqa: PLC0415  # loads the HTTP client

        return watch.COMMANDS[name]
    from rearguard_controller.cli import change  # noqa: PLC0415  # loads the HTTP client

    return change.COMMANDS[name]


def _complain(error: RearguardError) -> int:
    from rearguard_controller.cli.terminal import note  # noqa: PLC0415  # loads only what this path needs

    others = error.others if isinstance(error, ConfigError) else ()
    for each in (error, *others):
        note(f"rearguard: {each.message}")
        if each.hint:
            note(f"  hint: {each.hint}")
    return CODES.get(type(error).__name__, FAILED)
