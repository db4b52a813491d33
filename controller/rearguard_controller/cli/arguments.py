"""The commands of the command line, with their arguments, options and help.

Here: the parser. It imports nothing but argparse, so that help and complaints about wrong use come at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # argparse hides this type behind a private name that only type checkers may see
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # the reason above

ENVIRONMENT = """\
All commands but init, serve, check, backtest and files ask a running controller: that of
`rearguard login`, unless the environment names one:
  REARGUARD_URL         its address, by default http://127.0.0.1:9465
  REARGUARD_TOKEN_FILE  file with a token: viewer to read, operator to change
  REARGUARD_CA_FILE     for https: certificates that the controller's must lead to
  REARGUARD_CERT_FILE   for https: a certificate of one's own (mutual TLS) ...
  REARGUARD_KEY_FILE    ... and its key, when that is another file

exit codes: 0 good, 1 failed, 2 wrong use or a library is not installed,
            3 rolled back (watch), 4 not known or timed out
"""
OUTCOMES = "recovered, not_recovered, completed, failed, aborted, superseded, needs_a_person, interrupted ..."


class _Parser(argparse.ArgumentParser):
    """Spells out what could control the terminal where a complaint repeats an argument, and keeps it on one line."""

    def error(self, message: str) -> NoReturn:
        from rearguard_controller.wording import one_line  # noqa: PLC0415  # loads what only this path needs

        super().error(one_line(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        from rearguard_controller.wording import printable  # noqa: PLC0415  # loads what only this path needs

        super()._print_message(printable(message, keep="\n\t") if message else message, file)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `command` is None when no command was given."""
    words: argparse.ArgumentParser = _Parser(
        prog="rearguard",
        usage="rearguard [-h] [--version] COMMAND ...",
        description="Puts the last version that earned trust back when a release is to blame, and explains why.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    words.add_argument("--version", dest="print_version", action="store_true", help="print the version")
    commands = words.add_subparsers(dest="command", metavar="COMMAND, one of:", title="commands", prog="rearguard")
    _service(commands)
    _reading(commands)
    _rollbacks(commands)
    _targets(commands)
    _contexts(commands)
    return words


def subparsers(words: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parser of each command, by its name."""
    return next(action.choices for action in words._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001  # argparse has no public way


def command_names(words: argparse.ArgumentParser) -> list[str]:
    """The names of the commands that are meant for people."""
    return [name for name in subparsers(words) if name != "complete"]


def _html(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--html", metavar="FILE", help=f"write {what} to this file, which needs nothing beside it")


def _service(commands: Commands) -> None:
    _init(commands)
    serve = _add(commands, "serve", "run the controller")
    _config(serve)
    serve.add_argument("--insecure", action="store_true", help="run without tokens, on a loopback address only")
    check = _add(commands, "check", "check a configuration file and say what it would do")
    _config(check)
    check.add_argument(
        "--live",
        action="store_true",
        help="ask Prometheus, Alertmanager and Kubernetes, too; exit 1 if something is in the way of a rollback",
    )
    _form(check)
    backtest = _add(commands, "backtest", "what would have been rolled back in the past, by Prometheus' history")
    _config(backtest)
    when = "a duration back from now (14d) or a time (2026-01-31T18:00:00Z)"
    backtest.add_argument("--since", metavar="TIME", default="14d", help=f"from when on (14d): {when}")
    backtest.add_argument("--until", metavar="TIME", help=f"up to when, by default now: {when}")
    backtest.add_argument("--target", metavar="TARGET", help="of this target only; the others still count for storms")
    backtest.add_argument(
        "--prometheus", metavar="URL", help="ask this one; without a file its services are the targets"
    )
    _access(backtest)
    _html(backtest, "everything with drawn time-lines")
    _form(backtest)
    _add(commands, "schema", "print the JSON schema of the configuration file, for editors")
    files = _add(
        commands, "files", "list the rules, dashboards and the like that come with Rearguard, or write them out"
    )
    kinds = ("rules", "alertmanager", "grafana", "schema")
    files.add_argument(
        "kind", metavar="KIND", nargs="?", choices=kinds, help=f"of this kind only: {', '.join(kinds)}"
    )
    files.add_argument("--to", metavar="FOLDER", help="write them here; those of all kinds into a folder each")
    files.add_argument("--force", action="store_true", help="overwrite files that differ")
    _form(files)


def _init(commands: Commands) -> None:
    init = _add(commands, "init", "look at what Prometheus shows, and write a first configuration; it reads only")
    init.add_argument("--prometheus", metavar="URL", required=True, help="its address, such as http://127.0.0.1:9090")
    init.add_argument("--alertmanager", metavar="URL", help="its address, such as http://127.0.0.1:9093")
    init.add_argument("--to", metavar="FOLDER", default="rearguard", help="a folder that is made (./rearguard)")
    init.add_argument(
        "--environment", metavar="NAME", default="production", help="of services that tell none (production)"
    )
    init.add_argument(
        "--listen", metavar="HOST:PORT", default="127.0.0.1:9465", help="of the controller (127.0.0.1:9465)"
    )
    _access(init)
    _form(init)


def _access(parser: argparse.ArgumentParser) -> None:
    """How Prometheus is asked: flags with the names of the configuration's keys."""
    parser.add_argument("--username", metavar="NAME", help="for Prometheus, with --password-file")
    parser.add_argument("--password-file", metavar="FILE", help="file with that user's password")
    parser.add_argument("--token-file", metavar="FILE", help="file with a bearer token for Prometheus")
    parser.add_argument("--ca-file", metavar="FILE", help="certificates that Prometheus' must lead to")


def _reading(commands: Commands) -> None:
    status = _add(commands, "status", "targets, open rollbacks, what fires")
    status.add_argument("--watch", action="store_true", help="show changes as they come, until Ctrl-C")
    _asks(status)
    history = _add(commands, "history", "rollbacks, newest first")
    history.add_argument("--target", metavar="TARGET", help="of this target only")
    history.add_argument("--outcome", metavar="OUTCOME", help=f"with this outcome only: {OUTCOMES}")
    _paging(history)
    show = _add(commands, "show", "one rollback with its steps")
    show.add_argument("id", metavar="ID", help="id of a rollback")
    show.add_argument("--full", action="store_true", help="with what every step printed, not only failed ones")
    _asks(show)
    explain = _add(commands, "explain", "why a rollback was begun, or why nothing was done")
    which = explain.add_mutually_exclusive_group()
    which.add_argument(
        "id",
        metavar="NAME",
        nargs="?",
        help="id of a decision or rollback; a target or an alert: its newest decision",
    )
    which.add_argument("--alert", metavar="ALERT", help="the newest decision about an alert of this name")
    explain.add_argument("--target", metavar="TARGET", help="of this target only; a NAME is then an alert's")
    explain.add_argument(
        "--open", action="store_true", help="open its page in a browser; without one, print the address"
    )
    _asks(explain)
    decisions = _add(commands, "decisions", "decisions, newest first")
    decisions.add_argument("--target", metavar="TARGET", help="of this target only")
    decisions.add_argument("--alert", metavar="ALERT", help="about alerts of this name only")
    decisions.add_argument("--verdict", metavar="VERDICT", help="with this verdict only: roll_back, ask, leave")
    _paging(decisions)
    releases = _add(commands, "releases", "what is remembered of a target's versions, newest first")
    releases.add_argument("target", metavar="TARGET")
    _limit(releases)
    _asks(releases)
    watch = _add(commands, "watch", "wait until a new version has proved itself, or was rolled back")
    watch.add_argument("target", metavar="TARGET")
    watch.add_argument("--version", metavar="VERSION", required=True, help="as the target's `current` prints it")
    watch.add_argument(
        "--for",
        dest="lasts",
        metavar="TIME",
        type=_duration,
        default=600.0,
        help="how long it must be seen to serve well (10m)",
    )
    watch.add_argument(
        "--start-within",
        metavar="TIME",
        type=_duration,
        default=300.0,
        help="how long to wait for it to serve at all (5m)",
    )
    _asks(watch)
    audit = _add(commands, "audit", "what people did, newest first: who, when and why")
    audit.add_argument("--subject", metavar="SUBJECT", help="done to this target or rollback only")
    _paging(audit)


def _rollbacks(commands: Commands) -> None:
    rollback = _add(commands, "rollback", "put a trusted version back now")
    rollback.add_argument("target", metavar="TARGET")
    rollback.add_argument("--to", metavar="VERSION", help="default: the last known good version")
    rollback.add_argument("--force", action="store_true", help="also to a bad, barred or unproven version")
    rollback.add_argument("--dry-run", action="store_true", help="show decision and plan, change nothing")
    _reason(rollback)
    _asks(rollback)
    approve = _add(commands, "approve", "let a rollback that waits be begun, if it is still right")
    veto = _add(commands, "veto", "stop a rollback that waits; its version is left alone until the target is armed")
    abort = _add(commands, "abort", "end an open rollback early; what was begun is undone")
    close = _add(commands, "close", "close a rollback that cannot finish, as it stands")
    for command in (approve, veto, abort, close):
        command.add_argument("id", metavar="ID", help="id of a rollback")
        _reason(command)
        _asks(command)


def _targets(commands: Commands) -> None:
    arm = _add(commands, "arm", "allow automatic rollbacks of a target")
    arm.add_argument("target", metavar="TARGET")
    disarm = _add(commands, "disarm", "forbid automatic rollbacks")
    which = disarm.add_mutually_exclusive_group(required=True)
    which.add_argument("target", metavar="TARGET", nargs="?")
    which.add_argument("--all", action="store_true", help="of every target")
    disarm.add_argument("--until", metavar="TIME", help="a duration (2h) or a time (2026-01-31T18:00:00Z)")
    for command in (arm, disarm):
        command.add_argument("--reason", metavar="TEXT", default="no reason given", help="for the audit")
        _asks(command)
    release = _add(commands, "release", "tell the controller about a release")
    release.add_argument("target", metavar="TARGET")
    release.add_argument("version", metavar="VERSION", help="as the target's `current` command prints it")
    release.add_argument("--phase", choices=("started", "finished"), help="a deployment of it starts or has ended")
    release.add_argument(
        "--barrier", action=argparse.BooleanOptionalAction, help="never go back past it automatically"
    )
    release.add_argument("--good", action=argparse.BooleanOptionalAction, help="trust it; clears a bad mark")
    _asks(release)
    drill = _add(commands, "drill", "walk the whole way back without touching what serves; up to 90 seconds")
    drill.add_argument("target", metavar="TARGET")
    drill.add_argument("--reason", metavar="TEXT", help="for the audit")
    drill.add_argument("--history", action="store_true", help="do nothing; show the drills before, newest first")
    _html(drill, "the checks beside those of earlier drills")
    _limit(drill)
    _asks(drill)


def _contexts(commands: Commands) -> None:
    login = _add(commands, "login", "keep the address and the token of a controller, if it takes the token")
    login.add_argument("url", metavar="URL", help="its address, such as https://rearguard.example.org")
    login.add_argument(
        "--token-file", metavar="FILE", help="file with the token; else it is read from standard input"
    )
    login.add_argument("--context", metavar="NAME", help="the name to keep it by (default)")
    logout = _add(commands, "logout", "forget the address and the token of a controller")
    which = logout.add_mutually_exclusive_group()
    which.add_argument("--context", metavar="NAME", help="the one of this name, not the current one")
    which.add_argument("--all", action="store_true", help="all of them")
    context = _add(commands, "context", "list the controllers that are known, or choose the one that is asked")
    context.add_argument("name", metavar="NAME", nargs="?", help="ask this one from now on")
    _form(context)
    completion = _add(commands, "completion", "print the completion of commands, options and names for a shell")
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    complete = commands.add_parser("complete", add_help=False)  # what those scripts ask; without help, so not listed
    complete.add_argument("words", nargs=argparse.REMAINDER)
    _asks(_add(commands, "reload", "let the controller read its configuration again"))


def _add(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", metavar="FILE", default="rearguard.yaml", help="the configuration, YAML (./rearguard.yaml)"
    )


def _reason(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", metavar="TEXT", required=True, help="for the audit and for whoever comes next")


def _duration(text: str) -> float:
    """Read a duration of more than 0 seconds; the result is in seconds."""
    from rearguard_controller import errors  # noqa: PLC0415  # not needed for help
    from rearguard_controller.times import durations  # noqa: PLC0415  # not needed for help

    try:
        seconds = durations.parse(text)
    except errors.InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{error.message}. {error.hint}") from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError("nothing can be seen in no time. Write a duration such as 10m.")
    return seconds


def _limit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", metavar="N", type=int, default=20, help="at most this many (1 to 500)")


def _paging(command: argparse.ArgumentParser) -> None:
    _limit(command)
    command.add_argument("--before", metavar="ID", help="go on where the last page ended")
    _asks(command)


def _asks(command: argparse.ArgumentParser) -> None:
    """What every command takes that asks a controller."""
    _form(command)
    command.add_argument("--context", metavar="NAME", help="ask the controller of this context (see rearguard login)")


def _form(command: argparse.ArgumentParser) -> None:
    forms = command.add_mutually_exclusive_group()
    forms.add_argument(
        "--output", choices=("table", "json", "yaml"), default="table", help="for people (table), or for programs"
    )
    forms.add_argument("--json", dest="output", action="store_const", const="json", help="the same as --output json")
