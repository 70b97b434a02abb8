"""Failed attempts, grouped by what went wrong: one group per cause and place in the code."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.errors import SelectionError, listing, nearest
from jobpool.execution.health import ExcludedNode, nodes_to_exclude
from jobpool.journal.attempts import Attempt, survey
from jobpool.journal.fingerprints import fingerprint
from jobpool.pool import Pool
from jobpool.table.arrays import state_of
from jobpool.table.task_index import positions_of
from jobpool.task import AnyCause, Cause, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Attempts that failed in the same way."""

    cause: AnyCause
    n_attempts: int
    tasks: tuple[str, ...]  # ids, parked tasks first, then the latest failure
    newest: Attempt
    n_parked: int = 0  # tasks that are parked, and failed so at last


@dataclass(slots=True)
class _Task:
    n_attempts: int
    newest: Attempt


@dataclass(slots=True)
class _Growing:
    tasks: dict[str, _Task] = field(default_factory=dict)

    def add(self, attempt: Attempt) -> None:
        task = self.tasks.setdefault(attempt.task, _Task(0, attempt))
        task.n_attempts += 1
        if attempt.ended >= task.newest.ended:
            task.newest = attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What went wrong in a pool, or in a selected part of it."""

    groups: tuple[FailureGroup, ...]  # those that parked tasks first, then the newest
    n_parked: int  # tasks that are parked
    positions: Mapping[str, int]  # of the tasks by id; empty where nothing failed
    suspects: tuple[ExcludedNode, ...]  # nodes on which many different tasks failed
    n_damaged: int  # lines of attempts that cannot be read


def find_failures(
    pool: Pool, chosen: NDArray[np.bool_] | None = None, causes: Collection[str] | None = None
) -> Failures:
    """Return what went wrong in a pool.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool, optional
        The selection; None for all tasks.
    causes : collection of str, optional
        Only attempts that ended so; None for all but ``done``.

    Raises
    ------
    SelectionError
        If there is no such cause.
    """
    seen = survey(pool.folder)
    there = {str(one.cause) for one in seen.failed}
    wanted = there if causes is None else _checked(causes, there)
    failed = [one for one in seen.failed if str(one.cause) in wanted]
    positions = positions_of(pool.grid, {one.task for one in failed}, pool.offered())
    if chosen is not None:
        failed = [one for one in failed if one.task in positions and chosen[positions[one.task]]]
    is_parked = state_of(pool.index()) == TaskState.PARKED
    if chosen is not None:
        is_parked &= chosen
    parked = {pool.grid.id(place) for place in is_parked.nonzero()[0].tolist()}
    return Failures(
        groups=group_failures(failed, parked),
        n_parked=len(parked),
        positions=positions,
        suspects=nodes_to_exclude(seen.failed, seen.n_done),
        n_damaged=seen.n_damaged,
    )


def _checked(causes: Collection[str], there: set[str]) -> set[str]:
    """Return the causes that are asked for: ours, or those of a newer jobpool that are there."""
    ours = [str(cause) for cause in Cause if cause is not Cause.DONE]
    known = [*ours, *sorted(there - set(ours))]
    for name in causes:
        if name not in known:
            what = f"no such cause: {name!r}; there are: {listing(known)}{nearest(name, known)}"
            raise SelectionError(name, what)
    return set(causes)


def group_failures(
    attempts: Iterable[Attempt], parked: Container[str] = frozenset()
) -> tuple[FailureGroup, ...]:
    """Return the groups of the attempts that did not end well.

    Those that parked tasks come first, then the newest failure.

    Parameters
    ----------
    attempts : iterable of Attempt
        In any order.
    parked : container of str
        Ids of the tasks that are parked; a group counts those that failed so at last.
    """
    groups: defaultdict[tuple[AnyCause, str], _Growing] = defaultdict(_Growing)
    last: dict[str, float] = {}
    known: dict[tuple[str | None, ...], str] = {}  # most errors are the same to the letter
    for attempt in attempts:
        if attempt.cause is not Cause.DONE:
            said = attempt.error, attempt.traceback, attempt.node
            if said not in known:
                known[said] = fingerprint(*said)
            groups[attempt.cause, known[said]].add(attempt)
            last[attempt.task] = max(attempt.ended, last.get(attempt.task, attempt.ended))
    found = []
    for (cause, _), group in groups.items():
        stuck = {
            task
            for task, one in group.tasks.items()
            if task in parked and one.newest.ended == last[task]
        }
        found.append(_finished(cause, group, stuck))
    return tuple(sorted(found, key=lambda group: (not group.n_parked, -group.newest.ended)))


def _finished(cause: AnyCause, group: _Growing, stuck: set[str]) -> FailureGroup:
    tasks = group.tasks
    order = sorted(tasks, key=lambda task: (task not in stuck, -tasks[task].newest.ended, task))
    return FailureGroup(
        cause=cause,
        n_attempts=sum(one.n_attempts for one in tasks.values()),
        tasks=tuple(order),
        newest=max((one.newest for one in tasks.values()), key=lambda attempt: attempt.ended),
        n_parked=len(stuck),
    )


def find_logs(pool: Path, job: str | None) -> list[Path]:
    """Return the files below ``logs/`` that are named after a job.

    Parameters
    ----------
    pool : Path
        The pool.
    job : str, optional
        The job, with its place in an array, such as ``1234_5``.
    """
    if not job:
        return []
    whole = re.compile(rf"(?<!\d){re.escape(job)}(?!\d)")
    return sorted(path for path in (pool / "logs").rglob(f"*{job}*") if whole.search(path.name))


def count_causes(groups: Iterable[FailureGroup]) -> Counter[AnyCause]:
    """Return how many attempts failed for each cause."""
    counts: Counter[AnyCause] = Counter()
    for group in groups:
        counts[group.cause] += group.n_attempts
    return counts
