"""The commands completion and complete: what a shell offers when somebody presses Tab.

Here: one small script for each shell, all of which ask `rearguard complete -- WORDS` for what could come next, and
that answer: commands and options from the parser, names of targets and ids from the controller, if it answers soon.
"""

from __future__ import annotations

import argparse
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rearguard_controller.cli.arguments import command_names, parser, subparsers
from rearguard_controller.errors import RearguardError

if TYPE_CHECKING:  # loads the HTTP client
    from rearguard_controller.client import Client

WITHIN = 0.3  # seconds for the controller's answer
FILES = ":files"  # instead of words: the shell offers names of files
TAKES_FILE = frozenset({"FILE", "FOLDER"})
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@%+=,-]*")  # nothing that a shell reads as more than a word

BASH = """\
_rearguard() {
    local answer
    mapfile -t answer < <(rearguard complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ ${answer[0]-} == :files ]]; then
        compopt -o default
        COMPREPLY=()
    else
        COMPREPLY=("${answer[@]}")
    fi
}
complete -F _rearguard rearguard
"""
ZSH = """\
#compdef rearguard
_rearguard() {
    local -a answer
    answer=("${(@f)$(rearguard complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${answer[1]-} == :files ]]; then
        _files
    elif [[ -n ${answer[1]-} ]]; then
        compadd -- "${answer[@]}"
    fi
}
if [[ ${funcstack[1]-} == _rearguard ]]; then
    _rearguard "$@"
else
    compdef _rearguard rearguard
fi
"""
FISH = """\
function __rearguard_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer (rearguard complete -- $words[2..-1] 2>/dev/null)
    if test "$answer[1]" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $answer
    end
end
complete -c rearguard -f -a '(__rearguard_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(options: Namespace) -> int:
    """Print the script for a shell."""
    sys.stdout.write(SCRIPTS[options.shell])
    return 0


def complete(options: Namespace) -> int:
    """Print what could stand in place of the last word, one candidate a line; nothing if nobody knows."""
    words = [word for word in options.words[:1] if word != "--"] + options.words[1:]
    *before, begun = words or [""]
    for each in candidates(before, begun):
        sys.stdout.write(f"{each}\n")
    return 0


def candidates(before: list[str], begun: str) -> list[str]:
    """What could stand after the words `before` and begins with `begun`."""
    words = parser()
    if not before:
        return _beginning(begun, ["--help", "--version"] if begun.startswith("-") else command_names(words))
    command = subparsers(words).get(before[0])
    if command is None:
        return []
    actions = command._actions  # noqa: SLF001  # argparse has no public way
    option = next((each for each in actions if before[-1] in each.option_strings and each.nargs != 0), None)
    if option is not None:
        return _values(option, before, begun)
    if begun.startswith("-"):
        return _beginning(begun, [name for each in actions for name in each.option_strings if name.startswith("--")])
    places = [each for each in actions if not each.option_strings]
    given = _given(actions, before[1:])
    return _values(places[given], before, begun) if given < len(places) else []


def _given(actions: list[argparse.Action], words: list[str]) -> int:
    """How many of the words are no options, and no values of options."""
    takes = {name for each in actions if each.nargs != 0 for name in each.option_strings}
    return sum(
        not word.startswith("-") and last not in takes for last, word in zip(["", *words], words, strict=False)
    )


def _values(action: argparse.Action, before: list[str], begun: str) -> list[str]:
    kind = str(action.metavar or "")
    if kind in TAKES_FILE:
        return [FILES]
    if action.choices is not None:
        return _beginning(begun, map(str, action.choices))
    if kind in ("TARGET", "ID", "NAME", "VERSION", "SUBJECT") or action.dest == "context":
        try:
            return _beginning(begun, filter(_HARMLESS.fullmatch, _known(kind, action.dest, before)))
        except (RearguardError, KeyError, TypeError, AttributeError):  # nobody is asked twice, nothing is said
            return []
    return []


def _known(kind: str, meaning: str, before: list[str]) -> Iterable[str]:
    """Names that the controller, or the file of contexts, knows."""
    from rearguard_controller.cli import contexts  # noqa: PLC0415  # names only
    from rearguard_controller.cli.connection import connected  # noqa: PLC0415  # loads the HTTP client

    if meaning == "context" or before[0] == "context":
        return sorted(contexts.read(contexts.place()).known)
    where = before[before.index("--context") + 1 :][:1] if "--context" in before else []
    client = connected(Namespace(context=where[0] if where else None), patience=WITHIN)

    if kind == "ID":
        if before[0] in ("approve", "veto", "abort", "close"):
            return [each["id"] for each in client.status()["open"]]
        return [each["id"] for each in client.history(limit=20)["rollbacks"]]
    if kind == "NAME":
        return [*_targets(client), *(each["id"] for each in client.decisions(limit=20)["decisions"])]
    if kind == "VERSION":
        return [each["version"] for each in client.releases(before[1])["releases"]]
    return _targets(client)


def _targets(client: Client) -> list[str]:
    return [each["name"] for each in client.status()["targets"]]


def _beginning(begun: str, words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(begun)]


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {"completion": completion, "complete": complete}
