"""Damage, and values that nobody expects, for the tests with Hypothesis."""

import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from jobpool.errors import JobpoolError

# the same examples in every run: a failure in CI is one at home, too
FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    phases=(Phase.explicit, Phase.generate),  # to shrink a failure takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Change = Callable[[bytes], bytes]


def _flipped(place: int, mask: int) -> Change:
    def change(content: bytes) -> bytes:
        at = place % max(len(content), 1)
        return (
            content[:at] + bytes(byte ^ mask for byte in content[at : at + 1]) + content[at + 1 :]
        )

    return change


def _overwritten(place: int, data: bytes) -> Change:
    def change(content: bytes) -> bytes:
        at = place % max(len(content), 1)
        return (content[:at] + data + content[at + len(data) :])[: max(len(content), 1)]

    return change


def _truncated(place: int) -> Change:
    return lambda content: content[: place % max(len(content), 1)]


def _extended(data: bytes) -> Change:
    return lambda content: content + data


def _inserted(place: int, data: bytes) -> Change:
    def change(content: bytes) -> bytes:
        at = place % max(len(content), 1)
        return content[:at] + data + content[at:]

    return change


def _twice(place: int, length: int) -> Change:
    """Repeat a piece, as a write that was sent again."""

    def change(content: bytes) -> bytes:
        at = place % max(len(content), 1)
        return content[: at + length] + content[at:]

    return change


PLACES = st.integers(0, 1 << 16)
PIECES = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.integers(1, 600).map(bytes),
    st.sampled_from(
        [b"\n", b"\r\n", b"\0", b"{}", b'","crc":"00000000"}\n', b"null\n", b"\xff\xfe"]
    ),
)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(_flipped, PLACES, st.integers(1, 255)),
    st.builds(_overwritten, PLACES, PIECES),
    st.builds(_truncated, PLACES),
    st.builds(_extended, PIECES),
    st.builds(_inserted, PLACES, PIECES),
    st.builds(_twice, PLACES, st.integers(1, 200)),
)


def damage() -> st.SearchStrategy[Change]:
    """Return a strategy for one or a few changes of a file's content."""

    def together(changes: list[Change]) -> Change:
        def change(content: bytes) -> bytes:
            for one in changes:
                content = one(content)
            return content

        return change

    return st.lists(CHANGES, min_size=1, max_size=3).map(together)


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "a\0b", "\ud800", "\u202e", "e\u0301", "NaN", "-1", "1e999", "a" * 300]
    ),
)
NUMBERS = st.one_of(
    st.integers(-5, 5000),
    st.sampled_from([1 << 31, 1 << 63, -(1 << 63), 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]),
)
PLAIN: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4))


ODD: st.SearchStrategy[Any] = st.recursive(PLAIN, nested, max_leaves=8)


def altered(record: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for a record some of whose keys are gone, odd, or unknown."""
    keys = st.sampled_from(sorted(record))
    gone = st.sets(keys, max_size=2)
    odd = st.dictionaries(keys, ODD, max_size=2)
    more = st.dictionaries(TEXTS, ODD, max_size=1)
    return st.builds(
        lambda without, other, unknown: {
            **unknown,
            **{key: value for key, value in record.items() if key not in without},
            **other,
        },
        gone,
        odd,
        more,
    )


def sealed(body: bytes) -> bytes:
    """Return a line whose checksum is right, whatever it holds; `body` ends in a brace."""
    return b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def told(read: Callable[[], Any]) -> Any:
    """Return what a function returns, or the error that it raises on purpose."""
    try:
        return read()
    except JobpoolError as error:
        return error


def right_or_refused(read: Callable[[], object], truth: object) -> bool:
    """Say whether a function returns the truth, or refuses and says why."""
    answer = told(read)
    return bool(str(answer)) if isinstance(answer, JobpoolError) else answer == truth
