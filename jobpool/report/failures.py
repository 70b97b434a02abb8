"""Failed attempts, grouped by what went wrong: one group per cause and place in the code."""

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from jobpool.attempts import Attempt
from jobpool.fingerprint import fingerprint
from jobpool.task import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Attempts that failed in the same way."""

    cause: Cause
    n_attempts: int
    tasks: tuple[str, ...]  # ids, those that it parked first, then the one that failed last
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
    groups: defaultdict[tuple[Cause, str], _Growing] = defaultdict(_Growing)
    last: dict[str, float] = {}
    for attempt in attempts:
        if attempt.cause is not Cause.DONE:
            key = attempt.cause, fingerprint(attempt.error, attempt.traceback)
            groups[key].add(attempt)
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


def _finished(cause: Cause, group: _Growing, stuck: set[str]) -> FailureGroup:
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
        SLURM's job, with the array task, such as ``1234_5``.
    """
    if not job:
        return []
    whole = re.compile(rf"(?<!\d){re.escape(job)}(?!\d)")
    return sorted(path for path in (pool / "logs").rglob(f"*{job}*") if whole.search(path.name))


def count_causes(groups: Iterable[FailureGroup]) -> Counter[Cause]:
    """Return how many attempts failed for each cause."""
    counts: Counter[Cause] = Counter()
    for group in groups:
        counts[group.cause] += group.n_attempts
    return counts
