"""A task: its point on the axes, its id, the states it goes through, and how an attempt ends.

Keeps nothing on disk. The numbers of `TaskState` and `Cause` are part of the pool's format.
"""

import hashlib
import json
from base64 import b32encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from jobpool.errors import IllegalMoveError

Value = str | int | float | bool
Point = tuple[tuple[str, Value], ...]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

ALL = "all"  # the value of the part axis for a task that is not cut into parts


class TaskState(IntEnum):
    """Where a task stands; the number is what the state table holds."""

    WAITING = 1
    RUNNING = 2
    DONE = 3
    PARKED = 4  # failed too often: waits for a person
    HELD = 5  # kept back by a person
    ASIDE = 6  # another stands for it: the whole task for its parts, or the parts for the whole


MOVES: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.WAITING: frozenset(
        {TaskState.RUNNING, TaskState.DONE, TaskState.HELD, TaskState.PARKED, TaskState.ASIDE}
    ),
    TaskState.RUNNING: frozenset(
        {TaskState.WAITING, TaskState.DONE, TaskState.PARKED, TaskState.ASIDE}
    ),
    TaskState.DONE: frozenset({TaskState.WAITING}),  # doctor, when the result is gone
    TaskState.PARKED: frozenset({TaskState.WAITING, TaskState.DONE}),  # a late result
    TaskState.HELD: frozenset({TaskState.WAITING, TaskState.DONE}),
    TaskState.ASIDE: frozenset({TaskState.WAITING}),
}


class Cause(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    ERROR = "error"
    MEMORY = "memory"
    TIME = "time"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    NODE = "node"
    LOST = "lost"
    STORAGE = "storage"

    @property
    def counts(self) -> bool:
        """Say whether the attempt counts against the task: it, not its surroundings, failed."""
        return self in {Cause.ERROR, Cause.MEMORY, Cause.TIME, Cause.LOST}

    @property
    def is_short(self) -> bool:
        """Say whether the worker had too little of something: a larger one may end the task."""
        return self in {Cause.MEMORY, Cause.TIME}

    @property
    def is_poison(self) -> bool:
        """Say whether the same again and again means that the task cannot succeed."""
        return self in {Cause.ERROR, Cause.LOST}


CAUSE_CODES: Mapping[Cause, int] = {cause: code for code, cause in enumerate(Cause, start=1)}
CAUSE_OF_CODE: Mapping[int, Cause] = {code: cause for cause, code in CAUSE_CODES.items()}


def check_move(task: object, before: TaskState, after: TaskState) -> None:
    """Raise `IllegalMoveError` unless a task may go from `before` to `after`."""
    if after not in MOVES[before]:
        raise IllegalMoveError(task, before.name.lower(), after.name.lower())


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
    return id_of_pairs(pair_text(axis, value) for axis, value in sorted(point))


def pair_text(axis: str, value: Value) -> bytes:
    """Return an axis and its value as an id is made from them."""
    text = json.dumps([axis, value], separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def id_of_pairs(texts: Iterable[bytes]) -> str:
    """Return the id of the task with these axes and values, in the order of the axes' names."""
    digest = hashlib.sha256(b"[%s]" % b",".join(texts)).digest()
    return b32encode(digest[:10])[:12].decode().lower()


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
class Lesson:
    """What the end of an attempt teaches about its task."""

    memory_mb: float | None = None  # what the worker had, where that was too little
    core_s: float | None = None  # core-seconds that it could give, where those were too few
    error: int = 0  # short fingerprint of what went wrong


NOTHING = Lesson()


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
