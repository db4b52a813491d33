"""Which texts can be a version's identity."""

import re

# 1-253 characters that mean nothing to a shell; never an option, never a path that walks up.
VERSION_PATTERN = re.compile(r"(?!-)(?!(?:.*/)?\.\.(?:/|$))[A-Za-z0-9._+:/@-]{1,253}")
VERSION_HINT = "A version has 1 to 253 letters, digits and . _ - + : / @, and does not begin with a dash."


def is_version(text: str) -> bool:
    """Whether a text can be a version's identity."""
    return VERSION_PATTERN.fullmatch(text) is not None
