"""The pool: which tasks exist, who runs each one, and how it ended.

    pool.json        what kind of pool this is, and the settings all its workers share
    tasks.npz        the grid: fixed once written, an extension appends
    state/NN         the state table in shards (`jobpool.table.shards`)

Workers change states through this module alone, people through `jobpool.admin.transitions` and the
doctor, under the same lock. Whichever process is killed, and whenever, three things stay true:

1. A task has at most one live claim, and its record names the worker.
2. A task that says ``done`` has its result on disk: the result is written first.
3. An end reported by a worker whose claim was given to another changes nothing.
"""

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobpool.disk.inside import POOL_FILE, remember_pool
from jobpool.disk.locks import Held, lock_for
from jobpool.disk.waiting import Waiting
from jobpool.errors import DamagedStateError, JobpoolError
from jobpool.table.arrays import Table, count_states, read_counting, read_table, state_of
from jobpool.table.code_files import (
    EXPERIMENT,
    TASKS,
    CodeFiles,
    changed_experiment,
    changed_tasks,
    digest_of,
)
from jobpool.table.grid import Grid, read_grid
from jobpool.table.records import EVERYTHING, Record, WorkerLimits, fits, parks
from jobpool.table.settings import PoolInfo, read_info
from jobpool.table.shards import Shard, Transaction
from jobpool.task import IDLE, NO_FEEDBACK, Cause, Claim, Feedback, TaskState, run_of

if TYPE_CHECKING:
    from jobpool.experiment.config import Experiment

