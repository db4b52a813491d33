"""Nouns to JSON text and back, by their own type hints.

Here: the one form in which values lie in the journal: readable JSON, no pickles. Fields that are not known are
ignored and missing ones take their defaults, so that a rollback begun by a neighbouring version can be resumed.
Never here: SQL, and shapes for users (the API has its own).
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")


def dump(value: object) -> str:
    """A dataclass value as JSON text. Members of a union of dataclasses carry their type's name as `type`."""
    return orjson.dumps(_plain(value)).decode()


def load(kind: type[T], text: str) -> T:
    """The value of type `kind` that `dump` wrote.

    Raises:
        ValueError: the text does not hold one (a damaged or foreign record).
    """
    try:
        value = _typed(kind, orjson.loads(text))
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"not a stored {kind.__name__}: {error}") from error
    if not isinstance(value, kind):
        raise ValueError(f"not a stored {kind.__name__}")  # noqa: TRY004  # it is the record that is wrong
    return value


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {name: _plain(getattr(value, name)) for name in _hints(type(value))}
        return {"type": type(value).__name__, **plain}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset)):
        return [_plain(item) for item in value]
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _typed(kind: Any, plain: Any) -> Any:  # one return for each shape of hint
    if plain is None or kind is Any:
        return plain
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _member(get_args(kind), plain)
    if origin is tuple:
        if not isinstance(plain, list):
            raise TypeError(f"{plain!r} is no list")
        return tuple(_typed(get_args(kind)[0], item) for item in plain)
    if origin is not None:  # the only other generic in the nouns is Mapping[str, str]
        return {key: _typed(get_args(kind)[1], item) for key, item in plain.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        fields: dict[str, Any] = {name: _typed(hints[name], item) for name, item in plain.items() if name in hints}
        return kind(**fields)
    if issubclass(kind, Enum):
        return kind(plain)
    if kind is float and isinstance(plain, int):
        return float(plain)
    if not isinstance(plain, kind):
        raise TypeError(f"{plain!r} is no {kind.__name__}")
    return plain


def _member(members: tuple[Any, ...], plain: Any) -> Any:
    named = [member for member in members if isinstance(plain, dict) and member.__name__ == plain.get("type")]
    others = [member for member in members if member is not type(None)]
    return _typed((named or others)[0], plain)
