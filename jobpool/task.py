"""A task: its point on the axes, its id, the states it goes through, and how an attempt ends.

Keeps nothing on disk. The numbers of `TaskState` and `Cause` are part of the pool's format.
"""

import hashlib
import json
from base64 import b32encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self, assert_never

Value = str | int | float | bool
Point = tuple[tuple[str, Value], ...]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

CLAIMS_PER_RUN = 10_000  # a task that is rerun counts its claims from the next multiple

ID_LETTERS = 12  # of the id of a task
ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

ALL = "all"  # the value of the part axis for a task that is not split into parts


class TaskState(IntEnum):
    """Where a task stands; the number is what the state table holds.

    What a state means to code that counts, claims or shows tasks is in `_meaning` alone, and
    reaches that code as properties here and as the sets below.
    """

    WAITING = 1
    RUNNING = 2
    DONE = 3
    PARKED = 4  # failed too often: waits for a person
    HELD = 5  # kept back by a person
    SUPERSEDED = 6  # the whole task stands for its parts, or the parts for the whole

    @property
    def word(self) -> str:
        """Return what users read."""
        return STATES[self].word

    @property
    def settled(self) -> bool:
        """Say whether nothing is to be computed for the task."""
        return STATES[self].settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a state means."""

    word: str  # what users read
    becomes: frozenset[TaskState]  # the states that workers and people may change it to
    counted: bool = True  # among the study's tasks; False where other tasks count for it
    settled: bool = False  # nothing is to be computed for the task
    claimed: bool = False  # a worker holds the task
    stuck: bool = False  # only a person lets the task go on
    restored: bool = False  # results and attempts on disk can show that a task is in this state


def _meaning(state: TaskState) -> Meaning:
    """Return what a state means: the one place that a new state must be added to."""
    waiting, running, done = TaskState.WAITING, TaskState.RUNNING, TaskState.DONE
    parked, held, superseded = TaskState.PARKED, TaskState.HELD, TaskState.SUPERSEDED
    match state:
        case TaskState.WAITING:  # to itself: bounds are forgotten; to done: a late result
            becomes = {waiting, running, done, held, parked, superseded}
            means = Meaning(word="waiting", becomes=frozenset(becomes), restored=True)
        case TaskState.RUNNING:
            becomes = {waiting, done, parked, superseded}
            means = Meaning(word="running", becomes=frozenset(becomes), claimed=True)
        case TaskState.DONE:
            becomes = {waiting}
            means = Meaning(word="done", becomes=frozenset(becomes), settled=True, restored=True)
        case TaskState.PARKED:  # done: a late result
            means = Meaning(word="parked", becomes=frozenset({waiting, done}), stuck=True)
        case TaskState.HELD:
            means = Meaning(word="held", becomes=frozenset({waiting, done}), stuck=True)
        case TaskState.SUPERSEDED:  # to itself: the task that stands for it is rerun
            means = Meaning(
                word="superseded",
                becomes=frozenset({waiting, superseded}),
                counted=False,
                settled=True,
                restored=True,
            )
        case _:
            assert_never(state)
    return means


STATES: Mapping[TaskState, Meaning] = {state: _meaning(state) for state in TaskState}

# sets made once: naming a member of an enum, or asking it, is slow before Python 3.12
COUNTED = frozenset(state for state, means in STATES.items() if means.counted)
STUCK = frozenset(state for state, means in STATES.items() if means.stuck)
RESTORED = frozenset(state for state, means in STATES.items() if means.restored)
# neither running nor settled: a late result is accepted
IDLE = frozenset(s for s, means in STATES.items() if not means.settled and not means.claimed)
# workers will finish it without help from a person
REMAINING = frozenset(s for s, means in STATES.items() if not means.settled and not means.stuck)
# the counted states in the order in which they are shown: what is done, what runs, the rest
SHOWN = tuple(sorted(COUNTED, key=lambda s: (not s.settled, not STATES[s].claimed, s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseMeaning:
    """What a cause means."""

    words: str  # what a report says of such an attempt
    counts: bool = False  # against the task: it, not its surroundings, failed
    is_short: bool = False  # the worker had too little of something: a larger one may end the task
    is_poison: bool = False  # the same again and again means that the task cannot succeed
    is_bound: bool = True  # the task takes longer than the attempt did


class Cause(StrEnum):
    """How an attempt ended, with all that this means; the order is part of the pool's format."""

    DONE = "done", CauseMeaning(words="done", is_bound=False)
    ERROR = (
        "error",
        CauseMeaning(words="ended in an error", counts=True, is_poison=True, is_bound=False),
    )
    MEMORY = "memory", CauseMeaning(words="needed more memory", counts=True, is_short=True)
    TIME = "time", CauseMeaning(words="needed more time", counts=True, is_short=True)
    PREEMPTED = "preempted", CauseMeaning(words="made way for another job")
    CANCELLED = "cancelled", CauseMeaning(words="was cancelled")
    NODE = "node", CauseMeaning(words="its node failed")
    LOST = "lost", CauseMeaning(words="its worker died", counts=True, is_poison=True)
    STORAGE = "storage", CauseMeaning(words="the disk failed or was full", is_bound=False)

    _value_: str
    words: str
    counts: bool
    is_short: bool
    is_poison: bool
    is_bound: bool

    def __new__(cls, word: str, means: CauseMeaning | None = None) -> Self:
        """Make a member of its word, and hang its meaning on it."""
        if means is None:  # the default is there for `Cause(word)`, which finds a member
            raise TypeError(f"the cause {word} needs a meaning")
        self = str.__new__(cls, word)
        self._value_, self.words = word, means.words
        self.counts, self.is_short = means.counts, means.is_short
        self.is_poison, self.is_bound = means.is_poison, means.is_bound
        return self


