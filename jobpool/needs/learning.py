"""Learn what tasks need from the attempts that were written since the last time.

    POOL/needs.npz    sums over finished attempts, bounds from failed ones, how far each file of
                      attempts was read, and the posterior

The file is replaced whole. If two processes learn at the same time, they do the same
work twice: the later file wins, and is complete. A file that is damaged, of another
format or made for other axis values is made again from all attempts.

Before any task was run, the priors and the user's initial estimates are all there is. They are
wide, and soon outweighed by attempts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobpool.errors import StorageError
from jobpool.journal.jsonl import worker_file, worker_name
from jobpool.journal.workers import read_worker_record
from jobpool.needs.calibration import Calibration, Finished, calibrated
from jobpool.needs.estimates import NO_BOUNDS, Estimates, load_estimates
from jobpool.needs.features import CORES, INTERCEPT, PART, FloatArray, Layout, layout_of
from jobpool.needs.model_file import (
    ModelState,
    Reached,
    read_model_state,
    read_reached,
    write_model_state,
)
from jobpool.needs.regression import (
    CensoredRows,
    Moments,
    Posterior,
    Prior,
    moments_of,
    no_moments,
    posterior_of,
)
from jobpool.needs.samples import (
    LEAST_MB,
    LEAST_S,
    Censored,
    Kept,
    Sample,
    bytes_new,
    draw_of,
    keep,
    read_new,
    whole_seconds,
)
from jobpool.pool import Pool
from jobpool.table.arrays import state_of
from jobpool.table.grid import Grid, read_grid
from jobpool.table.records import amount_of
from jobpool.table.selection import select
from jobpool.table.settings import set_umask
from jobpool.table.task_index import positions_of
from jobpool.task import Cause, TaskState

if TYPE_CHECKING:
    from jobpool.experiment.config import InitialEstimate

WORTH = 0.05  # share of new attempts, of those learned from, that is worth learning from
LATEST_S = 600.0  # after which fewer are, too: they may be all that ran out of time or memory
MOST_RUNNING = 200  # workers whose tasks in hand are looked at
LEAST_RUNNING_S = 1.0  # clocks may differ by as much
MOST_ROWS = 4096  # tasks that stand for all those of an initial estimate
Find = Callable[[Grid, Iterable[str]], Mapping[str, int]]


def learn(pool: Pool, server_time: float, find: Find = positions_of) -> bool:
    """Learn from new attempts, and say whether there were enough of them.

    A few new ones among thousands change too little for hundreds of workers to read the file again.

    Parameters
    ----------
    pool : Pool
        The pool.
    server_time : float
        Seconds since the epoch; written into the file.
    find : callable
        Returns the positions of tasks by their ids.

    Raises
    ------
    StorageError
        If the file cannot be written; the old one is still there.
    """
    grid, layout = pool.grid, layout_of(pool.grid)
    reached = read_reached(pool.folder, layout.digest)
    if reached is None:  # the pool may have grown since this process opened it
        grid = read_grid(pool.folder / "tasks.npz")
        layout = layout_of(grid)
        reached = read_reached(pool.folder, layout.digest)
    if reached is not None and not _is_worth(pool, reached, server_time):
        return False
    state = read_model_state(pool.folder, layout.digest) or _nothing(layout)
    samples, offsets = read_new(pool.folder, state.offsets)
    initial = pool.experiment().needs
    if not samples and (state.time_posterior is not None or not initial):
        return False
    positions = find(grid, {sample.task for sample in samples})
    state = with_samples(replace(state, offsets=offsets), grid, samples, positions)
    state = replace(state, censored=_still_open(pool, state.censored), learned=server_time)
    write_model_state(pool.folder, fitted(state, grid, initial, running_tasks(pool)))
    return True


def running_tasks(pool: Pool) -> dict[int, Censored]:
    """Return how long tasks run that are running, at least: until their worker's last heartbeat.

    Of many workers, some: each is a file to read.
    """
    table = pool.table()
    running = table["state"] == TaskState.RUNNING
    owners = np.unique(table["owner"][running])[:MOST_RUNNING]
    found = dict[int, Censored]()
    for owner in owners.tolist():
        name = worker_name(owner)
        record = read_worker_record(pool.folder, name)
        if record is None or record.clock_ahead_s is not None:
            continue  # its times would be those of a clock that is wrong
        try:  # the record was read first: a network file system then asks its server for its times
            beaten = worker_file(pool.folder, "workers", name).stat().st_mtime
        except OSError:
            continue
        for position in np.flatnonzero(running & (table["owner"] == owner)).tolist():
            seconds = beaten - float(table["changed_ms"][position]) / 1000
            if seconds > LEAST_RUNNING_S:
                found[position] = Censored(cores=record.cores, seconds=seconds)
    return found


def _is_worth(pool: Pool, reached: Reached, server_time: float) -> bool:
    new, old = bytes_new(pool.folder, reached.offsets), sum(reached.offsets.values())
    return new > WORTH * old or (new > 0 and server_time - reached.learned >= LATEST_S)


def with_samples(
    state: ModelState | None,
    grid: Grid,
    samples: Sequence[Sample],
    positions: Mapping[str, int],
) -> ModelState:
    """Return the model state with some more attempts, not fitted to them yet.

    Parameters
    ----------
    state : ModelState, optional
        Before; None if nothing was learned yet.
    grid : Grid
        The tasks.
    samples : sequence of Sample
        The attempts.
    positions : mapping of str to int
        Of their tasks.
    """
    layout = layout_of(grid)
    return _add(state or _nothing(layout), grid, layout, samples, positions)


def fitted(
    state: ModelState,
    grid: Grid,
    initial: Iterable["InitialEstimate"] = (),
    running: Mapping[int, Censored] = NO_BOUNDS,
) -> ModelState:
    """Return the model state with what follows from its attempts.

    Parameters
    ----------
    state : ModelState
        With all attempts.
    grid : Grid
        The tasks.
    initial : iterable of InitialEstimate
        What the user expects.
    running : mapping of int to Censored
        Tasks that run, and for how long. Without them, tasks would seem shorter than they are: of
        those that began together, the short ones end first.
    """
    layout = layout_of(grid)
    initial_times, initial_memories = initial_moments(grid, layout, initial)
    known = state.censored
    longer = {task: known.get(task, Censored()).and_more_than(run) for task, run in running.items()}
    censored = {**known, **longer}
    censored_times, censored_memories = _censored_rows(grid, layout, censored)
    time = posterior_of(
        state.times + initial_times, censored_times, prior_of_time(layout), state.time_posterior
    )
    memory = posterior_of(
        state.memories + initial_memories,
        censored_memories,
        prior_of_memory(layout),
        state.memory_posterior,
    )
    errors = _Errors(grid=grid, layout=layout, kept=state.kept)
    return replace(
        state,
        time_posterior=time,
        memory_posterior=memory,
        time_calibration=errors.of("seconds", state.times.n, time, censored_times),
        memory_calibration=errors.of("mb", state.memories.n, memory, censored_memories),
    )


@dataclass(frozen=True, kw_only=True)
class _Errors:
    grid: Grid
    layout: Layout
    kept: Kept

    def of(
        self, amount: str, n_all: float, posterior: Posterior, censored: CensoredRows
    ) -> Calibration:
        least = LEAST_S if amount == "seconds" else LEAST_MB
        kept = self.kept[(self.kept[amount] > 0) & (self.kept["position"] < len(self.grid))]
        rows = self.layout.rows(self.grid.codes[:, kept["position"].astype(np.intp)], kept["cores"])
        amounts = np.maximum(kept[amount], least)
        n_all = max(n_all, float(len(kept)))
        done = Finished(rows=rows, logs=np.log(amounts), rounding=least / amounts, n_all=n_all)
        return calibrated(posterior, done, censored)


def forecast_of(pool: Pool, server_time: float) -> Estimates | None:
    """Return what tasks are expected to take, learned from the newest attempts if possible."""
    _learn_if_possible(pool, server_time)
    return load_estimates(pool, bounds=_bounds_of(pool))


def forecast_of_task(pool: Pool, position: int, server_time: float) -> Estimates | None:
    """Return what one task, and behind it each of its dormant parts, is expected to take.

    The same as in `forecast_of`, which takes seconds for a million tasks.
    """
    _learn_if_possible(pool, server_time)
    positions = [position, *pool.grid.parts.of(position)]
    bounds = {
        place: Censored(seconds=record.core_s or 0.0, memory_mb=record.memory_mb or 0.0)
        for place, record in enumerate(map(pool.record, positions))
        if record.state is not TaskState.DONE and record.bounds & 0xFFFF
    }
    return load_estimates(pool, bounds=bounds, positions=positions)


def _learn_if_possible(pool: Pool, server_time: float) -> None:
    set_umask(pool.info.shared)
    with suppress(OSError, StorageError):  # without permission to write: what the workers learned
        learn(pool, server_time)


def _bounds_of(pool: Pool) -> dict[int, Censored]:
    """Return what the records of tasks that are not done say that they need more than."""
    table = pool.table()
    codes = np.where(table["state"] == TaskState.DONE, 0, table["bounds"] & 0xFFFF)
    positions = np.flatnonzero(codes)
    return {
        position: Censored(
            seconds=amount_of(code >> 8) or 0.0, memory_mb=amount_of(code & 0xFF) or 0.0
        )
        for position, code in zip(positions.tolist(), codes[positions].tolist(), strict=True)
    }


def forget(pool: Pool, chosen: NDArray[np.bool_]) -> None:
    """Forget the bounds of some tasks: the next attempt may go better.

    Parameters
    ----------
    pool : Pool
        The pool.
    chosen : ndarray of shape (n_tasks,), bool
        The tasks.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    state = read_model_state(pool.folder, layout_of(pool.grid).digest)
    if state is not None:
        censored = {place: one for place, one in state.censored.items() if not chosen[place]}
        write_model_state(pool.folder, replace(state, censored=censored))


