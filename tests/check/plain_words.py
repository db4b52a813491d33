"""Sentences with a colon after a colon.

Here: how one is told from labels, addresses, times and code, for the tests of the code and of what commands print.
"""

import re

_CODE = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^']*'|\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]")
_LABEL = re.compile(
    r"^(?:rearguard: |hint: |note: )?"
    r"(?:Logged at \S+ as \w+: |\S+:(?:\d+|X): \S+: |\S+: the configuration |"  # of the log; file, line and key
    r"[^:.]{1,120}: (?=[A-Z`X0-9]|the |one |it |its ))?"  # of whom the sentence is
)


def nested(text):
    """The sentences of a text in which a colon stands after a colon."""
    found = []
    for line in text.splitlines():
        plain = line.strip()
        while (shorter := _CODE.sub("X", plain)) != plain:
            plain = shorter
        sentences = re.split(r"(?<=[.!?])\s+", _LABEL.sub("", plain, count=1))
        found += [each for each in sentences if len(re.findall(r":(?=\s)", each)) > 1]
    return found
