"""What one task waits for: all that the pool knows of it, as a record and as text.

An answer reads the pool and changes nothing; the scheduler is not asked.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import assert_never

from jobpool.disk.files import server_time
from jobpool.errors import as_typed, quoted
from jobpool.experiment.config import Pass
from jobpool.journal.attempts import Attempt, attempts_about
from jobpool.journal.jsonl import worker_name
from jobpool.journal.starts import FailedStart, read_starts, summary
from jobpool.journal.workers import WorkerRecord, read_worker_record
from jobpool.liveness.judge import Life, judge
from jobpool.needs.estimates import LIKELY, POSSIBLE
from jobpool.needs.learning import forecast_of_task
from jobpool.needs.work import Interval
from jobpool.plan.backlog import Forecast
from jobpool.plan.sizes import chance_in, core_hours, usable_s
from jobpool.pool import Pool
from jobpool.table.records import PATIENCE, Record, code_of, fits, limits_of
from jobpool.table.selection import select
from jobpool.table.task_index import find_task
from jobpool.task import Cause, TaskState, label
from jobpool.units import count, duration, local_time, memory, short_duration


class Obstacle(Enum):
    """Why the workers of a pass do not take a task."""

    NONE = auto()
    WHOLE = auto()  # they split it: too long for them as a whole, but not in parts
    SELECTION = auto()
    MEMORY = auto()  # what they have was too little before
    TIME = auto()
    CHANCE = auto()  # it is unlikely to finish there


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the workers of a pass take a task."""

    size: Pass
    obstacle: Obstacle
    chance: float | None  # that it finishes there; None if nothing is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """All that is known of one task; as text, it is what ``jobpool why`` shows."""

    folder: Path  # of the pool
    park_after: int  # the same error so often in a row parks a task
    position: int
    task: str
    label: str
    record: Record
    worker: str  # of the last claim
    life: Life | None  # of that worker, while the task runs
    worker_record: WorkerRecord | None
    last: Attempt | None  # the newest attempt
    seconds: Interval | None  # on one core
    memory_mb: Interval | None
    verdicts: tuple[Verdict, ...]  # the cheapest pass first
    whole: tuple[str, TaskState] | None  # the task that this one is a dormant part of
    parts: Mapping[TaskState, int]  # where the parts of a whole task stand
    n_waiting: int  # tasks of the pool that wait
    failed_starts: tuple[FailedStart, ...]  # jobs of the pool that could not start

    def __str__(self) -> str:
        details = [f"  {line}" for line in _details(self)]
        return "\n".join([f"{self.task}  {self.label}", _headline(self), *details])


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
    position = find_task(pool.folder, pool.grid, task, pool.offered())
    # of a task for which nothing is left to do, nothing is expected: learning may take seconds
    is_settled = pool.record(position).state.settled
    forecast = None if is_settled else forecast_of_task(pool, position, clock)
    places = range(1 + len(pool.grid.parts.of(position)))
    return explain(pool, position, forecast, pool.experiment().passes, clock, places)


