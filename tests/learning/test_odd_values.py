"""Which values are taken for codes for missing; the columns are those of questionnaires."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobpool.learning.odd_values import codes_for_missing

AGES = list(range(18, 66))
SCORES = [0, 3, 7, 8, 12, 19, 25, 40, 77, 88, 99, 100]
NORMAL = np.random.default_rng(0).normal(size=200).round(3).tolist()


def codes_in(values: list[Any]) -> dict[str, int]:
    return dict(codes_for_missing(pd.Series(values)))


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([*AGES, -9, -9, -999], {"-999": 1, "-9": 2}),
        ([*AGES, 777, 999, 999], {"777": 1, "999": 2}),
        ([*AGES, 99], {"99": 1}),
        ([*range(20, 81), 99], {"99": 1}),
        ([*range(20, 81), 97, 98, 98, 99], {"97": 1, "98": 2, "99": 1}),
        ([*AGES, -1], {"-1": 1}),
        ([1, 2, 1, 2, 9], {"9": 1}),
        ([0, 1, 0, 1, -9], {"-9": 1}),
        ([1, 1, 0, 7, 8, 9], {"7": 1, "8": 1, "9": 1}),
        ([1, 2, 3, 4, 5, 9], {"9": 1}),
        ([*NORMAL, -999.0, 999.9], {"-999": 1, "999.9": 1}),
        ([*NORMAL, -9.0], {"-9": 1}),
        ([*AGES, 32767], {"32767": 1}),
        ([*NORMAL, -1e20, 1e30], {"-1e+20": 1, "1e+30": 1}),
        (["yes", "no", "Unknown", "unknown", "?"], {"Unknown": 1, "unknown": 1, "?": 1}),
        (["m", "f", "999"], {"999": 1}),
        ([None, 4.0, 5.0, 99.0], {"99": 1}),
    ],
)
def test_a_code_for_missing_is_found_with_its_number(
    values: list[Any], codes: dict[str, int]
) -> None:
    assert codes_in(values) == codes


@pytest.mark.parametrize(
    "values",
    [
        AGES,
        SCORES,
        NORMAL,
        list(range(1, 10)),
        [0, 1, 1, 0],
        [-1, 1, -1],
        [-1, 0, 1],
        [9, 10, 9],
        [7, 8, 9, 10, 11],
        [True, False],
        ["no", "yes", "nobody"],
        [*range(60, 97), 99],
        [*range(60, 100)],
        [980, 991, 996, 1002, 1010],
        [1000, 1500, 777, 2400],
        [],
    ],
)
def test_ordinary_values_are_no_codes(values: list[Any]) -> None:
    assert codes_in(values) == {}
