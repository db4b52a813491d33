"""Numbers in sentences are written as people write them."""

import pytest

from rearguard_controller.wording import number


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (200.0, 2, "200"),
        (1234.5, 2, "1200"),
        (12345.6, 3, "12300"),
        (12345.6, 4, "12350"),
        (0.00003, 2, "0.00003"),
        (-250.0, 2, "-250"),
        (0.0, 2, "0"),
        (80.0, 2, "80"),
        (0.12345, 4, "0.1235"),
        (5e11, 4, "500000000000"),
        (1e300, 4, "1e+300"),
        (float("inf"), 4, "inf"),
        (None, 4, "unknown"),
    ],
)
def test_a_number_has_no_power_of_ten_unless_it_has_very_many_zeros(value, digits, said):
    assert number(value, digits) == said
