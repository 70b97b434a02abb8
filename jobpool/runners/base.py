"""What a runner is: the meaning of running a task, behind one small protocol.

A runner says which tasks there are, and runs them; what its results mean is a `Results` of its
own. Each further ability is a protocol of one method, looked for where it is used: a runner that
lacks the ability writes nothing for it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jobpool.table.grid import Grid
from jobpool.task import Json, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a task may use while it runs."""

    cores: int
    memory_mb: int | None = None
    deadline: float | None = None  # seconds since the epoch, after which the job may be killed
    cache: Path  # shared by all workers of the pool
    checkpoint: Path  # finished parts of this task, kept until it is done
    writer: str = ""  # the worker; names of its files there begin with this


class Results(Protocol):
    """Reads the results of a runner; can be sent to another process."""

    def rows(self, result: Mapping[str, Json], by: str) -> list[dict[str, Value | None]]:
        """Return a result as rows of the results table.

        Parameters
        ----------
        result : mapping
            What `Runner.run` or `SupportsMerge.merge` returned.
        by : str
            ``task``: one row; the name of the part axis: one row for each part in the result,
            whose value of that axis stands under this name.
        """
        ...

    def metrics(self, result: Mapping[str, Json]) -> tuple[str, ...]:
        """Return the names of the columns of `rows` that are scores."""
        ...


@runtime_checkable
class SupportsMerge(Protocol):
    """The results of a runner whose tasks can be split into parts."""

    def merge(self, parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
        """Return the result of a whole task from those of all its parts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A reason to look at some results before they are believed."""

    what: str
    n: int  # results
    of: int  # results in the table
    task: str  # one of them
    cure: str


@runtime_checkable
class SupportsDoubts(Protocol):
    """Results that a person may have to look at."""

    def doubts(self, frame: Any) -> list[Doubt]:
        """Return the doubts about a data frame with one row per task, as collected."""
        ...


@runtime_checkable
class SupportsMadeOf(Protocol):
    """The results of a runner that say what they are made of."""

    def made_of(self, result: Mapping[str, Json]) -> Mapping[str, str]:
        """Return name and digest, or version, of each input; several where parts differ.

        See `jobpool.journal.made_of`, whose words stand between several.
        """
        ...


class Runner(Protocol):
    """Gives the axes their meaning; made once in a worker's child, then runs many tasks.

    A runner is made from an `Experiment` and raises `ConfigError` with every problem of its
    section and axes.
    """

    def task_grid(self) -> Grid:
        """Return all tasks, with the attributes of axis values and the part axis, if any."""
        ...

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:
        """Run one task and return its result, as values that JSON can hold."""
        ...


@runtime_checkable
class SupportsHelpers(Protocol):
    """A runner whose helper processes stay, idle, for its next task."""

    def helpers(self) -> tuple[Collection[int], Collection[int]]:
        """Return the ids of processes, and the numbers of threads, that stay when a task ends."""
        ...


@runtime_checkable
class SupportsNotes(Protocol):
    """A runner with more facts about its tasks than their counts."""

    def notes(self) -> list[str]:
        """Return lines for a person."""
        ...


@runtime_checkable
class SupportsUnderstood(Protocol):
    """A runner that says what it understood of its data, for a person to check."""

    def understood(self) -> list[tuple[str, str]]:
        """Return labels and texts; a text without a label goes on with the one before."""
        ...


@runtime_checkable
class SupportsFullReading(Protocol):
    """A runner that can read all data of its tasks before there is a pool."""

    def read_fully(
        self, cache: Path | None, on_progress: Callable[[Any], None]
    ) -> list[tuple[str, str]]:
        """Return labels and texts about the data; what is computed on the way is kept in `cache`.

        Raises
        ------
        ConfigError
            With every file that cannot be used.
        """
        ...


@runtime_checkable
class SupportsTables(Protocol):
    """A runner whose tasks are made of what another program can use: candidates and splits."""

    def candidates(self, point: Mapping[str, Value]) -> Mapping[str, Sequence[Value | None]]:
        """Return the candidates that a task tries, as columns of equal length."""
        ...

    def splits(self, point: Mapping[str, Value]) -> Mapping[str, Sequence[Value | None]]:
        """Return who is in which part of a task's data, as columns of equal length."""
        ...


@runtime_checkable
class SupportsPrepare(Protocol):
    """A runner whose tasks share something made once, such as the splits."""

    def prepare(self, pool: Path) -> None:
        """Write what all tasks share into a new pool; refuse to change it in an old one."""
        ...


@runtime_checkable
class SupportsCheck(Protocol):
    """A runner that checks beforehand whether its tasks can run on this machine."""

    def check(self) -> None:
        """Raise `ConfigError` if they cannot; called once before the first task."""
        ...


@runtime_checkable
class SupportsPredictions(Protocol):
    """A runner that keeps out-of-fold predictions."""

    def predictions(
        self, point: Mapping[str, Value], result: Mapping[str, Json], cache: Path
    ) -> Iterator[Mapping[str, Sequence[Any]]]:
        """Yield out-of-fold predictions, one table for each part of the result that kept them.

        Parameters
        ----------
        point : mapping
            The task's value on each axis.
        result : mapping
            What `Runner.run` or `SupportsMerge.merge` returned for it.
        cache : Path
            The folder that all workers of the pool share.

        Yields
        ------
        mapping
            Columns of equal length; one of them is named after the part axis and holds its value.
        """
        ...


def prepare(runner: Runner, pool: Path) -> None:
    """Write into a pool what all tasks of the runner share, if they share anything."""
    if isinstance(runner, SupportsPrepare):
        runner.prepare(pool)
