"""Prices of release v1: the same for everyone."""


def price(cents: int, tier: str | None) -> int:  # noqa: ARG001 - every release is asked the same question
    """Return the cents to pay."""
    return cents
