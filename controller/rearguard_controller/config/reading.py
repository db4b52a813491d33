"""YAML nodes to plain values, or to errors that name file, line, key and what would be right.

Here: the YAML text as a tree with places, and the small readers of texts, numbers, lists, mappings and durations.
Values are read as written: no environment variables, no conversions, no guessed types.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import yaml

from rearguard_controller.config.keys.section import Section
from rearguard_controller.config.mistakes import Mistakes
from rearguard_controller.errors import ConfigError, InvalidInputError
from rearguard_controller.times import durations

MAX_CHARACTERS = 4_000_000  # of a configuration file
SECOND = 1.0  # the least of most durations
LEAST_TIMEOUT = 0.1  # seconds
MAX_NODES = 500_000  # of YAML, with every alias written out
_CLOSE_ENOUGH = 0.6  # likeness from which a known key is offered for an unknown one
_MAX_DIGITS = 9
_SHOWN = 60  # characters of a bad value that an error repeats
_TAG = "tag:yaml.org,2002:"
_KINDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "null": "empty"}


def compose(text: str, file: str) -> Place:
    """Read YAML text into its root place.

    Raises:
        ConfigError: it is not one YAML document, too large, or refers to itself.
    """
    if len(text) > MAX_CHARACTERS:
        raise _error(file, 1, "", f"the file is longer than {MAX_CHARACTERS} characters")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        if node is None:
            raise _error(file, 1, "", "the file is empty", "Start from the example in docs/configuration.md.")
        _expanded_size(node, {}, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise _error(file, line, "", f"this is not YAML ({error.problem})", _not_yaml(str(error.problem))) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _error(file, 1, "", f"this is not YAML ({str(error).partition(chr(10))[0]})") from None
    except RecursionError:
        raise _error(file, 1, "", "the file is nested too deeply") from None
    return Place(node, "", file, node.start_mark.line + 1)


def _not_yaml(problem: str) -> str:
    """What to do about a text that is no YAML, by the parser's own words."""
    if "'\\t'" in problem:
        return "Write blanks where a tab stands."
    if "block end" in problem or "not allowed here" in problem:
        return "Put as many blanks before this line as before those that it belongs to."
    return "Look at this line and the one before it: brackets, quotes, colons and blanks."


def _expanded_size(node: yaml.Node, known: dict[int, int], file: str) -> int:
    """The number of nodes in this one, with every alias written out. Refuses loops and alias bombs."""
    line = node.start_mark.line + 1
    size = known.get(id(node))
    if size == 0:
        raise _error(file, line, "", "an alias refers to what it stands in")
    if size is not None:
        return size
    known[id(node)] = 0
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_expanded_size(part, known, file) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_expanded_size(part, known, file) for part in node.value)
    if size > MAX_NODES:
        raise _error(file, line, "", f"aliases grow to more than {MAX_NODES} values")
    known[id(node)] = size
    return size


def _error(file: str, line: int, path: str, problem: str, hint: str = "") -> ConfigError:
    where = f"{file}:{line}: {path}: " if path else f"{file}:{line}: "
    return ConfigError(f"{where}{problem}", hint=hint, field=path or None)