def explain(
    pool: Pool,
    position: int,
    forecast: Forecast | None,
    passes: Sequence[Pass],
    server_time: float,
    places: Sequence[int] | None = None,
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
    places : sequence of int, optional
        Where the task, and then its dormant parts, stand in the forecast; by default as in the
        pool.
    """
    places = (position, *pool.grid.parts.of(position)) if places is None else places
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
        seconds=_estimated(forecast, "seconds", places[0]),
        memory_mb=_estimated(forecast, "memory_mb", places[0]),
        verdicts=tuple(_verdict_on(pool, position, forecast, places, one) for one in sizes),
        whole=None if whole is None else (grid.id(whole), pool.record(whole).state),
        parts=Counter(pool.record(part).state for part in grid.parts.of(position)),
        n_waiting=pool.counts()[TaskState.WAITING],
        failed_starts=read_starts(pool.folder, server_time).open(),
    )


def _last_attempt(pool: Pool, task: str, worker: str, record: Record) -> Attempt | None:
    """Return the newest attempt: of its last worker, else of any that wrote it for a dead one."""
    if record.fence == 0:
        return None
    own = attempts_about(pool.folder, task, [worker])
    if any(one.fence == record.fence for one in own):
        return own[-1]
    every = attempts_about(pool.folder, task)
    return every[-1] if every else None


def _estimated(forecast: Forecast | None, amount: str, position: int) -> Interval | None:
    if forecast is None:
        return None
    of = forecast.seconds if amount == "seconds" else forecast.memory_mb
    low, middle, high = (float(of(1, quantile)[position]) for quantile in (0.1, 0.5, 0.9))
    return Interval(middle=middle, low=low, high=high)


def _verdict_on(
    pool: Pool, position: int, forecast: Forecast | None, places: Sequence[int], one: Pass
) -> Verdict:
    record, chance, of_part = pool.record(position), None, 0.0
    is_guess = forecast is None or bool(forecast.vague()[places[0]])
    if forecast is not None:
        chances = chance_in(forecast, one)
        chance = float(chances[places[0]])
        of_part = float(chances[list(places[1:])].min()) if len(places) > 1 else 0.0
    obstacle = Obstacle.NONE
    if not select(pool.grid, one.only, one.skip)[position]:
        obstacle = Obstacle.SELECTION
    elif chance is not None and chance < LIKELY <= of_part:
        obstacle = Obstacle.WHOLE
    elif code_of(record.memory_mb) >= code_of(one.memory_gb * 1024):
        obstacle = Obstacle.MEMORY
    elif not fits(record.bounds, limits_of(None, one.cores * usable_s(one))):
        obstacle = Obstacle.TIME
    elif chance is not None and chance < POSSIBLE and not is_guess:
        obstacle = Obstacle.CHANCE
    return Verdict(size=one, obstacle=obstacle, chance=chance)


def _headline(found: Why) -> str:
    """Say in one line what the task waits for."""
    state, folder = found.record.state, found.folder
    match state:
        case TaskState.WAITING:
            return _waits_for(folder, found)
        case TaskState.RUNNING:
            return _runs(found)
        case TaskState.DONE:
            return f"done{_by_whom(found)}; its row is in: jobpool collect {quoted(folder)}"
        case TaskState.PARKED:
            what = f"parked: {_why_parked(found)}"
            return f"{what}; when that is fixed: {as_typed('jobpool', 'retry', folder, found.task)}"
        case TaskState.HELD:
            step = as_typed("jobpool", "release", folder, found.task)
            return f"held back by a person; to let it go: {step}"
        case TaskState.SUPERSEDED:
            return _superseded_line(folder, found)
        case _:
            assert_never(state)


def _why_parked(found: Why) -> str:
    record = found.record
    if record.cause is Cause.STORAGE:
        return f"a disk failed it {record.same} times in a row, with the same error"
    if record.same >= found.park_after or record.attempts < 2:
        return f"it ended with the same error {max(record.same, 1)} times in a row"
    return f"{record.attempts} attempts failed, the last ones with different errors"


def _waits_for(folder: Path, found: Why) -> str:
    can = {Obstacle.NONE, Obstacle.WHOLE}
    takers = [one.size.name for one in found.verdicts if one.obstacle in can]
    bound = _bound(found)
    if not found.verdicts:
        first = f"waits for a worker with {bound}" if bound else "waits for its turn"
        return f"{first}; the experiment has no passes: see jobpool plan {quoted(folder)}"
    if not takers and all(one.obstacle is Obstacle.SELECTION for one in found.verdicts):
        return "waits for a worker without a selection: no pass takes it"
    if not takers:
        what = f"more than any pass has ({bound})" if bound else "more than any pass has"
        return f"waits for a worker with {what}; a larger size: jobpool plan {quoted(folder)}"
    first = f"waits for its turn among {count(found.n_waiting, 'task')}: any worker"
    if bound:
        first = f"waits for a worker with {bound}: one"
    step = as_typed("jobpool", "submit", folder, "--pass", takers[0])
    return f"{first} of pass {takers[0]} can take it ({step})"


def _bound(found: Why) -> str:
    """Return what was too little before, empty if nothing was."""
    record, words = found.record, []
    if record.memory_mb is not None:
        words.append(f"more than {memory(record.memory_mb)}")
    if record.core_s is not None:
        words.append(f"more than {duration(record.core_s)} on one core")
    return " or ".join(words)


def _runs(found: Why) -> str:
    since = duration(max(time.time() - found.record.changed_ms / 1000, 0.0))
    match found.life:
        case Life.DEAD:
            end = "; that worker is dead: the task will be requeued"
        case Life.UNKNOWN:
            end = "; it is unknown whether that worker is alive"
        case _:
            end = ""
    return f"runs for {since}{_by_whom(found)}{end}"


def _by_whom(found: Why) -> str:
    if not found.record.owner:
        return ""
    worker_record = found.worker_record
    where = f" on {worker_record.node or worker_record.host}" if worker_record else ""
    job = f", job {worker_record.job}" if worker_record and worker_record.job else ""
    return f" by worker {found.worker}{where}{job}"


def _superseded_line(folder: Path, found: Why) -> str:
    if found.whole is not None:
        task, state = found.whole
        return (
            f"the whole task {task} stands for this part, and is {state.word}: "
            f"jobpool why {quoted(folder)} {quoted(task)}"
        )
    n_done, n_all = found.parts.get(TaskState.DONE, 0), sum(found.parts.values())
    words = [
        f"{n} {state.word}"
        for state, n in sorted(found.parts.items())
        if state is not TaskState.DONE
    ]
    rest = f" ({', '.join(words)})" if words else ""
    return f"too long as a whole: its parts stand for it, {n_done} of {n_all} are done{rest}"


def _details(found: Why) -> list[str]:
    """Return what is known of the task, a line each."""
    lines = []
    if found.record.attempts:
        after = found.park_after
        lines.append(
            f"{count(found.record.attempts, 'attempt')} failed; the same error {after} times in "
            f"a row parks it, or {PATIENCE * after} failures"
        )
    if found.record.accepted is not None:
        lines.append(_accepted(found.record.accepted))
    lines += _last(found)
    if found.record.state.settled:
        return lines
    if found.failed_starts:
        lines.append(f"{summary(found.failed_starts)}: jobpool errors {quoted(found.folder)}")
    if found.seconds is None or found.memory_mb is None:
        lines.append("how long tasks take is not known yet")
    else:
        shown = _interval(found.seconds, duration), _interval(found.memory_mb, memory)
        lines.append(f"expected on one core: {shown[0]}, {shown[1]}")
    lines += [_verdict(one) for one in found.verdicts]
    return lines


def _accepted(record: Record) -> str:
    when, who = local_time(record.changed_ms / 1000), worker_name(record.owner)
    what = f"is being rerun: its result of {when}, by worker {who}, counts until a new one is"
    return f"{what} accepted"


def _interval(one: Interval, show: Callable[[float], str]) -> str:
    return f"{show(one.middle)} ({show(one.low)} to {show(one.high)})"


def _last(found: Why) -> list[str]:
    last = found.last
    if last is None:
        return []
    what = f"last attempt: {last.cause}"
    if last.seconds is not None:
        what += f" after {duration(last.seconds)}"
    what += f", {local_time(last.ended)}"
    if last.node:
        what += f", on {last.node}"
    return [f"{what}: {last.error}" if last.error else what]


def _verdict(one: Verdict) -> str:
    size = one.size
    likely = "" if one.chance is None else f": finishes there with a chance of {one.chance:.0%}"
    has = f"{size.cores} x {short_duration(size.walltime_s)}"
    words = {
        Obstacle.NONE: f"can take it{likely}",
        Obstacle.WHOLE: "splits it: too long there as a whole, but not in parts",
        Obstacle.SELECTION: "does not select it",
        Obstacle.MEMORY: f"too small: has {memory(size.memory_gb * 1024)}, that was too little",
        Obstacle.TIME: f"too short: has {has} of time, that was too little",
        Obstacle.CHANCE: "too small: unlikely to finish there, judging by other tasks",
    }
    return f"pass {size.name}: {words[one.obstacle]}"
