"""YAML nodes to plain values, or to errors that name file, line, key and what would be right.

Here: the YAML text as a tree with places. Values are read as written: no environment variables, no guessed types.
Never here: a value in an error. Any of them may be a secret that stands in the wrong place.
The controller reads its file in the same way; neither package may import the other, and a third is not worth it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from rearguard_exporter.standalone.config.durations import in_seconds, written
from rearguard_exporter.standalone.config.keys import Section
from rearguard_exporter.standalone.errors import ConfigError

MOST_CHARACTERS = 1_000_000  # of a configuration file
_MOST_NODES = 100_000  # with every alias written out
_MOST_DIGITS = 9
_TAG = "tag:yaml.org,2002:"
_KINDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "null": "empty"}
_SHOWABLE = re.compile(r"[A-Za-z_][A-Za-z_-]{0,30}")  # a key that is no address and hardly a password
_FROM_THE_FILE = re.compile(r"(alias|anchor|handle) (?:'.*'|\".*\")")  # what YAML's errors repeat


def compose(text: str, file: str) -> Place:
    """Read YAML text into its root place.

    Raises:
        ConfigError: it is not one YAML document, too large, or refers to itself.
    """
    if len(text) > MOST_CHARACTERS:
        raise _error(file, 1, "", f"the file is longer than {MOST_CHARACTERS} characters")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        if node is None:
            raise _error(file, 1, "", "the file is empty; start from the example in docs/standalone.md")
        _expanded_size(node, {}, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        problem = _FROM_THE_FILE.sub(r"\1", error.problem or "")
        raise _error(file, line, "", f"this is not YAML: {problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise _error(file, 1, "", "this is not YAML") from None
    except RecursionError:
        raise _error(file, 1, "", "the file is nested too deeply") from None
    return Place(node, "", file, node.start_mark.line + 1)


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
    if size > _MOST_NODES:
        raise _error(file, line, "", f"aliases grow to more than {_MOST_NODES} values")
    known[id(node)] = size
    return size


def _error(file: str, line: int, path: str, problem: str) -> ConfigError:
    return ConfigError(f"{file}:{line}: {path}: {problem}" if path else f"{file}:{line}: {problem}")


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

    def _scalar(self, *tags: str) -> str | None:
        if isinstance(self.node, yaml.ScalarNode) and self.node.tag.removeprefix(_TAG) in tags:
            return str(self.node.value)
        return None

    def line(self, wanted: str = "text") -> str:
        """Text of one line, not empty."""
        value = self._scalar("str")
        if value is None:
            is_plain = self._scalar("int", "float", "bool", "timestamp") is not None
            raise self.wrong(f"{wanted}: write it in quotes" if is_plain else wanted)
        if not value:
            raise self.error("this is empty", f"it must be {wanted}")
        if not value.isprintable():
            raise self.error("this holds a character that is not shown", "it must be one line of plain text")
        return value

    def name(self) -> str:
        """A name of letters, digits, `.`, `_` and `-`: it becomes the value of a label."""
        value = self.line("a name")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,63}", value):
            raise self.error("this is no name", "it must be 1 to 63 letters, digits, dots, dashes and underscores")
        return value

    def word(self, words: Sequence[str]) -> str:
        """One of a closed set of words."""
        value = self._scalar("str", "bool", "null")
        if value is None or value not in words:
            raise self.error("this is not known here", f"it must be {' or '.join(words)}")
        return value

    def boolean(self) -> bool:
        """True or false."""
        value = self._scalar("bool")
        if value is None or value.lower() not in ("true", "false"):
            raise self.wrong("true or false")
        return value.lower() == "true"

    def number(self, least: int, most: int) -> int:
        """A whole number between these two."""
        value = self._scalar("int")
        if value is None or not re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", value) or not least <= int(value) <= most:
            raise self.error("this is no such number", f"it must be a whole number from {least} to {most}")
        return int(value)

    def duration(self, least: float, most: float) -> float:
        """A Prometheus duration in seconds, between these two."""
        value = self._scalar("str", "int")
        seconds = None if value is None else in_seconds(value)
        if seconds is None:
            raise self.error("this is no duration", "it must have a unit, such as 30s, 5m or 500ms")
        if not least <= seconds <= most:
            raise self.error("this is out of bounds", f"it must be from {written(least)} to {written(most)}")
        return seconds

    def items(self, wanted: str) -> list[Place]:
        """The entries of a list, each with its place."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(wanted)
        return [
            Place(node, f"{self.path}[{index}]", self.file, node.start_mark.line + 1)
            for index, node in enumerate(self.node.value)
        ]

    def block(self, section: Section) -> Block:
        """A mapping whose keys are those of a section, and no others."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("a mapping")
        found: dict[str, Place] = {}
        merged: dict[str, Place] = {}
        for key_node, value_node in self.node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error(self.file, line, self.path, "a key must be text")
            name = str(key_node.value)
            if key_node.tag == f"{_TAG}merge":
                for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    inner = Place(source, self.path, self.file, line).block(section)
                    merged.update({key: place for key, place in inner.entries.items() if key not in merged})
                continue
            shown = name if _SHOWABLE.fullmatch(name) else "…"
            here = Place(value_node, f"{self.path}.{shown}" if self.path else shown, self.file, line)
            if name not in section.names:
                raise here.error("unknown key", _meant(name, section.names))
            if name in found:
                raise here.error("this key stands twice", "keep one of them")
            found[name] = here
        return Block(self, {**merged, **found})


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

    def one_of(self, names: Sequence[str]) -> Place:
        """The place of the one of these keys that is there."""
        found = [self.entries[name] for name in names if name in self.entries]
        if len(found) != 1:
            problem = "none of these keys is there" if not found else "only one of these keys may be there"
            raise self.place.error(problem, f"write one of {', '.join(names)}")
        return found[0]

    def line(self, name: str) -> str | None:
        """One line of text, or None when the key is not there."""
        place = self.entries.get(name)
        return None if place is None else place.line()

    def duration(self, name: str, default: float, least: float, most: float) -> float:
        """A duration in seconds, or the default."""
        place = self.entries.get(name)
        return default if place is None else place.duration(least, most)

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or false, or the default."""
        place = self.entries.get(name)
        return default if place is None else place.boolean()

    def word(self, name: str, words: Sequence[str], default: str) -> str:
        """One of a closed set of words, or the default."""
        place = self.entries.get(name)
        return default if place is None else place.word(words)


def _meant(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:60], known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
