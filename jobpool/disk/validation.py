"""What a record read from the shared disk must look like before anything believes it.

A right checksum says that a line is as it was written, not that this version of jobpool wrote it.
What has another shape counts as damaged: it is named, and never guessed at.
"""

import re
from collections.abc import Callable, Mapping

Kind = Callable[[object], bool]
_WORD = re.compile("[a-z][a-z_-]{0,31}")
LARGEST = 1e15  # of any time, memory or count
_HEX_DIGITS = frozenset("0123456789abcdef")


def is_text(value: object) -> bool:
    """Say whether a value is a text."""
    return isinstance(value, str)


def is_word(value: object) -> bool:
    """Say whether a value is a word of lower-case letters, such as a cause."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def is_number(value: object) -> bool:
    """Say whether a value is a finite number of a size that means something."""
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return abs(value) < LARGEST  # so neither infinite nor NaN
    return False


def is_whole(value: object) -> bool:
    """Say whether a value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def is_fence(value: object) -> bool:
    """Say whether a value can be the number of a claim: 32 bits in a record."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def is_worker(value: object) -> bool:
    """Say whether a value is the name of a worker: 12 hex digits."""
    return isinstance(value, str) and len(value) == 12 and _HEX_DIGITS.issuperset(value)


def is_mapping(value: object) -> bool:
    """Say whether a value is a mapping."""
    return isinstance(value, dict)


def list_of(kind: Kind) -> Kind:
    """Return the kind of lists of such values."""
    return lambda value: isinstance(value, list) and all(map(kind, value))


def optional(kind: Kind) -> Kind:
    """Return the kind that may be missing, or null."""

    def check(value: object) -> bool:
        return value is None or kind(value)

    return check


def one_of(values: Mapping[str, object] | frozenset[str]) -> Kind:
    """Return the kind of texts that are among some."""
    return lambda value: isinstance(value, str) and value in values


def has_shape(record: Mapping[str, object], shape: Mapping[str, Kind]) -> bool:
    """Say whether every value of a record is of its kind; it may hold others besides.

    Examples
    --------
    >>> has_shape({"task": "a", "more": 1}, {"task": is_text, "error": optional(is_text)})
    True
    >>> has_shape({"error": None}, {"task": is_text})
    False
    """
    # half the time of `all` with a generator
    wrong = [name for name, kind in shape.items() if not kind(record.get(name))]
    return not wrong
