"""Find out what one task waits for."""

from collections import Counter
from collections.abc import Sequence

from jobpool.disk.files import server_time
from jobpool.experiment.config import Pass
from jobpool.journal.attempts import Attempt, all_attempts, attempts_of
from jobpool.journal.jsonl import worker_name
from jobpool.journal.workers import read_worker_record
from jobpool.liveness.judge import judge
from jobpool.needs.estimates import LIKELY, POSSIBLE
from jobpool.needs.learning import forecast_of
from jobpool.plan.backlog import Forecast
from jobpool.plan.sizes import chance_in, core_hours, usable_s
from jobpool.plan.why import Obstacle, Verdict, Why
from jobpool.plan.work import Interval
from jobpool.pool import Pool
from jobpool.table.records import Record, code_of, fits, offer_of
from jobpool.table.selection import select
from jobpool.table.task_index import find_task
from jobpool.task import TaskState, label


def explain(
    pool: Pool,
    position: int,
    forecast: Forecast | None,
    passes: Sequence[Pass],
    server_time: float,
) -> Why:
    """Return what is known of the task at `position`.

    Parameters
    ----------
    pool : Pool
        The pool.
    position : int
        The task.
    forecast : Forecast, optional
        What tasks are expected to take; None if nothing is known.
    passes : sequence of Pass
        Of the experiment.
    server_time : float
        The file server's clock, by which heartbeats are judged.
    """
    grid, record = pool.grid, pool.record(position)
    worker = worker_name(record.owner)
    runs = record.state is TaskState.RUNNING
    whole = grid.parts.whole_of(position)
    sizes = sorted(passes, key=core_hours)
    return Why(
        folder=pool.folder,
        park_after=pool.info.park_after,
        position=position,
        task=grid.id(position),
        label=label(grid.point(position)),
        record=record,
        worker=worker,
        life=judge(pool, worker, server_time) if runs else None,
        worker_record=read_worker_record(pool.folder, worker) if record.owner else None,
        last=_last_attempt(pool, grid.id(position), worker, record),
        seconds=_interval(forecast, "seconds", position),
        memory_mb=_interval(forecast, "memory_mb", position),
        verdicts=tuple(_verdict(pool, position, record, forecast, one) for one in sizes),
        whole=None if whole is None else (grid.id(whole), pool.record(whole).state),
        parts=Counter(pool.record(part).state for part in grid.parts.of(position)),
        n_waiting=pool.counts()[TaskState.WAITING],
    )


def _last_attempt(pool: Pool, task: str, worker: str, record: Record) -> Attempt | None:
    """Return the newest attempt: of its last worker, else of any, for the dead are written of."""
    if record.fence == 0:
        return None
    own = [one for one in attempts_of(pool.folder, worker) if one.task == task]
    if any(one.fence == record.fence for one in own):
        return max(own, key=lambda one: one.fence)
    every = (one for one in all_attempts(pool.folder) if one.task == task)
    return max(every, key=lambda one: one.fence, default=None)


def _interval(forecast: Forecast | None, amount: str, position: int) -> Interval | None:
    if forecast is None:
        return None
    of = forecast.seconds if amount == "seconds" else forecast.memory_mb
    low, middle, high = (float(of(1, quantile)[position]) for quantile in (0.1, 0.5, 0.9))
    return Interval(middle=middle, low=low, high=high)


def _verdict(
    pool: Pool, position: int, record: Record, forecast: Forecast | None, one: Pass
) -> Verdict:
    chance, of_part, parts = None, 0.0, pool.grid.parts.of(position)
    if forecast is not None:
        chances = chance_in(forecast, one)
        chance = float(chances[position])
        of_part = float(chances[parts].min()) if parts else 0.0
    obstacle = Obstacle.NONE
    if not select(pool.grid, one.only, one.skip)[position]:
        obstacle = Obstacle.SELECTION
    elif chance is not None and chance < LIKELY <= of_part:
        obstacle = Obstacle.WHOLE
    elif code_of(record.memory_mb) >= code_of(one.memory_gb * 1024):
        obstacle = Obstacle.MEMORY
    elif not fits(record.need, offer_of(None, one.cores * usable_s(one.walltime_s))):
        obstacle = Obstacle.TIME
    elif chance is not None and chance < POSSIBLE:
        obstacle = Obstacle.CHANCE
    return Verdict(size=one, obstacle=obstacle, chance=chance)


def why(pool: Pool, task: str) -> Why:
    """Return what is known of a task.

    Parameters
    ----------
    pool : Pool
        The pool.
    task : str
        Its id, or how that begins.

    Raises
    ------
    RequestError
        If there is no such task, or more than one.
    """
    clock = server_time(pool.folder / "workers")
    forecast = forecast_of(pool, clock)
    return explain(
        pool, find_task(pool.folder, pool.grid, task), forecast, pool.experiment().passes, clock
    )
