"""Values of the model to JSON text and back, by their own type hints.

Here: the one form in which values are stored: readable JSON, no pickles. A reader ignores fields that it does not
know, and missing fields get their defaults. So a rollback that another version of Rearguard began can be resumed.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")
Reader = Callable[[Any], Any]

_ATOMS = frozenset({str, int, float, bool, type(None)})


def dump(value: object) -> str:
    """A dataclass value as JSON text, with its type's name as `type`.

    A value inside it also carries its type's name if its field may hold one of several dataclasses.
    """
    kind: Any = type(value)
    if _needs_names(kind):
        return orjson.dumps(_plain(value)).decode()
    return f'{{"type":"{kind.__name__}",' + orjson.dumps(value, default=_plain)[1:].decode()  # fast: every alert


def dump_several(values: Iterable[object]) -> list[str]:
    """What `dump` makes of each value; what stands in a tuple that several of them share becomes JSON once."""
    parts: dict[int, orjson.Fragment] = {}
    return [_dump_sharing(value, parts) for value in values]


def _dump_sharing(value: object, parts: dict[int, orjson.Fragment]) -> str:
    kind: Any = type(value)
    names = _names(kind)
    if names is None or _needs_names(kind):
        return dump(value)
    fields: dict[str, object] = {"type": kind.__name__}
    for name in names:
        field = getattr(value, name)
        if type(field) is tuple:
            part = parts.get(id(field))
            if part is None:
                part = parts[id(field)] = orjson.Fragment(orjson.dumps(field, default=_plain))
            field = part
        fields[name] = field
    return orjson.dumps(fields, default=_plain).decode()


def load(kind: type[T], text: str) -> T:
    """The value of type `kind` that `dump` wrote.

    Raises:
        ValueError: the text does not hold one (a damaged or foreign record).
    """
    hint: Any = kind
    try:
        value = _reader(hint)(orjson.loads(text))
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"not a stored {kind.__name__}: {error}") from error
    if not isinstance(value, kind):
        raise ValueError(f"not a stored {kind.__name__}")  # noqa: TRY004  # it is the record that is wrong
    return value


def _plain(value: object) -> object:
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    names = _names(kind)
    if names is not None:
        plain: dict[str, object] = {"type": kind.__name__}
        for name in names:
            plain[name] = _plain(getattr(value, name))
        return plain
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset)):
        return [_plain(item) for item in value]
    return value


@functools.cache
def _needs_names(kind: Any) -> bool:
    """Whether a value of this type may contain one of several dataclasses, so that each needs its type's name."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) in (Union, types.UnionType) and len(parts) > 1:
        return True
    if dataclasses.is_dataclass(kind):
        parts = list(get_type_hints(kind).values())
    return any(map(_needs_names, parts))


@functools.cache
def _names(kind: type) -> tuple[str, ...] | None:
    """The names of a dataclass' fields; None for any other type."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


@functools.cache
def _reader(kind: Any) -> Reader:  # one for each shape of hint
    """A function that turns plain JSON into a value of this type; built once for each type."""
    if kind is Any:
        return lambda plain: plain
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_member(get_args(kind))
    if origin is tuple:
        return _read_tuple(_reader(get_args(kind)[0]))
    if origin is not None:  # the only other generic type in the model is Mapping[str, str]
        return _read_mapping(_reader(get_args(kind)[1]))
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind)  # type: ignore[arg-type]  # a class, not an instance: hints are classes
    if issubclass(kind, Enum):
        return lambda plain: None if plain is None else kind(plain)
    return _read_atom(kind)


def _read_atom(kind: type) -> Reader:
    def read(plain: Any) -> Any:
        if plain is None or isinstance(plain, kind):
            return plain
        if kind is float and isinstance(plain, int):
            return float(plain)
        raise TypeError(f"{plain!r} is no {kind.__name__}")

    return read


def _read_tuple(item: Reader) -> Reader:
    def read(plain: Any) -> Any:
        if plain is None:
            return None
        if not isinstance(plain, list):
            raise TypeError(f"{plain!r} is no list")
        return tuple(map(item, plain))

    return read


def _read_mapping(value: Reader) -> Reader:
    def read(plain: Any) -> Any:
        return None if plain is None else {key: value(item) for key, item in plain.items()}

    return read


def _read_dataclass(kind: type) -> Reader:
    fields = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}

    def read(plain: Any) -> Any:
        if plain is None:
            return None
        return kind(**{name: fields[name](item) for name, item in plain.items() if name in fields})

    return read


def _read_member(members: tuple[Any, ...]) -> Reader:
    others = [member for member in members if member is not type(None)]
    first = _reader(others[0])
    if len(others) == 1:
        return first
    named = {member.__name__: _reader(member) for member in others}

    def read(plain: Any) -> Any:
        return (named.get(plain.get("type"), first) if isinstance(plain, dict) else first)(plain)

    return read
