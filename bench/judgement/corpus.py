"""All generated incidents of failed requests, numbered. Seeds are fixed: the same incidents at each run."""

import incidents
import odd

KINDS = (*incidents.KINDS, *odd.KINDS)


def all_of(only=""):
    """Every incident, numbered by its seed; `only` of this kind."""
    found = [each for kind in KINDS for each in kind()]
    for number, each in enumerate(found):
        each.seed = number
    return [each for each in found if only in ("", each.kind)]