def _nothing(layout: Layout) -> ModelState:
    none = no_moments(layout.n_columns)
    return ModelState(digest=layout.digest, times=none, memories=none)


@dataclass(slots=True)
class _Finished:
    """Completed attempts, as columns."""

    least: float  # what can be told from nothing
    positions: list[int] = field(default_factory=list)
    cores: list[int] = field(default_factory=list)
    amounts: list[float] = field(default_factory=list)

    def moments(self, grid: Grid, layout: Layout) -> Moments:
        if not self.positions:
            return no_moments(layout.n_columns)
        rows = layout.rows(grid.codes[:, self.positions], np.array(self.cores))
        return moments_of(rows, np.log(np.maximum(self.amounts, self.least)), layout.n_columns)

    def add(self, position: int, cores: int, amount: float) -> None:
        if amount > 0:
            self.positions.append(position)
            self.cores.append(cores)
            self.amounts.append(amount)


def _add(
    state: ModelState,
    grid: Grid,
    layout: Layout,
    samples: Sequence[Sample],
    positions: Mapping[str, int],
) -> ModelState:
    censored = dict(state.censored)
    times, memories, n_done = _Finished(LEAST_S), _Finished(LEAST_MB), 0
    kept = list[tuple[int, int, int, float, float]]()
    units, is_part = grid.parts.units, grid.parts.is_part
    tried = {units[position] for position in censored if not is_part[position]}
    for sample in samples:
        position = positions.get(sample.task)
        if position is None:
            continue
        if sample.cause is not Cause.DONE:
            censored[position] = censored.get(position, Censored()).after(sample)
            if not is_part[position]:
                tried.add(units[position])
            continue
        before = censored.pop(position, None)
        if sample.found:
            continue  # when it ended is not known
        n_done += 1
        # the checkpoint of a whole task that was tried may hold some work of its parts
        if not (is_part[position] and units[position] in tried):
            seconds, memory_mb = whole_seconds(sample, before), sample.peak_memory_mb
            times.add(position, sample.cores, seconds)
            memories.add(position, sample.cores, memory_mb)
            kept.append((draw_of(sample), position, sample.cores, seconds, memory_mb))
    return replace(
        state,
        censored=censored,
        times=state.times + times.moments(grid, layout),
        memories=state.memories + memories.moments(grid, layout),
        n_attempts=state.n_attempts + n_done,
        kept=keep(state.kept, kept),
    )


