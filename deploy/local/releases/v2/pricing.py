"""Prices of release v2: loyalty discounts.

Its bug is a real one: nobody thought of customers who never joined (three in ten), and looking up their tier fails.
"""

_DISCOUNT_PERCENT = {"bronze": 2, "silver": 5, "gold": 10}


def price(cents: int, tier: str | None) -> int:
    """Return the cents to pay."""
    percent = _DISCOUNT_PERCENT[tier]  # type: ignore[index]  # the bug: a KeyError for customers without a tier
    return cents - cents * percent // 100
