"""Names of objects in Kubernetes, as its API server asks for them (RFC 1123)."""

from __future__ import annotations

import re

from rearguard_controller.config.reading import Place

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)  # RFC 1123 label
_OBJECT = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")  # RFC 1123 subdomain


def namespace(place: Place) -> str:
    """The name of a namespace."""
    return _checked(place, place.line("the name of a namespace"), _NAMESPACE, "a namespace")


def object_name(place: Place, what: str, word: str = "", *, written: str | None = None) -> str:
    """The name of an object.

    Args:
        place: where it stands.
        what: it is, for the error: `a Service`.
        word: a placeholder that may stand in it.
        written: the name, where it is a key; else it is the value at `place`.
    """
    text = place.line(f"the name of {what}") if written is None else written
    _checked(place, text.replace(word, "x") if word else text, _OBJECT, what)
    return text


def _checked(place: Place, text: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(text):
        raise place.error(
            f"{text[:60]!r} is not the name of {what}",
            "use lower-case letters, digits and '-', and begin and end with a letter or digit",
        )
    return text
