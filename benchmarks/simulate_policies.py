"""Ways to get a study done, each simulated with the pool's real code on a real folder.

Only the running of tasks is pretended, and the clock: claims, ends, bounds, cuts, attempts, what
is learned from them and what is offered are the pool's own, on files.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulate_cluster import (
    BEGAN,
    LARGE,
    SMALL,
    START_S,
    Bill,
    Cluster,
    Queue,
    Run,
    Size,
    Steps,
    Truth,
)
from benchmarks.simulate_study import Study, new_pool, with_parts
from jobpool.execution.claiming import Puller
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.journal.jsonl import worker_name
from jobpool.needs.estimates import Estimates, Suitability, load_estimates, suitability
from jobpool.needs.learning import learn
from jobpool.pool import Ending, Pool
from jobpool.table.arrays import state_of
from jobpool.table.records import WAITING_BASE, WorkerLimits, limits_of
from jobpool.task import Cause, Claim, Feedback, TaskState

LEAVE_S = 60.0  # before its end a worker stops
LOOK_S = 3600.0  # how often a person looks at the queue
CRON_S = 600.0  # how often jobs are submitted by themselves
LEARN_S = 600.0  # between two turns to learn
ARRAY = 1000  # jobs of one submission


def by_loops(study: Study, units: int, sizes: tuple[Size, ...]) -> Bill:
    """One job per task, and one more of the next size for each that failed."""
    cluster = Cluster(units)
    truth = Truth(study=study, grid=study.grid, keeps=False)
    todo = list(range(len(study.grid)))

    def one(position: int, size: Size, failed: list[int]) -> Steps:
        run = truth.run(position, size, size.seconds - START_S)
        yield cluster.env.timeout(run.seconds)
        cluster.book(size, run)
        if run.cause is not Cause.DONE:
            failed.append(position)

    for size in sizes:
        failed: list[int] = []
        cluster.bill.by_hand += -(-len(todo) // ARRAY)
        for position in todo:
            cluster.job(size, one(position, size, failed))
        cluster.env.run()
        todo = failed
    return cluster.bill


class PoolRun:
    """Workers that empty a pool."""

    def __init__(
        self, study: Study, folder: Path, units: int, *, learning: bool, keeps: bool, seed: int
    ) -> None:
        self.cluster = Cluster(units)
        self.learning = learning
        grid = with_parts(study.grid) if learning else study.grid
        folder = new_pool(folder, grid)
        self.pool = Pool(folder, durable=False, now=self.cluster.now)
        self.truth = Truth(study=study, grid=self.pool.grid, keeps=keeps)
        self.rng = random.Random(seed)
        self.estimates: Estimates | None = None
        self.n_workers = 0
        self._learned_at = -LEARN_S
        self._suitability: dict[tuple[str, int], Suitability] = {}
        self._positions: dict[str, int] = {}

    def waiting(self) -> Any:
        return state_of(self.pool.index()) == TaskState.WAITING

    def all_tried(self) -> bool:
        return bytes([WAITING_BASE]) not in self.pool.index().tobytes()

    def all_done(self) -> bool:
        counts = self.pool.counts()
        return counts[TaskState.WAITING] + counts[TaskState.RUNNING] == 0

    def worker(self, size: Size) -> Steps:
        """Pull and run tasks until none fits or the time is up, as the worker does."""
        env, self.n_workers = self.cluster.env, self.n_workers + 1
        number = self.n_workers
        pool = Pool(self.pool.folder, worker=number, durable=False, now=self.cluster.now)
        pool.grid = self.pool.grid
        end = env.now - START_S + size.seconds

        def left() -> float:
            return float(end - LEAVE_S - env.now)

        def limits() -> WorkerLimits:
            return limits_of(size.memory_mb, left() * size.cores)

        puller = Puller(pool, self.rng, limits=limits) if self.learning else Puller(pool, self.rng)
        ending: Ending | None = None
        while left() > 0:
            if self.learning:
                self.learn()
                puller.restrict(self.suitability(size, left()))
            claim = puller.next(ending).claim
            ending = None
            if claim is None:
                break
            run = self.truth.run(claim.position, size, left())
            began = self.cluster.now()
            yield env.timeout(run.seconds)
            self.cluster.book(size, run)
            ending = self.ended(claim, run, size, began, end, number)
            if run.cause is not Cause.DONE:
                pool.end(ending)
                ending = None
                puller.leave_out(claim.position)
        if ending is not None:
            pool.end(ending)

    def ended(
        self, claim: Claim, run: Run, size: Size, began: float, end: float, number: int
    ) -> Ending:
        if not self.learning:
            # the plain pool knows no bounds: as an error, each time another one
            cause = run.cause if run.cause is Cause.DONE else Cause.ERROR
            feedback = Feedback(error=self.rng.getrandbits(16))
            return Ending(claim=claim, cause=cause, feedback=feedback)
        attempt = Attempt(
            task=claim.id,
            fence=claim.fence,
            worker=worker_name(number % 500 + 1),  # as few files as workers at a time
            cause=run.cause,
            started=began,
            ended=began + run.seconds,
            cores=size.cores,
            memory_mb=size.memory_mb,
            peak_memory_mb=run.peak_mb,
        )
        write_attempt(self.pool.folder, attempt)
        self._positions[claim.id] = claim.position
        memory_mb = size.memory_mb if run.cause is Cause.MEMORY else None
        bounded = run.cause is Cause.TIME and run.kept_s == 0
        core_s = size.cores * (BEGAN + end - began) if bounded else None
        feedback = Feedback(memory_mb=memory_mb, core_s=core_s)
        return Ending(claim=claim, cause=run.cause, feedback=feedback)

    def learn(self) -> None:
        """Learn if it is time to."""
        now = self.cluster.env.now
        if now - self._learned_at < LEARN_S:
            return
        self._learned_at = now
        # the ids of all tasks are not computed for each turn
        if learn(self.pool, self.cluster.now(), find=lambda _, tasks: self._found(tasks)):
            self.estimates = load_estimates(self.pool)
            self._suitability = {}

    def _found(self, tasks: Any) -> dict[str, int]:
        return {task: self._positions[task] for task in tasks}

    def jobs_for(self, chosen: Any, size: Size) -> int:
        """Return how many jobs do some tasks in a quarter of their time."""
        if self.estimates is None:
            return 0
        seconds = float(self.estimates.seconds(size.cores)[chosen].sum())
        return -(-int(seconds) // int(size.seconds / 4))

    def suitability(self, size: Size, seconds_left: float) -> Suitability | None:
        """Return which tasks suit a worker; the time left in steps of 3 %."""
        if self.estimates is None:
            return None
        step = int(np.log(max(seconds_left, 1.0)) / 0.03)
        key = (size.name, step)
        if key not in self._suitability:
            room = Room(size=size, seconds_left=float(np.exp(step * 0.03)))
            self._suitability[key] = suitability(self.estimates, room)
        return self._suitability[key]


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a worker has left for a task."""

    size: Size
    seconds_left: float

    @property
    def cores(self) -> int:
        return self.size.cores

    @property
    def memory_mb(self) -> float:
        return self.size.memory_mb

    @property
    def seconds_in_all(self) -> float:
        return self.size.seconds


