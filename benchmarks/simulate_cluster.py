"""A pretended cluster: the clock, jobs that share cores, how tasks run on them, and the bill."""

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import simpy

from benchmarks.simulate_study import N_FOLDS, Study
from jobpool.table.grid import Grid
from jobpool.task import Cause

Steps = Generator[simpy.Event, Any, None]

BEGAN = 1_700_000_000.0
START_S = 45.0  # of a job: imports, and the first task's data
MB_PER_CORE = 4096  # a job with more memory than that per core keeps other cores empty


@dataclass(frozen=True, kw_only=True)
class Size:
    """The resources of a job."""

    name: str
    cores: int
    memory_mb: int
    seconds: float

    @property
    def units(self) -> int:
        """Return the cores that nobody else can use: its own, or those without memory."""
        return max(self.cores, -(-self.memory_mb // MB_PER_CORE))


SMALL = Size(name="small", cores=1, memory_mb=4096, seconds=3 * 3600)
LARGE = Size(name="large", cores=16, memory_mb=65536, seconds=30 * 3600)
GENEROUS = Size(name="generous", cores=1, memory_mb=32768, seconds=30 * 3600)


@dataclass(kw_only=True)
class Bill:
    """What it cost, in core-seconds held."""

    useful: float = 0.0
    failed: float = 0.0  # in attempts that did not end in done, but for what was kept of them
    idle: float = 0.0  # in starting, and in waiting for an end
    ended_at: float = 0.0
    n_jobs: int = 0
    by_hand: int = 0
    n_failed: int = 0
    n_done: int = 0
    n_cut: int = 0

    @property
    def wasted(self) -> float:
        return self.failed + self.idle


@dataclass(frozen=True, kw_only=True)
class Run:
    """How an attempt would go."""

    cause: Cause
    seconds: float
    kept_s: float  # of these, what the checkpoint keeps
    peak_mb: float


@dataclass(kw_only=True)
class Truth:
    """Runs tasks: knows what each needs, and what checkpoints hold."""

    study: Study
    grid: Grid
    keeps: bool
    kept: set[tuple[int, int]] = field(default_factory=set)

    @cached_property
    def whole(self) -> Any:
        return self.study.whole_of(self.grid)

    @cached_property
    def part(self) -> Any:
        return self.grid.parts.column

    def run(self, position: int, size: Size, seconds_left: float) -> Run:
        whole, part = int(self.whole[position]), int(self.part[position])
        need_mb = float(self.study.memory_mb[whole])
        speed = float(size.cores ** self.study.speedup[whole])
        seconds = kept_s = 0.0
        for fold in range(N_FOLDS) if part == 0 else (part - 1,):
            if (whole, fold) in self.kept:
                continue
            fold_s = float(self.study.fold_s[whole, fold]) / speed
            if need_mb > size.memory_mb:
                fold_s *= float(self.study.killed_at[whole])
                if seconds + fold_s < seconds_left:
                    peak_mb = float(size.memory_mb)
                    return Run(cause=Cause.MEMORY, seconds=fold_s, kept_s=0.0, peak_mb=peak_mb)
            if seconds + fold_s > seconds_left:
                peak_mb = min(need_mb, size.memory_mb)
                return Run(cause=Cause.TIME, seconds=seconds_left, kept_s=kept_s, peak_mb=peak_mb)
            seconds += fold_s
            if self.keeps:
                kept_s += fold_s
                self.kept.add((whole, fold))
        return Run(cause=Cause.DONE, seconds=max(seconds, 1.0), kept_s=seconds, peak_mb=need_mb)


@dataclass(kw_only=True)
class Queue:
    """Jobs of one size that were submitted and have not ended."""

    n_jobs: int = 0
    cancelled: bool = False


class Cluster:
    """The clock, and cores that are shared by the jobs of one user."""

    def __init__(self, units: int) -> None:
        self.env = simpy.Environment()
        self.free = simpy.Container(self.env, capacity=units, init=units)
        self.units = units
        self.bill = Bill()

    def now(self) -> float:
        return BEGAN + float(self.env.now)

    def job(self, size: Size, work: Steps, queue: "Queue | None" = None) -> None:
        """Queue a job that does `work` once there is room for it."""
        queue = queue or Queue()

        def process() -> Steps:
            queue.n_jobs += 1
            yield self.free.get(size.units)
            if not queue.cancelled:
                self.bill.n_jobs += 1
                yield self.env.timeout(START_S)
                self.bill.idle += START_S * size.units
                yield from work
            yield self.free.put(size.units)
            queue.n_jobs -= 1

        self.env.process(process())

    def book(self, size: Size, run: Run) -> None:
        """Add an attempt that has just ended to the bill."""
        if run.cause is Cause.DONE:
            self.bill.useful += run.seconds * size.units
            self.bill.n_done += 1
            self.bill.ended_at = float(self.env.now)
        else:
            self.bill.useful += run.kept_s * size.units
            self.bill.failed += (run.seconds - run.kept_s) * size.units
            self.bill.n_failed += 1
