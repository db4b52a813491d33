"""The script `vitals.js` as it is served: without comments and indents, and with the share of loads to measure."""

import gzip
from pathlib import Path
from typing import NamedTuple

_SOURCE = Path(__file__).with_name("vitals.js")


class Script(NamedTuple):
    """The script, as it is and compressed."""

    plain: bytes
    compressed: bytes


def make(sample: float) -> Script:
    """The script that measures this share of page loads."""
    lines = (_code(line) for line in _SOURCE.read_text(encoding="utf-8").splitlines())
    plain = "\n".join(line for line in lines if line).replace("SAMPLE", repr(float(sample))).encode()
    return Script(plain, gzip.compress(plain, 9, mtime=0))


def _code(line: str) -> str:
    """The line without indent and comment; the source writes a comment after a space, and no text with `// `."""
    code, _, _ = line.partition("// ")
    return code.strip()
