"""What attempts say about tasks: each is read once, from where the last reader stopped."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.journal.jsonl import SHAPES, read_lines, worker_files
from jobpool.task import CLAIMS_PER_RUN, AnyCause, Cause, cause_of

# how time falls with cores, before that is learned: to add up attempts on different workers
SPEEDUP = 0.85
LEAST_S = 0.001  # times are written in milliseconds
LEAST_MB = 1.0
ROUNDED = 1.1  # records hold core-seconds rounded to seconds
MOST_KEPT = 2000  # finished attempts: enough to know a tenth to 1 %
KEPT = np.dtype(
    [("draw", "<u4"), ("position", "<u4"), ("cores", "<u4"), ("seconds", "<f8"), ("mb", "<f8")]
)
Kept = NDArray[Any]  # (n_kept,), of `KEPT`: 0 where an amount is not known
NONE_KEPT: Kept = np.empty(0, KEPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an attempt says about the needs of its task."""

    task: str
    fence: int
    cause: AnyCause
    ended: float
    seconds: float  # 0 where the start is not known
    cores: int
    memory_mb: float  # what the worker had; 0 where that is not known
    peak_memory_mb: float  # what was used; 0 where that is not known
    found: bool  # recorded by another process, after the worker vanished

    @property
    def work(self) -> float:
        """Return its time, converted to one core."""
        return float(self.seconds * self.cores**SPEEDUP)


def bytes_new(pool: Path, offsets: Mapping[int, int]) -> int:
    """Return how many bytes of attempts are new; the parameters are those of `read_new`."""
    return sum(
        path.stat().st_size - offsets.get(int(path.stem, 16), 0)
        for path in worker_files(pool, "attempts")
    )


def read_new(pool: Path, offsets: Mapping[int, int]) -> tuple[list[Sample], dict[int, int]]:
    """Return the new attempts, and where the next reader continues.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    offsets : mapping of int to int
        Bytes read already, by the number of the worker whose file it is.
    """
    samples, reached = list[Sample](), dict(offsets)
    for path in worker_files(pool, "attempts"):
        number = int(path.stem, 16)
        for line in read_lines(path, SHAPES["attempts"], start=reached.setdefault(number, 0)):
            if not line.is_whole:  # still being written
                break
            reached[number] += len(line.raw)
            if line.record is not None:
                samples.append(_sample(line.record))
    return sorted(samples, key=lambda one: one.ended), reached


def _sample(line: dict[str, Any]) -> Sample:
    started, ended = line.get("started"), line["ended"]
    if line.get("clock_jump_s") is not None:
        started = None  # it may have been stopped by a clock that was wrong: no time to learn
    return Sample(
        task=line["task"],
        fence=line["fence"],
        cause=cause_of(line["cause"]),
        ended=ended,
        seconds=0.0 if started is None else max(ended - started, 0.0),
        cores=line.get("cores") or 1,
        memory_mb=line.get("memory_mb") or 0.0,
        peak_memory_mb=line.get("peak_memory_mb") or 0.0,
        found="found_by" in line,
    )


def draw_of(sample: Sample) -> int:
    """Return a number at random, the same for an attempt whenever it is read.

    The attempts with the lowest numbers are a random sample of all.
    """
    return zlib.crc32(f"{sample.task}/{sample.fence}".encode())


def keep(kept: Kept, more: list[tuple[int, int, int, float, float]]) -> Kept:
    """Return the attempts to keep, of those kept so far and some more."""
    every = np.concatenate([kept, np.array(more, KEPT)])
    return every[np.argsort(every["draw"], kind="stable")[:MOST_KEPT]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Censored:
    """What failed attempts say about a task that is not done: it needs more than they had."""

    cores: int = 1  # of the attempt that did the most
    seconds: float = 0.0  # how long that attempt ran: the task needs more
    work: float = 0.0  # of all attempts, converted to one core
    memory_mb: float = 0.0  # the task needs more

    def and_more_than(self, other: "Censored") -> "Censored":
        """Return this with the bounds of another, where those are higher."""
        memory = max(self.memory_mb, other.memory_mb)
        # as records have them, which hold core-seconds: of the same attempt both are equal
        if other.seconds * other.cores > ROUNDED * self.seconds * self.cores:
            return replace(self, memory_mb=memory, cores=other.cores, seconds=other.seconds)
        return replace(self, memory_mb=memory)

    def after(self, sample: Sample) -> "Censored":
        """Return this with one more failed attempt."""
        memory = max(self.memory_mb, sample.peak_memory_mb)
        if sample.cause is Cause.MEMORY:
            memory = max(memory, sample.memory_mb)
        if not sample.cause.is_bound:
            return replace(self, memory_mb=memory)
        grown = replace(self, memory_mb=memory, work=self.work + sample.work)
        if sample.work > self.seconds * self.cores**SPEEDUP:
            return replace(grown, cores=sample.cores, seconds=sample.seconds)
        return grown


def whole_seconds(sample: Sample, before: Censored | None) -> float:
    """Return how long a task that is done took in all attempts; 0 if that is unknown.

    What earlier attempts left in the checkpoint was not computed again. How much that was is
    unknown: no attempt did more than the whole task, and all together did no less.
    """
    if sample.fence % CLAIMS_PER_RUN == 1:
        return sample.seconds
    if before is None or sample.seconds == 0:
        return 0.0
    speed = float(sample.cores**SPEEDUP)
    longest = max(before.seconds * before.cores**SPEEDUP, sample.work)
    return float(np.sqrt(longest * (before.work + sample.work))) / speed
