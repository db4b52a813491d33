"""Prometheus durations (`500ms`, `30s`, `1h30m`) to seconds and back."""

import re

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))  # milliseconds
_PATTERN = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit, _ in _UNITS))


def in_seconds(text: str) -> float | None:
    """Seconds; None if the text is no duration. A bare `0` is one, as in Prometheus."""
    if text == "0":
        return 0.0
    match = _PATTERN.fullmatch(text)
    if not text or match is None:
        return None
    parts = zip(match.groups(), _UNITS, strict=True)
    return sum(int(count) * size for count, (_, size) in parts if count is not None) / 1000


def written(seconds: float) -> str:
    """The shortest duration that says this."""
    left, parts = round(seconds * 1000), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