class UnknownCause(str):
    """The cause of an attempt that a newer jobpool wrote: shown as it is, taken for nothing."""

    __slots__ = ()
    counts = is_short = is_poison = is_bound = False
    words = "for a cause that this version does not know"


AnyCause = Cause | UnknownCause
_CAUSE_OF_WORD: Mapping[str, Cause] = {str(cause): cause for cause in Cause}


def cause_of(word: str) -> AnyCause:
    """Return the cause that a line of attempts names.

    Examples
    --------
    >>> cause_of("memory"), cause_of("evicted")
    (<Cause.MEMORY: 'memory'>, 'evicted')
    """
    return _CAUSE_OF_WORD.get(word) or UnknownCause(word)


CAUSE_CODES: Mapping[Cause, int] = {cause: code for code, cause in enumerate(Cause, start=1)}
CAUSE_OF_CODE: Mapping[int, Cause] = {code: cause for cause, code in CAUSE_CODES.items()}


def run_of(fence: int) -> int:
    """Return how often a task had been returned for a rerun when a claim was made.

    Examples
    --------
    >>> run_of(3), run_of(10_001)
    (0, 1)
    """
    return fence // CLAIMS_PER_RUN


def next_run(fences: Iterable[int]) -> int:
    """Return the number before the first claim of a new run of tasks with these last claims.

    Examples
    --------
    >>> next_run([1, 3]), next_run([3, 10_001])
    (10000, 20000)
    """
    return (max(map(run_of, fences)) + 1) * CLAIMS_PER_RUN


def attempt_name(fence: int) -> str:
    """Return what users read of the attempt under a claim.

    Examples
    --------
    >>> attempt_name(3), attempt_name(20_001)
    ('attempt 3', 'attempt 1 of rerun 2')
    """
    run, number = divmod(fence, CLAIMS_PER_RUN)
    return f"attempt {number} of rerun {run}" if run else f"attempt {number}"


def task_id(point: Point) -> str:
    """Return the id of the task at `point`: 12 lower-case letters and digits.

    It depends on the axis names and values alone, so that it stays when the pool is extended, and
    is the same in another pool of the same study.

    Examples
    --------
    >>> task_id((("pipeline", "svm"), ("seed", 3)))
    'l5ciunfhmh5g'
    >>> task_id((("seed", 3), ("pipeline", "svm"))) == task_id((("pipeline", "svm"), ("seed", 3)))
    True
    """
    return id_of(digest_of_pairs(pair_text(axis, value) for axis, value in sorted(point)))


def pair_text(axis: str, value: Value) -> bytes:
    """Return an axis and its value as an id is made from them."""
    text = json.dumps([axis, value], separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def digest_of_pairs(texts: Iterable[bytes]) -> bytes:
    """Return what the id of a task is made from: its axes and values, by the axes' names."""
    return hashlib.sha256(b"[%s]" % b",".join(texts)).digest()


def id_of(digest: bytes) -> str:
    """Return the id of the task with this digest."""
    return b32encode(digest[:10])[:ID_LETTERS].decode().lower()


def label(point: Point) -> str:
    """Return a point as ``axis=value`` words."""
    return " ".join(f"{axis}={value}" for axis, value in point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's hold on a task; `fence` grows with every claim on it."""

    position: int  # in the pool's grid; means nothing outside one pool
    point: Point
    fence: int
    attempts: int  # attempts that failed before this one

    @property
    def id(self) -> str:
        """Return the id of the task."""
        return task_id(self.point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What the end of an attempt says about its task."""

    memory_mb: float | None = None  # what the worker had, where that was too little
    core_s: float | None = None  # core-seconds that it could give, where those were too few
    error: int = 0  # short fingerprint of what went wrong


NO_FEEDBACK = Feedback()


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Something that varies between tasks, and its values in the order of the experiment."""

    name: str
    values: tuple[Value, ...]
    sources: tuple[str | None, ...] = ()  # the file behind each value, where there is one

    def __post_init__(self) -> None:
        if not self.sources:
            object.__setattr__(self, "sources", (None,) * len(self.values))
        if len(self.sources) != len(self.values):
            raise ValueError(f"{self.name}: {len(self.values)} values, {len(self.sources)} sources")
