"""The pool against a simple model of it: any moves in any order, some cut short by a kill."""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from jobpool.admin.create import create_pool
from jobpool.admin.extend import extend_pool
from jobpool.admin.transitions import hold, release, rerun, retry
from jobpool.execution.claiming import Puller
from jobpool.experiment.config import Experiment
from jobpool.pool import Ending, Pool
from jobpool.table.grid import Grid, full_product, split_parts
from jobpool.table.records import WAITING_BASE, code_of, limits_of
from jobpool.table.shards import HEAD
from jobpool.task import Axis, Cause, Claim, Feedback, TaskState, next_run, run_of
from tests.support.builders import an_experiment
from tests.support.fuzzing import FUZZ

PARK_AFTER = 3
PARK_AT_LAST = 9  # failures of any kind, or of the disk in the task's own code
PIECES = Axis(name="piece", values=("all", 0, 1))
FAILED_CAUSES = {Cause.ERROR, Cause.MEMORY, Cause.TIME, Cause.LOST}
WORKERS = st.integers(1, 3)
CAUSES = st.sampled_from(Cause)
MEMORIES = st.sampled_from([None, 1000.0, 4000.0, 16_000.0])
SECONDS = st.sampled_from([None, 60.0, 3600.0])
FEEDBACK = st.builds(Feedback, memory_mb=MEMORIES, core_s=SECONDS, error=st.integers(1, 2))
KILLED = st.sampled_from([False, False, False, True])
SEEDS = st.integers(0, 5)


@dataclass
class Task:
    """What the model knows of one task."""

    state: TaskState
    failed: int = 0
    cause: Cause | None = None
    fence: int = 0
    owner: int = 0
    memory: int = 0
    time: int = 0
    error: int = 0
    same: int = 0
    accepted: tuple[int, int] | None = None  # fence and owner of the result that counts
    parts: list["Task"] = field(default_factory=list)

    @property
    def level(self) -> tuple[bool, int]:
        """Return what is claimed first: a task that a smaller worker could not end."""
        return self.cause not in {Cause.MEMORY, Cause.TIME}, min(self.failed, 15)

    def fits(self, memory_mb: float | None, core_s: float | None) -> bool:
        has_memory = memory_mb is None or not self.memory or code_of(memory_mb) > self.memory
        # a job of the same size that begins its task a little sooner has no more time
        return has_memory and (core_s is None or not self.time or code_of(core_s) - 1 > self.time)

    def claim(self, worker: int) -> None:
        self.state, self.fence, self.owner = TaskState.RUNNING, self.fence + 1, worker

    def end(self, cause: Cause, feedback: Feedback) -> None:
        self.cause = cause
        if cause is Cause.DONE:
            self.state, self.accepted = TaskState.DONE, None
            return
        self.state = TaskState.WAITING
        self.failed += cause in FAILED_CAUSES
        self.memory = max(self.memory, code_of(feedback.memory_mb))
        self.time = max(self.time, code_of(feedback.core_s))
        if cause in {Cause.ERROR, Cause.LOST, Cause.STORAGE}:
            self.same = self.same + 1 if self.same and self.error == feedback.error else 1
            self.error = feedback.error
            most = PARK_AT_LAST if cause is Cause.STORAGE else PARK_AFTER
            if self.same >= most or (cause in FAILED_CAUSES and self.failed >= PARK_AT_LAST):
                self.state = TaskState.PARKED
        if cause is Cause.TIME and self.parts:
            self.split()

    def split(self) -> None:
        self.state = TaskState.SUPERSEDED
        for part in self.parts:
            part.state, part.memory = TaskState.WAITING, max(part.memory, self.memory)

    def retry(self) -> None:
        self.state, self.failed, self.same, self.error = TaskState.WAITING, 0, 0, 0

    def rerun(self) -> None:
        self.accepted = self.fence, self.owner
        superseded = [part for part in self.parts if part.state is TaskState.SUPERSEDED]
        fence = next_run([self.fence, *(part.fence for part in superseded)])
        for one in (self, *superseded):
            one.fence = fence
        self.retry()
        self.cause, self.owner = None, 0


def a_grid(n_numbers: int) -> Grid:
    """Return whole tasks with dormant parts, and others that are parts from the start."""
    grid = full_product([Axis(name="number", values=tuple(range(n_numbers)))])
    return split_parts(grid, PIECES, np.arange(n_numbers) % 3 == 2)


