"""JSON Schema, derived from the types that answers and bodies are declared with.

Here: one rule for each kind of type. Nothing is said of any single answer: fields, words and descriptions stand in
the views. Answers may grow, so their schemas allow unknown fields; bodies that are `closed` do not.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

Schema = Mapping[str, object]

_PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    NoneType: {"type": "null"},
    object: {},
}


def ref(name: str) -> Schema:
    """A reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(slots=True)
class Components:
    """Derives schemas; those of TypedDicts and enums are kept by name, and referred to.

    Attributes:
        closed: the TypedDicts whose schemas allow no unknown fields.
        schemas: the named schemas so far.
    """

    closed: Collection[object] = ()
    schemas: dict[str, Schema] = field(default_factory=dict)
    _named: dict[str, object] = field(default_factory=dict)

    def of(self, kind: Any) -> Schema:
        """The schema of a type.

        Raises:
            TypeError: there is no rule for this type, or another type has the same name.
        """
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self._annotated(parts[0], parts[1:])
        if origin is NotRequired:
            return self.of(parts[0])
        if origin in (Union, UnionType):
            return self._union(parts)
        if origin is Literal:
            return {"const": parts[0]} if len(parts) == 1 else {"enum": list(parts)}
        if origin in (list, Sequence):
            return {"type": "array", "items": self.of(parts[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(parts[1])}
        if is_typeddict(kind) or (isinstance(kind, type) and issubclass(kind, Enum)):
            return self._by_name(kind)
        if kind in _PLAIN:
            return _PLAIN[kind]
        raise TypeError(f"There is no rule for the schema of {kind!r}.")

    def _annotated(self, kind: object, notes: Sequence[object]) -> Schema:
        schema = dict(self.of(kind))
        for note in notes:
            match note:
                case str():
                    schema["description"] = note
                case (str(keyword), value):
                    schema[keyword] = list(value) if isinstance(value, tuple) else value
                case _:
                    raise TypeError(f"{note!r} says nothing that a schema can hold.")
        return schema

    def _union(self, parts: Sequence[object]) -> Schema:
        """Null and one plain type are written as a list of types, anything else as alternatives."""
        schemas = [self.of(part) for part in parts]
        with_type = [each for each in schemas if isinstance(each.get("type"), str) and "const" not in each]
        null = _PLAIN[None]
        if len(schemas) == len(with_type) == 2 and null in schemas:  # noqa: PLR2004  # a type, or null
            (one,) = (each for each in schemas if each != null)
            return {**one, "type": [one["type"], "null"]}
        return {"anyOf": schemas}

    def _by_name(self, kind: type) -> Schema:
        name = kind.__name__
        if self._named.setdefault(name, kind) is not kind:
            raise TypeError(f"Two types are called {name}; the document needs a name of its own for each.")
        if name not in self.schemas:
            self.schemas[name] = {}  # keeps its place, before the types that it mentions
            self.schemas[name] = self._words(kind) if issubclass(kind, Enum) else self._object(kind)
        return ref(name)

    def _words(self, kind: type[Enum]) -> Schema:
        return {"description": _description(kind), "type": "string", "enum": [each.value for each in kind]}

    def _object(self, kind: type) -> Schema:
        hints = get_type_hints(kind, include_extras=True)
        schema: dict[str, object] = {
            "description": _description(kind),
            "type": "object",
            "properties": {name: self.of(hint) for name, hint in hints.items()},
            "required": [name for name, hint in hints.items() if get_origin(hint) is not NotRequired],
        }
        return {**schema, "additionalProperties": False} if kind in self.closed else schema


def _description(kind: type) -> str:
    """The docstring of a type, on one line."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())