# naming a member of an enum is slow before Python 3.12
_WAITING, _RUNNING, _DONE = TaskState.WAITING, TaskState.RUNNING, TaskState.DONE
_ENDED_WELL = Cause.DONE
_TRIES = 3  # to read files that are being changed by an extension


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a claim ends: the task is done, or returns to the pool with a cause."""

    claim: Claim
    cause: Cause
    feedback: Feedback = NO_FEEDBACK


class Pool:
    """A pool on disk, as one process sees it.

    Parameters
    ----------
    folder : Path
        The pool.
    worker : int
        The number of the worker that claims and ends tasks; 0 for a process that only reads.
    durable : bool
        Whether every change of state waits for the disk. False is for measuring.
    now : callable
        The clock: seconds since the epoch.
    files : CodeFiles, optional
        What says which code runs; needed by a process that runs it, to say whom it trusts.

    Raises
    ------
    RequestError
        If the folder is not a pool.
    PoolError
        If it is damaged, or of a newer format.
    """

    def __init__(
        self,
        folder: Path,
        *,
        worker: int = 0,
        durable: bool = True,
        now: Callable[[], float] = time.time,
        files: CodeFiles | None = None,
    ) -> None:
        self.folder, self.worker, self.now = folder, worker, now
        self._files = CodeFiles(folder) if files is None else files
        self.info = self._read_info()
        remember_pool(folder)  # it is never made again
        self._durable = durable
        self._handed: int | None = None
        self._mark: tuple[int, int] | None = None  # of ``pool.json``, as it was looked at last
        self.waiting = Waiting()  # for the lock of a state file

    def _read_info(self) -> PoolInfo:
        return read_info(self.folder, partial(self._files.content, POOL_FILE))

    def is_gone(self) -> bool:
        """Say whether the pool is certainly not there any more, or another pool has its place."""
        try:
            found = (self.folder / POOL_FILE).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # a disk that does not answer is no proof
            return False
        mark = (found.st_ino, found.st_mtime_ns)
        if mark != self._mark:
            with suppress(JobpoolError, OSError):  # what is damaged is told where it is used
                if read_info(self.folder).created != self.info.created:
                    return True
                self._mark = mark
        return False

    def _is_named(self, name: str) -> bool:
        """Say whether a file that says which code runs is the one that ``pool.json`` names."""
        for _ in range(_TRIES):
            known = self.info.digests_of(name)
            if not known or digest_of(self._files.content(name)) in known:
                return True
            self._files = self._files.renewed()  # the pool may have been extended in between
            self.info = self._read_info()
        return False

    def _tasks(self) -> bytes:
        if self._files.are_named and not self._is_named(TASKS):
            raise changed_tasks(self.folder)
        return self._files.content(TASKS)

    @cached_property
    def grid(self) -> Grid:
        """Return all tasks."""
        return read_grid(self.folder / TASKS, self._tasks)

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Return the state files in the order of their tasks."""
        lock = lock_for(self.info.lock, self.folder)
        shards, first = [], 0
        for number, size in enumerate(self.grid.shard_sizes):
            shards.append(
                Shard(
                    path=self.folder / "state" / f"{number:02d}",
                    first=first,
                    size=size,
                    lock=lock,
                    durable=self._durable,
                    writer=self.worker,
                    waiting=self.waiting,
                )
            )
            first += size
        return tuple(shards)

    def trusting(self, users: Collection[str]) -> "Pool":
        """Return this pool, read anew for a process that runs what it says.

        Raises
        ------
        PoolError
            If it is neither this user's nor that of one of `users`, or others can change it.
        """
        return Pool(
            self.folder,
            worker=self.worker,
            durable=self._durable,
            now=self.now,
            files=CodeFiles(self.folder, users),
        )

    def has_grown(self) -> bool:
        """Say whether tasks were added since the grid was read."""
        now = Pool(self.folder, files=self._files.renewed())
        return len(now.grid) != len(self.grid)

    def reload(self) -> None:
        """Read settings and grid again, to see an extension."""
        self._files = self._files.renewed()
        self.info = self._read_info()
        for name in ("grid", "shards", "spans", "_firsts"):
            self.__dict__.pop(name, None)
        if self._handed is not None:
            self.hand_over()

    def hand_over(self) -> int:
        """Return an open file with what says which code runs, for the process that runs it.

        After `reload` the same file holds what was read then; see `handed_over`.
        """
        self._tasks()  # the experiment is held against the settings where it is read
        if self._handed is None:
            self._handed = os.memfd_create("jobpool")
        self._files.write_to(self._handed)
        return self._handed

    @property
    def is_edited(self) -> bool:
        """Say whether the pool's copy of the experiment is not the one that was written."""
        return not self._is_named(EXPERIMENT)

    def experiment(self) -> "Experiment":
        """Return the experiment of this pool, its axes as they were when the pool was made.

        Its passes and estimates may be edited in the pool's copy, nothing else.

        Raises
        ------
        PoolError
            If the pool's copy of the file is missing, or something else in it was edited.
        ConfigError
            If it cannot be used.
        """
        from jobpool.experiment.config import (  # noqa: PLC0415 - YAML, for few only
            InPool,
            load_experiment,
            section_digest,
        )

        axes = tuple(axis for axis in self.grid.axes if axis.name != self.grid.part_axis)
        is_edited, file = self.is_edited, self.folder / EXPERIMENT
        copy = InPool(reading=self.info.reading, content=self._files.content(EXPERIMENT))
        found = load_experiment(file, folder=Path(self.info.folder), axes=axes, pool=copy)
        info, given = self.info, (found.path, found.environment)
        is_kept = given == (info.path, info.environment)  # which workers take from pool.json
        if is_edited and not (is_kept and section_digest(found) == info.section_sha256):
            raise changed_experiment(self.folder)
        return found

    def index(self) -> NDArray[np.uint8]:
        """Return the index byte of every task, shape (n_tasks,), without taking a lock."""
        return np.frombuffer(b"".join(s.read_index() for s in self.shards), np.uint8)

    def locate(self, position: int) -> tuple[Shard, int]:
        """Return the shard of the task at `position`, and its slot in it."""
        shard = self.shards[self.shard_number(position)]
        return shard, position - shard.first

    def shard_number(self, position: int) -> int:
        """Return the number of the shard that holds the task at `position`."""
        return bisect_right(self._firsts, position) - 1

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Return the positions of the tasks of each shard."""
        return tuple(slice(shard.first, shard.first + shard.size) for shard in self.shards)

    def locked(self, file: Path) -> AbstractContextManager[Held]:
        """Hold the lock of a file of the pool that is not a state file."""
        return self.waiting.taking(file, lock_for(self.info.lock, self.folder)(file, False))

    def transaction(self, number: int) -> AbstractContextManager[Transaction]:
        """Hold the lock of a shard, and write what is changed; see `Shard.transaction`."""
        return self.shards[number].transaction()

    def index_of(self, number: int) -> bytes:
        """Return the index of a shard, a byte for each of its tasks, without taking its lock."""
        return self.shards[number].read_index()

    def records_of(self, number: int) -> bytes:
        """Return the packed records of a shard, unchecked, without taking its lock."""
        return self.shards[number].read_records()

    def had_reruns(self, number: int) -> bool:
        """Say whether a task of a shard was ever rerun; one look at the size of its file."""
        return self.shards[number].has_room_for_accepted()

    def record_among(self, number: int, packed: bytes, slot: int) -> Record:
        """Return the record at `slot` of a shard's packed records; see `Shard.record_among`."""
        return self.shards[number].record_among(packed, slot)

    def damaged(self, number: int, what: str) -> DamagedStateError:
        """Return the error for a shard that cannot be trusted."""
        return self.shards[number].damaged(what)

    @cached_property
    def _firsts(self) -> list[int]:
        return [shard.first for shard in self.shards]

    def record(self, position: int) -> Record:
        """Return the record of the task at `position`, without taking the lock."""
        shard, slot = self.locate(position)
        return shard.record(slot)

    def running(self) -> Iterator[tuple[int, Record]]:
        """Yield position and record of every task that is running, without taking a lock."""
        for shard in self.shards:
            index = shard.read_index()
            slot = index.find(TaskState.RUNNING)
            while slot >= 0:
                yield shard.first + slot, shard.record(slot)
                slot = index.find(TaskState.RUNNING, slot + 1)

    def claim_in(
        self, transaction: Transaction, slot: int, limits: WorkerLimits = EVERYTHING
    ) -> Claim | None:
        """Claim the task at `slot` for this worker, unless it is not free or needs more."""
        record = transaction.record(slot)
        if record.state is not _WAITING or not fits(record.bounds, limits):
            return None
        _, attempts, cause, fence, _, _, bounds, same, accepted = record
        fence, now_ms = fence + 1, int(self.now() * 1000)
        owner = self.worker
        claimed = Record(_RUNNING, attempts, cause, fence, owner, now_ms, bounds, same, accepted)
        transaction.put(slot, claimed)
        position = transaction.first + slot
        point = self.grid.point(position)
        return Claim(position=position, point=point, fence=fence, attempts=attempts)

    def end_in(self, transaction: Transaction, ending: Ending) -> bool:
        """End a claim of this worker, and say whether the pool accepted it.

        A worker taken for dead may still hand in its result while its task is idle, unless the
        task was rerun since. In any other case a claim that was taken back changes nothing. A claim
        that was ended so before is accepted again: the disk may have failed before it said so.
        """
        slot = ending.claim.position - transaction.first
        record, fence = transaction.record(slot), ending.claim.fence
        if record.state is _RUNNING:
            if (record.fence, record.owner) != (fence, self.worker):
                return False
        elif record.state in IDLE and ending.cause is _ENDED_WELL and _is_same_run(fence, record):
            record = record._replace(fence=fence, owner=self.worker)
        else:  # it may have been ended so before, when the disk refused to say that it was
            return (record.fence, record.owner, record.cause) == (fence, self.worker, ending.cause)
        self._put_ended(transaction, slot, record, ending.cause, ending.feedback)
        return True

    def end(self, ending: Ending) -> bool:
        """End a claim without claiming another; see `end_in`."""
        shard, _ = self.locate(ending.claim.position)
        with shard.transaction() as transaction:
            return self.end_in(transaction, ending)

    def take_back(
        self,
        position: int,
        fence: int,
        cause: Cause,
        write_first: Callable[[], None] = lambda: None,
        feedback: Feedback = NO_FEEDBACK,
    ) -> bool:
        """End the claim `fence` in the place of a worker that died, and say whether it still stood.

        Parameters
        ----------
        position : int
            The task.
        fence : int
            The dead claim; a later one is left alone.
        cause : Cause
            `Cause.DONE` if the dead worker's result was found on disk.
        write_first : callable
            Called under the lock if the claim still stands, before it ends: so that the record
            of the attempt is neither missing nor written by two processes.
        feedback : Feedback
            What the attempt says about the task.
        """
        shard, slot = self.locate(position)
        with shard.transaction() as transaction:
            record = transaction.record(slot)
            if record.state is not TaskState.RUNNING or record.fence != fence:
                return False
            write_first()
            self._put_ended(transaction, slot, record, cause, feedback)
            return True

    def _put_ended(
        self, transaction: Transaction, slot: int, record: Record, cause: Cause, feedback: Feedback
    ) -> None:
        _, attempts, _, fence, owner, _, bounds, same, accepted = record
        state, failed = _DONE, 0
        if cause is not _ENDED_WELL:
            bounds, same = record.learned(cause, feedback)
            state, failed = _WAITING, int(cause.counts)
            if parks(cause, attempts + failed, same, self.info.park_after):
                state = TaskState.PARKED
            elif self._is_to_split(transaction, slot, cause):
                self.activate_parts(transaction, slot, record._replace(bounds=bounds))
                state = TaskState.SUPERSEDED
        now_ms = int(self.now() * 1000)
        if state is _DONE:
            accepted = None  # from now on the new result counts alone
        attempts += failed
        ended = Record(state, attempts, cause, fence, owner, now_ms, bounds, same, accepted)
        transaction.put(slot, ended)

    def _is_to_split(self, transaction: Transaction, slot: int, cause: Cause) -> bool:
        """Say whether a whole task ran too long, or some of its parts were activated before."""
        parts = self.grid.parts.of(transaction.first + slot)
        if cause is Cause.TIME:
            return bool(parts)
        records = (transaction.record(part - transaction.first) for part in parts)
        return any(record.state is not TaskState.SUPERSEDED for record in records)

    def activate_parts(self, transaction: Transaction, slot: int, whole: Record) -> list[int]:
        """Make the dormant parts of a whole task wait for workers, and return their slots.

        The caller marks the whole task superseded in the same transaction: both lie in one file.

        Parameters
        ----------
        transaction : Transaction
            To the state file that holds the task.
        slot : int
            Of the whole task.
        whole : Record
            Of the whole task, with the feedback of its last attempt: a part needs as much memory.
        """
        parts = [part - transaction.first for part in self.grid.parts.of(transaction.first + slot)]
        changed_ms = int(self.now() * 1000)
        for part in parts:
            record = transaction.record(part)
            if record.state is TaskState.SUPERSEDED:
                bounds = record.with_memory_of(whole)
                transaction.put(
                    part, record._replace(state=_WAITING, changed_ms=changed_ms, bounds=bounds)
                )
        return parts

    def split_in(self, transaction: Transaction, slot: int) -> list[int]:
        """Split a waiting whole task into its parts, and return their slots; empty without any."""
        record = transaction.record(slot)
        if record.state is not _WAITING:
            return []
        parts = self.activate_parts(transaction, slot, record)
        if parts:
            changed_ms = int(self.now() * 1000)
            transaction.put(
                slot, record._replace(state=TaskState.SUPERSEDED, changed_ms=changed_ms)
            )
        return parts

    def table(self) -> Table:
        """Return the record of every task, in the order of positions; see `read_table`."""
        return read_table(self.shards)

    def counting_table(self, *, fresh: bool = False) -> tuple[Table, NDArray[np.bool_]]:
        """Return the records as results count, and which are earlier ones; see `read_counting`."""
        return read_counting(self.shards, self.grid, fresh=fresh)

    def offered(self) -> NDArray[np.bool_]:
        """Return which tasks are, or may have been, offered to a worker, shape (n_tasks,).

        Those of which a person has seen the id: all but dormant parts of tasks as a whole.
        """
        stands_back = state_of(self.index()) == TaskState.SUPERSEDED
        found: NDArray[np.bool_] = ~(self.grid.parts.is_dormant & stands_back)
        return found

    def counts(self) -> Mapping[TaskState, int]:
        """Return how many tasks are in each state."""
        return count_states(self.index())


def _is_same_run(fence: int, record: Record) -> bool:
    """Say whether a claim is one of those since the task was last returned for a rerun."""
    return fence <= record.fence and run_of(fence) == run_of(record.fence)
