"""The bound of an alert's annotations: people read them, and they decide nothing, so what is too long is cut."""

from __future__ import annotations

from collections.abc import Iterable

from rearguard_controller.model.labels import Labels

MAX_ANNOTATION_BYTES = 64 * 1024  # of one annotation's text
MAX_ANNOTATIONS_BYTES = 192 * 1024  # of all annotations of one alert, names and texts
_MOST_OF_A_CHARACTER = 4  # bytes in UTF-8: texts that are short enough by their characters need not be encoded
_LEAST_LEFT = 64  # bytes that are left of an annotation that is cut: the mark fits in


def size_of(texts: Labels) -> int:
    """Bytes of labels or annotations, names and values, in UTF-8."""
    together = "".join((*texts, *texts.values()))
    return len(together) if together.isascii() else len(together.encode("utf-8", "surrogatepass"))


def cut(annotations: Labels, most: int = MAX_ANNOTATIONS_BYTES) -> Labels:
    """Annotations of at most `most` bytes together, and `MAX_ANNOTATION_BYTES` each; as they are if they fit.

    The longest texts are cut, each to the same length, with a mark that says how long it was. Short ones stay whole:
    `figure` and `threshold` are among them. If even the names are too many, the last annotations are left out.
    """
    longest = max(map(len, annotations.values()), default=0)
    if longest <= MAX_ANNOTATION_BYTES // _MOST_OF_A_CHARACTER and _surely_fits(annotations, most):
        return annotations
    texts = {name: text.encode("utf-8", "replace") for name, text in annotations.items()}
    left, names = most, []
    for name, text in texts.items():
        left -= len(name.encode("utf-8", "replace")) + min(_LEAST_LEFT, len(text))
        if left < 0:
            break
        names.append(name)
    each = level([len(texts[name]) for name in names], most - size_of(dict.fromkeys(names, "")))
    return {name: _beginning(texts[name], min(each, MAX_ANNOTATION_BYTES)) for name in names}


def level(sizes: Iterable[int], most: int) -> int:
    """The size to which all that is larger must be cut, so that everything together is at most `most`."""
    rising = sorted(sizes)
    for number, size in enumerate(rising):
        share = most // (len(rising) - number)
        if size > share:
            return share
        most -= size
    return rising[-1] if rising else most


def _surely_fits(texts: Labels, most: int) -> bool:
    characters = sum(map(len, texts)) + sum(map(len, texts.values()))
    return characters <= most // _MOST_OF_A_CHARACTER or (characters <= most and size_of(texts) <= most)


def _beginning(text: bytes, most: int) -> str:
    """The beginning of a text, and a mark that says how long it was, in `most` bytes; a shorter text as it is."""
    if len(text) <= most:
        return text.decode()
    mark = f" … (cut: it had {len(text)} bytes)"
    return text[: max(0, most - len(mark.encode()))].decode(errors="ignore") + mark