def by_plain_pool(study: Study, folder: Path, units: int, *, keeps: bool, seed: int) -> Bill:
    """Two passes over a pool that learns nothing, with a person who looks every hour."""
    run = PoolRun(study, folder, units, learning=False, keeps=keeps, seed=seed)
    cluster = run.cluster

    def person() -> Steps:
        for size, enough in ((SMALL, run.all_tried), (LARGE, run.all_done)):
            queue = Queue()
            while not enough():
                if queue.n_jobs < cluster.units // size.units:
                    cluster.bill.by_hand += 1
                    for _ in range(ARRAY // size.units):
                        cluster.job(size, run.worker(size), queue)
                yield cluster.env.timeout(LOOK_S)
            queue.cancelled = True

    cluster.env.process(person())
    cluster.env.run()
    return cluster.bill


def by_jobpool(study: Study, folder: Path, units: int, *, seed: int) -> Bill:
    """Let workers see what they can end, and cron keep as many in the queue as are of use."""
    run = PoolRun(study, folder, units, learning=True, keeps=True, seed=seed)
    cluster, small, large = run.cluster, Queue(), Queue()

    def cron() -> Steps:
        cluster.bill.by_hand += 1
        while not run.all_done():
            waiting = run.waiting()
            fresh = run.suitability(SMALL, SMALL.seconds - LEAVE_S)
            fits = waiting if fresh is None else waiting & (fresh.likely | fresh.split)
            n_small = min(int(fits.sum()), cluster.units) - small.n_jobs
            for _ in range(n_small):
                cluster.job(SMALL, run.worker(SMALL), small)
            free = (cluster.units - small.n_jobs) // LARGE.units
            n_large = min(run.jobs_for(waiting & ~fits, LARGE), free) - large.n_jobs
            for _ in range(n_large):
                cluster.job(LARGE, run.worker(LARGE), large)
            yield cluster.env.timeout(CRON_S)

    cluster.env.process(cron())
    cluster.env.run()
    cluster.bill.n_cut = int(
        (state_of(run.pool.index()) == TaskState.SUPERSEDED)[~run.pool.grid.parts.is_dormant].sum()
    )
    return cluster.bill
