"""Values that look like codes for missing, such as -9, 999 or ``unknown``: they are only told.

A number is taken for a code if it is of the form that codes have and lies apart from the others:

1. 7, 8 or 9, or only that digit (99, 777, 9999, 99.9), with either sign; the three below a row of
   nines (96, 97, 98, 998); a whole number from -1 to -9; or the limit of a numeric type (-32768,
   2147483647, 1e20 and beyond).
2. A negative one among numbers that are otherwise not negative, but for -1 beside 0 and 1.
3. Any other one beyond all others by more than a tenth of their range, and by more than three times
   the usual step from one value to the next.

A text is taken for a code if it is one of `WORDS`, a number among texts if it has the form.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

Counted = tuple[tuple[str, int], ...]  # value as text, and how many there are

_WORDS_OF_PROGRAMS = "#n/a,#na,#null!,#value!,#div/0!,#ref!,#num!,#name?,<na>,<null>,nan,nil,null"
_WORDS_OF_PEOPLE = (
    "-,--,.,..,?,*,na,n.a.,n/a,none,void,empty,missing,unknown,unk,refused,not available,"
    "not applicable,not known,not reported,not tested,not done,don't know,no answer,no data"
)
WORDS = frozenset(("", *_WORDS_OF_PROGRAMS.split(","), *_WORDS_OF_PEOPLE.split(",")))
_LIMITS = frozenset((-32768.0, 32767.0, 65535.0, 2.0**31 - 1, -(2.0**31), 2.0**32 - 1))
_HUGE = 1e20
_MOST_DIGITS = 12


def codes_for_missing(column: "pd.Series[Any]") -> Counted:
    """Return the values of a column that look like codes for missing, and how many there are.

    Parameters
    ----------
    column : Series
        Of any type; cells that are missing do not count.

    Examples
    --------
    >>> codes_for_missing(pd.Series([34, 51, 28, 47, 999, -9, 999]))
    (('-9', 1), ('999', 2))
    >>> codes_for_missing(pd.Series(["yes", "no", "Unknown"]))
    (('Unknown', 1),)
    """
    known = column.dropna()
    if pd.api.types.is_bool_dtype(known):
        return ()
    texts = known.astype(str)
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
    words = texts[np.isnan(numbers)]
    words = words[[text.strip().casefold() in WORDS for text in words]]
    counts = dict(zip(*np.unique(numbers[np.isfinite(numbers)], return_counts=True), strict=True))
    # among texts, a number needs only the form: nothing says what is far from them
    found = filter(_has_form, counts) if np.isnan(numbers).any() else _odd_numbers(counts)
    odd = {number_text(value): int(counts[value]) for value in found}
    return (*odd.items(), *((str(text), int(n)) for text, n in words.value_counts().items()))


def number_text(value: float) -> str:
    """Return a number as a person writes it: 1 for 1.0."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _odd_numbers(counts: Mapping[float, int]) -> list[float]:
    """Return the codes among different numbers, in their order."""
    values = sorted(map(float, counts))
    codes = [one for one in values if _has_form(one)]
    usual = [one for one in values if one not in codes]
    found = []
    for code in sorted(codes, key=abs):  # a small one that is no code is a neighbour of the next
        if usual and _is_apart(code, sorted(usual)):
            found.append(code)
        else:
            usual.append(code)
    return sorted(found)


def _has_form(value: float) -> bool:
    if value in _LIMITS or abs(value) >= _HUGE:
        return True
    if -9 <= value <= -1 and value.is_integer():
        return True
    digits = number_text(abs(value)).replace(".", "")
    is_short_decimal = not value.is_integer() and len(digits) < 3
    is_repeated = len(set(digits)) == 1 and digits[0] in "789" and len(digits) <= _MOST_DIGITS
    is_below_nines = len(digits) > 1 and set(digits[:-1]) == {"9"} and digits[-1] in "678"
    return (is_repeated or (is_below_nines and value.is_integer())) and not is_short_decimal


def _is_apart(code: float, usual: list[float]) -> bool:
    low, high = usual[0], usual[-1]
    if code < 0 <= low:
        return code != -1 or high > 1
    gap = max(low - code, code - high)
    steps = np.diff(usual)
    step = float(np.median(steps)) if len(steps) else 1.0
    return gap > 3 * step and gap > (high - low) / 10 and math.isfinite(gap)