def _still_open(pool: Pool, censored: Mapping[int, Censored]) -> dict[int, Censored]:
    """Drop tasks that are done: their time and memory are known."""
    done = state_of(pool.index()) == TaskState.DONE
    return {
        position: one
        for position, one in censored.items()
        if position >= len(done) or not done[position]
    }


def _censored_rows(
    grid: Grid, layout: Layout, censored: Mapping[int, Censored]
) -> tuple[CensoredRows, CensoredRows]:
    positions = np.fromiter(censored, np.intp, len(censored))
    cores = np.array([one.cores for one in censored.values()], np.float64)
    rows = layout.rows(grid.codes[:, positions], cores)

    def larger_than(amounts: list[float]) -> CensoredRows:
        least: FloatArray = np.array(amounts, np.float64)
        known = least > 0
        return CensoredRows(rows=rows.take(known), least=np.log(least[known]))

    return (
        larger_than([one.seconds for one in censored.values()]),
        larger_than([one.memory_mb for one in censored.values()]),
    )


def prior_of_time(layout: Layout) -> Prior:
    """Return the prior of the logarithm of wall seconds."""
    mean, sd = _columns(layout)
    mean[INTERCEPT], sd[INTERCEPT] = np.log(60.0), 20.0  # from milliseconds to days
    mean[CORES], sd[CORES] = -0.85, 0.15
    mean[PART], sd[PART] = -np.log(layout.n_parts), 0.3
    return Prior(mean=mean, sd=sd, groups=_groups(layout), noise=0.7)


