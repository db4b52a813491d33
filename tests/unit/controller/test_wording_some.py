"""A list of names in a hint is short, however large a fleet is."""

import pytest

from rearguard_controller.wording import MOST_NAMED, some


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        ([str(n) for n in range(MOST_NAMED)], "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
    ],
)
def test_a_few_names_are_all_told(names, said):
    assert some(names) == said


def test_of_thousands_the_first_are_told_and_how_many_more_there_are():
    assert some(f"shop-{n}" for n in range(5000)).endswith("shop-10, shop-11 and 4988 more")
