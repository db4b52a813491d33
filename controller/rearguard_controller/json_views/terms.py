"""The types that fields of views share: a time, seconds, labels.

In `Annotated`, a `str` describes the field, and a pair adds a keyword with its value to its JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

Json = dict[str, object]

Time = Annotated[str, ("format", "date-time")]  # RFC 3339 in UTC, to the millisecond
Count = Annotated[int, ("minimum", 0)]
Labels = Mapping[str, str]
Checks = Mapping[str, bool | None]
Unreadable = Annotated[
    list[str], "Ids of records of this page that are damaged or cannot be shown; only if there are any."
]
LeftOut = Annotated[
    int,
    ("minimum", 0),
    "Further ones that are left out, because the answer would be too large; only if there are any.",
]
Cursor = Annotated[str | None, "Give it as `before` to get the page after this one; null on the last page."]