def prior_of_memory(layout: Layout) -> Prior:
    """Return the prior of the logarithm of the peak memory in MB."""
    mean, sd = _columns(layout)
    mean[INTERCEPT], sd[INTERCEPT] = np.log(1000.0), 6.0
    mean[CORES], sd[CORES] = 0.3, 0.3
    mean[PART], sd[PART] = 0.0, 0.2
    return Prior(mean=mean, sd=sd, groups=_groups(layout), noise=0.5)


def _columns(layout: Layout) -> tuple[FloatArray, FloatArray]:
    mean, sd = np.zeros(layout.n_columns), np.ones(layout.n_columns)
    for term in layout.terms:
        sd[term.start : term.start + term.size] = term.sd
    return mean, sd


def _groups(layout: Layout) -> tuple[slice, ...]:
    return tuple(slice(term.start, term.start + term.size) for term in layout.terms)


def initial_moments(
    grid: Grid, layout: Layout, estimates: Iterable["InitialEstimate"]
) -> tuple[Moments, Moments]:
    """Return the moments of initial estimates, of time and of memory: one observation for each.

    An estimate counts for the mean of the tasks that it selects, whole ones where there are any.
    """
    times = memories = no_moments(layout.n_columns)
    for estimate in estimates:
        chosen = select(grid, estimate.only)
        if layout.part_axis is not None:
            whole = chosen & (grid.codes[layout.part_axis] == 0)
            chosen = whole if whole.any() else chosen
        positions = np.flatnonzero(chosen)
        if len(positions) == 0:
            continue
        step = -(-len(positions) // MOST_ROWS)
        rows = layout.rows(grid.codes[:, positions[::step]])
        middle = np.bincount(rows.columns.ravel(), rows.values.ravel(), layout.n_columns) / len(
            rows
        )
        if estimate.time_s is not None:
            times += _one(middle, estimate.time_s)
        if estimate.memory_gb is not None:
            memories += _one(middle, estimate.memory_gb * 1024)
    return times, memories


def _one(row: FloatArray, amount: float) -> Moments:
    y = float(np.log(amount))
    return Moments(xx=np.outer(row, row), xy=row * y, yy=y * y, n=1.0)