class PoolMachine(RuleBasedStateMachine):
    """Does the same to a pool and to a model, and compares them after each step."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="jobpool-machine-", dir="/dev/shm"))
        self.n_numbers = 4
        self.pool = self.folder / "pool"
        create_pool(self.pool, self.experiment(), a_grid(self.n_numbers), lambda _: None, now=0.0)
        self.opened: dict[int, Pool] = {}
        self.tasks: list[Task] = []
        self.behind: set[int] = set()  # places where a kill left an index behind its record
        self.add_tasks()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def experiment(self) -> Experiment:
        axis = Axis(name="number", values=tuple(range(self.n_numbers)))
        return an_experiment(self.folder / "study", axis)

    def open(self, worker: int = 0) -> Pool:
        if worker not in self.opened:
            self.opened[worker] = Pool(self.pool, worker=worker, durable=False)
        return self.opened[worker]

    def add_tasks(self) -> None:
        self.opened.clear()
        grid = self.open().grid
        for position in range(len(self.tasks), len(grid)):
            is_superseded = bool(grid.parts.is_dormant[position])
            self.tasks.append(
                Task(state=TaskState.SUPERSEDED if is_superseded else TaskState.WAITING)
            )
        for position, task in enumerate(self.tasks):
            task.parts = [self.tasks[part] for part in grid.parts.of(position)]

    @contextmanager
    def killed(self, is_killed: bool) -> Iterator[None]:
        """Undo what a step wrote to the indexes: a kill after the records were written."""
        files = [shard.path for shard in self.open().shards]
        sizes = [HEAD.size + shard.size for shard in self.open().shards]
        heads = [file.read_bytes()[:size] for file, size in zip(files, sizes, strict=True)]
        yield
        if is_killed:
            for file, head in zip(files, heads, strict=True):
                with file.open("r+b") as stream:
                    stream.write(head)
        index, records = self.open().index(), self.open().record
        self.behind = {i for i in range(len(index)) if records(i).index_byte() != index[i]}

    def chosen(self, seed: int) -> NDArray[np.bool_]:
        return np.random.default_rng(seed).random(len(self.tasks)) < 0.5

    @rule(
        target=claims,
        worker=WORKERS,
        memory_mb=MEMORIES,
        core_s=SECONDS,
        seed=SEEDS,
        is_killed=KILLED,
    )
    def claim(
        self,
        worker: int,
        memory_mb: float | None,
        core_s: float | None,
        seed: int,
        is_killed: bool,
    ) -> tuple[int, Claim | None]:
        free = [
            task
            for task in self.tasks
            if task.state is TaskState.WAITING and task.fits(memory_mb, core_s)
        ]
        unseen = {id(self.tasks[position]) for position in self.behind}
        seen = [task for task in free if id(task) not in unseen]
        pool = self.open(worker)
        puller = Puller(pool, random.Random(seed), limits=lambda: limits_of(memory_mb, core_s))
        with self.killed(is_killed):
            claim = puller.next().claim
        if claim is None:
            assert seen == []
            return worker, None
        task = self.tasks[claim.position]
        assert any(task is one for one in free)
        # a worker goes by the index: where that was behind, the order may be another
        assert unseen or not seen or task.level == min(one.level for one in seen)
        task.claim(worker)
        assert (claim.fence, claim.attempts) == (task.fence, task.failed)
        return worker, claim

    @rule(held=claims, cause=CAUSES, feedback=FEEDBACK, is_killed=KILLED)
    def end(
        self, held: tuple[int, Claim | None], cause: Cause, feedback: Feedback, is_killed: bool
    ) -> None:
        """End a claim, perhaps one that was taken back or ended long ago."""
        worker, claim = held
        if claim is None:
            return
        task = self.tasks[claim.position]
        is_live = (task.state, task.fence, task.owner) == (TaskState.RUNNING, claim.fence, worker)
        idle = {TaskState.WAITING, TaskState.HELD, TaskState.PARKED}
        is_this_run = run_of(claim.fence) == run_of(task.fence)
        is_late = task.state in idle and cause is Cause.DONE and is_this_run
        with self.killed(is_killed):
            accepted = self.open(worker).end(Ending(claim=claim, cause=cause, feedback=feedback))
        # a worker ends a claim again where the disk did not say that it was ended
        is_again = (task.fence, task.owner, task.cause) == (claim.fence, worker, cause)
        assert accepted == (is_live or is_late or is_again)
        if is_late:
            task.fence, task.owner = claim.fence, worker
        if is_live or is_late:
            task.end(cause, feedback)

    @rule(held=claims, worker=WORKERS, cause=CAUSES, feedback=FEEDBACK, is_killed=KILLED)
    def take_back(
        self,
        held: tuple[int, Claim | None],
        worker: int,
        cause: Cause,
        feedback: Feedback,
        is_killed: bool,
    ) -> None:
        """End a claim in the place of a dead worker, perhaps too late."""
        claim = held[1]
        if claim is None:
            return
        task, written = self.tasks[claim.position], []
        stands = task.state is TaskState.RUNNING and task.fence == claim.fence
        with self.killed(is_killed):
            taken = self.open(worker).take_back(
                claim.position, claim.fence, cause, lambda: written.append(1), feedback
            )
        assert (taken, len(written)) == (stands, int(stands))
        if taken:
            task.end(cause, feedback)

    @rule(seed=SEEDS, is_killed=KILLED)
    def hold(self, seed: int, is_killed: bool) -> None:
        self._by_hand(hold, TaskState.WAITING, seed, is_killed)

    @rule(seed=SEEDS, is_killed=KILLED)
    def release(self, seed: int, is_killed: bool) -> None:
        self._by_hand(release, TaskState.HELD, seed, is_killed)

    @rule(seed=SEEDS, is_killed=KILLED)
    def retry(self, seed: int, is_killed: bool) -> None:
        self._by_hand(retry, TaskState.PARKED, seed, is_killed)

    @rule(seed=SEEDS, is_killed=KILLED)
    def rerun(self, seed: int, is_killed: bool) -> None:
        self._by_hand(rerun, TaskState.DONE, seed, is_killed)

    def _by_hand(
        self,
        move: Callable[[Pool, NDArray[np.bool_]], int],
        before: TaskState,
        seed: int,
        is_killed: bool,
    ) -> None:
        self.mend()
        pool, chosen = self.open(), self.chosen(seed)
        meant = [self.tasks[i] for i in np.flatnonzero(chosen) if self.tasks[i].state is before]
        with self.killed(is_killed):
            n_moved = move(pool, chosen)
        with self.killed(False):  # the same command again moves the rest
            assert n_moved + move(pool, chosen) == len(meant)
        for task in meant:
            if move is retry:
                task.retry()
            elif move is rerun:
                task.rerun()
            else:
                task.state = TaskState.HELD if move is hold else TaskState.WAITING

    @rule(place=st.integers(0, 99), is_killed=KILLED)
    def split(self, place: int, is_killed: bool) -> None:
        """Cut a task that is estimated to be too long."""
        pool, position = self.open(1), place % len(self.tasks)
        task = self.tasks[position]
        can_be_split = task.state is TaskState.WAITING and bool(task.parts)
        shard, slot = pool.locate(position)
        with self.killed(is_killed), shard.transaction() as transaction:
            assert bool(pool.split_in(transaction, slot)) == can_be_split
        if can_be_split:
            task.split()

    @rule()
    def extend(self) -> None:
        if self.n_numbers < 8:
            self.n_numbers += 2
            grid = a_grid(self.n_numbers)
            extend_pool(self.open(), self.experiment(), grid, lambda _: None)
            self.add_tasks()

    @rule()
    def mend(self) -> None:
        """Come upon what the dead left, as workers do who look for claims and for free tasks."""
        pool = self.open(9)
        index = pool.index()
        for position, record in list(pool.running()):
            if record.state is not TaskState.RUNNING:
                pool.take_back(position, record.fence, Cause.LOST)
        for position in self.behind:
            shard, slot = pool.locate(position)
            is_free = pool.record(position).state is TaskState.WAITING
            if index[position] >= WAITING_BASE and not is_free:
                with shard.transaction() as transaction:
                    assert pool.claim_in(transaction, slot) is None
        with self.killed(False):
            pass
        # a byte of another failure count will do: workers look for all of them
        index = pool.index()
        unseen = [i for i in self.behind if index[i] < WAITING_BASE]
        assert [i for i in unseen if self.tasks[i].state is TaskState.WAITING] == []

    @invariant()
    def records_are_those_of_the_model(self) -> None:
        pool = self.open()
        for position, task in enumerate(self.tasks):
            found = pool.record(position)
            assert (found.state, found.attempts, found.cause, found.fence, found.owner) == (
                *(task.state, task.failed, task.cause, task.fence, task.owner),
            )
            assert (
                found.bounds & 0xFF,
                found.bounds >> 8 & 0xFF,
                found.bounds >> 16,
                found.same,
            ) == (*(task.memory, task.time, task.error, task.same),)
            kept = found.accepted
            assert (kept and (kept.fence, kept.owner)) == task.accepted

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        counts = self.open().counts()
        states = [task.state for task in self.tasks]
        assert sum(counts.values()) == len(states)
        wrong = sum(abs(counts[state] - states.count(state)) for state in TaskState)
        assert wrong <= 2 * len(self.behind)

    @invariant()
    def either_a_whole_task_or_its_parts_are_superseded(self) -> None:
        for task in self.tasks:
            if task.parts:
                superseded = {part.state is TaskState.SUPERSEDED for part in task.parts}
                assert superseded == {task.state is not TaskState.SUPERSEDED}


TestPool = PoolMachine.TestCase
TestPool.settings = settings(FUZZ, max_examples=25, stateful_step_count=40)


def test_a_task_whose_last_failure_did_not_reach_the_index_is_claimed_again() -> None:
    machine = PoolMachine()
    try:
        machine.extend()
        machine.retry(seed=5, is_killed=False)
        held = machine.claim(2, memory_mb=1000.0, core_s=3600.0, seed=3, is_killed=True)
        machine.end(held, Cause.ERROR, Feedback(error=2), is_killed=True)
        (position,) = machine.behind
        machine.release(seed=0, is_killed=False)
        for seed in range(len(machine.tasks)):
            machine.claim(1, memory_mb=None, core_s=None, seed=seed, is_killed=False)
    finally:
        machine.teardown()

    assert machine.tasks[position].state is TaskState.RUNNING
