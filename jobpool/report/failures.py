"""Failed attempts, grouped by what went wrong: one group per cause and place in the code."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from jobpool.attempts import Attempt
from jobpool.task import Cause

_FRAMES = 3  # innermost frames of a traceback that tell one failure from another
_FRAME = re.compile(r'^  File "(.*)", line \d+, in (.*)$')
_VARYING = (
    (re.compile(r"'[^']*'|\"[^\"]*\""), "'...'"),
    (re.compile(r"0x[0-9a-fA-F]+"), "#"),
    (re.compile(r"\d+(\.\d+)?"), "#"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Attempts that failed in the same way."""

    cause: Cause
    n_attempts: int
    tasks: tuple[str, ...]  # ids, the one that failed last first
    newest: Attempt


@dataclass(slots=True)
class _Growing:
    n_attempts: int
    newest: Attempt
    tasks: dict[str, float] = field(default_factory=dict)  # id: when it last failed


def group_failures(attempts: Iterable[Attempt]) -> tuple[FailureGroup, ...]:
    """Return the groups of the attempts that did not end well, the newest failure first.

    Parameters
    ----------
    attempts : iterable of Attempt
        In any order.
    """
    groups: dict[tuple[Cause, str], _Growing] = {}
    for attempt in attempts:
        if attempt.cause is Cause.DONE:
            continue
        key = attempt.cause, fingerprint(attempt)
        group = groups.setdefault(key, _Growing(0, attempt))
        group.n_attempts += 1
        if attempt.ended >= group.newest.ended:
            group.newest = attempt
        group.tasks[attempt.task] = max(attempt.ended, group.tasks.get(attempt.task, 0.0))
    found = [
        FailureGroup(
            cause=cause,
            n_attempts=group.n_attempts,
            tasks=tuple(sorted(group.tasks, key=lambda task: (-group.tasks[task], task))),
            newest=group.newest,
        )
        for (cause, _), group in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: -group.newest.ended))


def fingerprint(attempt: Attempt) -> str:
    """Return what attempts that failed in the same way have in common.

    The innermost lines of the traceback without line numbers, and the message without its
    numbers, addresses and quoted words.
    """
    message = attempt.error or ""
    for pattern, mark in _VARYING:
        message = pattern.sub(mark, message)
    return "\n".join([*_frames(attempt.traceback or "")[-_FRAMES:], message])


def _frames(traceback: str) -> list[str]:
    """Return file, function and code of each frame."""
    lines = traceback.splitlines()
    frames = []
    for number, line in enumerate(lines):
        if frame := _FRAME.match(line):
            code = lines[number + 1].strip() if number + 1 < len(lines) else ""
            frames.append(f"{PurePosixPath(frame[1]).name} {frame[2]}: {code}")
    return frames


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