@dataclass(frozen=True, slots=True)
class Place:
    """A value in the file: its node, its path of keys, its file, and the line of its key."""

    node: yaml.Node
    path: str
    file: str
    line_number: int

    def error(self, problem: str, right: str = "") -> ConfigError:
        """An error about this place, with what would be right in the same sentence."""
        return _error(self.file, self.line_number, self.path, f"{problem}; {right}" if right else problem)

    def wrong(self, wanted: str) -> ConfigError:
        """The error that this value has the wrong type."""
        return self.error(f"this is {self.kind}", f"it must be {wanted}")

    @property
    def kind(self) -> str:
        """This value's type in a user's words."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return _KINDS.get(self.node.tag.removeprefix(_TAG), "something else")

    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def _scalar(self, *tags: str) -> str | None:
        """The text of a scalar of one of these types; None for anything else."""
        if isinstance(self.node, yaml.ScalarNode) and self.node.tag.removeprefix(_TAG) in tags:
            return str(self.node.value)
        return None

    def text(self, wanted: str = "text") -> str:
        """Non-empty text that can be written as UTF-8 and has no NUL."""
        value = self._scalar("str")
        if value is None:
            hint = f"{wanted}: write it in quotes" if self._scalar("int", "float", "bool", "timestamp") else wanted
            raise self.wrong(hint)
        if not value:
            raise self.error("this is empty", f"it must be {wanted}")
        if any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in value):
            raise self.error("this holds a character that no text can hold", "remove the NUL or lone surrogate")
        return value

    def line(self, wanted: str = "text") -> str:
        """Text of one line."""
        value = self.text(wanted)
        if any(ord(char) < ord(" ") or char == "\x7f" for char in value):
            raise self.error("this holds a control character", "it must be one line")
        return value

    def word(self, words: Sequence[str]) -> str:
        """One of a closed set of words."""
        value = self._scalar("str", "bool", "int", "null")
        if value is None or value not in words:
            shown = f"this is {self.kind}" if value is None else f"{value[:_SHOWN]!r} is not known"
            raise self.error(shown, f"it must be {' or '.join(words)}")
        return value

    def says(self, words: Sequence[str]) -> bool:
        """Whether this is one of these words."""
        return self._scalar("str") in words

    def boolean(self) -> bool:
        """True or false."""
        value = self._scalar("bool")
        if value is None or value.lower() not in ("true", "false"):
            raise self.wrong("true or false")
        return value.lower() == "true"

    def count(self, *, least: int = 1) -> int:
        """A whole number from 1, or from 0."""
        value = self._scalar("int")
        if value is None or not re.fullmatch(rf"0|[1-9][0-9]{{0,{_MAX_DIGITS - 1}}}", value) or int(value) < least:
            raise self.error(f"this is {self.kind}", f"it must be a whole number from {least}")
        return int(value)

    def duration(self, *, least: float = 0.0) -> float:
        """A Prometheus duration in seconds, not shorter than `least` seconds."""
        value = self._scalar("str", "int")
        if value is None:
            raise self.wrong("a duration such as 30s or 5m")
        try:
            seconds = durations.parse(value)
        except InvalidInputError as error:
            raise self.error(error.message, error.hint[:1].lower() + error.hint[1:]) from None
        if seconds < least:
            raise self.error(f"{value} is too short", f"it must be at least {durations.render(least)}")
        return seconds

    def items(self, wanted: str) -> list[Place]:
        """The entries of a list, each with its place."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(wanted)
        return [
            Place(node, f"{self.path}[{index}]", self.file, node.start_mark.line + 1)
            for index, node in enumerate(self.node.value)
        ]

    def texts(self, wanted: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(item.text() for item in self.items(wanted))

    def entries(self, wanted: str) -> dict[str, Place]:
        """The entries of a mapping by key. Refuses a key that stands twice."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(wanted)
        found: dict[str, Place] = {}
        merged: dict[str, Place] = {}
        for key_node, value_node in self.node.value:
            line = key_node.start_mark.line + 1
            key = Place(key_node, self.path, self.file, line)
            if not isinstance(key_node, yaml.ScalarNode):
                raise key.error("a key must be text")
            name = str(key_node.value)
            here = Place(value_node, f"{self.path}.{name}" if self.path else name, self.file, line)
            if key_node.tag == f"{_TAG}merge":
                merged.update({name: place for name, place in here.merged() if name not in merged})
            elif name in found:
                raise key.error(f"the key {name!r} stands twice", "keep one of them")
            else:
                found[name] = here
        return {**merged, **found}

    def merged(self) -> Iterator[tuple[str, Place]]:
        """The entries that a merge key (`<<`) brings in, the first mapping first."""
        sources = self.items("a mapping or list of mappings") if self.is_list() else [self]
        parent = self.path.rpartition(".")[0]
        for source in sources:
            yield from Place(source.node, parent, self.file, self.line_number).entries("a mapping").items()

    def pairs(self, wanted: str) -> dict[str, str]:
        """A mapping of text to text."""
        return {name: place.text() for name, place in self.entries(wanted).items()}

    def block(self, section: Section) -> Block:
        """A mapping whose keys are those of a section, and no others."""
        entries, mistakes = self.entries("a mapping"), Mistakes()
        for name, place in entries.items():
            mistakes.of(partial(place.refuse_unknown, name, section), None)
        mistakes.tell()
        return Block(self, entries)

    def refuse_unknown(self, name: str, section: Section) -> None:
        """Raise if this is the value of a key that a section does not have."""
        if name not in section.names:
            raise self.error("unknown key", meant(name, section.names))


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping of known keys."""

    place: Place
    entries: dict[str, Place]

    def get(self, name: str) -> Place | None:
        """The place of a key, or None when it is not there."""
        return self.entries.get(name)

    def need(self, name: str) -> Place:
        """The place of a key that must be there."""
        place = self.entries.get(name)
        if place is None:
            raise self.place.error(f"the key {name!r} is missing", f"add {name}: ...")
        return place

    def line(self, name: str) -> str | None:
        """One line of text, or None when the key is not there."""
        place = self.entries.get(name)
        return None if place is None else place.line()

    def duration(self, name: str, default: float, *, least: float = 0.0) -> float:
        """A duration in seconds, or the default."""
        place = self.entries.get(name)
        return default if place is None else place.duration(least=least)

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or false, or the default."""
        place = self.entries.get(name)
        return default if place is None else place.boolean()

    def word(self, name: str, words: Sequence[str], default: str) -> str:
        """One of a closed set of words, or the default."""
        place = self.entries.get(name)
        return default if place is None else place.word(words)


def meant(name: str, known: Sequence[str]) -> str:
    """A hint for an unknown word: the known word nearest to it, or all known words."""
    near = difflib.get_close_matches(name[:_SHOWN], known, n=1, cutoff=_CLOSE_ENOUGH)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
