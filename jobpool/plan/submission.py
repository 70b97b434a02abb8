"""What to submit next, and submitting it, with few calls of the scheduler.

Nothing is kept but ``turns/submit``, which one process at a time locks to count this pool's jobs
and submit more.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jobpool.disk.coordination import ELECTIONS
from jobpool.disk.files import server_time
from jobpool.disk.inside import ensure_file, make_folder
from jobpool.errors import RequestError, SchedulerError, listing, nearest, quoted
from jobpool.execution.health import excluded_nodes
from jobpool.experiment.config import Pass
from jobpool.journal.starts import FailedStart, read_starts, sent_batches, summary
from jobpool.needs.learning import forecast_of
from jobpool.plan.arrays import Plan, Wanted, make_plan
from jobpool.plan.backlog import read_backlog
from jobpool.plan.sending import Sending, send_order, send_orders, trust_options
from jobpool.plan.sizes import within_bounds
from jobpool.plan.unstarted import note_unstarted
from jobpool.pool import Pool
from jobpool.scheduler.base import (
    Limits,
    Order,
    QueuedJob,
    count_queued,
    job_name,
    job_prefix,
)
from jobpool.scheduler.detect import submitting_scheduler, worker_program
from jobpool.table.selection import select
from jobpool.table.settings import set_umask
from jobpool.task import REMAINING, STUCK, TaskState
from jobpool.units import count

USUAL_MAX_ARRAY_SIZE = 1001  # where the scheduler does not say
MOST_UNLAUNCHED = 3  # jobs of a size that nodes could not start: then no further ones are sent


@dataclass(frozen=True, kw_only=True)
class Around:
    """What the scheduler says of the cluster, and of this pool's jobs."""

    limits: Limits | None = None
    queue: "Queue | None" = None
    unknown: str = ""  # why the scheduler said nothing

    @property
    def queued(self) -> Counter[str]:
        """Return how many jobs wait or run, by the name of their size in that of a job."""
        return self.queue.counts if self.queue else Counter()

    @property
    def stuck(self) -> tuple[QueuedJob, ...]:
        """Return the jobs that wait for ever unless a person acts."""
        return self.queue.stuck if self.queue else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The jobs of a pool that the scheduler has."""

    prefix: str  # of their names
    jobs: tuple[QueuedJob, ...]
    labels: frozenset[str] | None = None  # of all jobs of this user, also those of other names

    @property
    def counts(self) -> Counter[str]:
        """Return how many wait or run, by the name of their size in that of a job."""
        return count_queued(self.jobs, self.prefix)

    @property
    def stuck(self) -> tuple[QueuedJob, ...]:
        """Return the jobs that wait for ever unless a person acts."""
        return tuple(one for one in self.jobs if one.stuck)

    def why_closed(self, name: str) -> str:
        """Return why further jobs of a name would wait for ever as well, or an empty text."""
        stuck = [one for one in self.stuck if one.name == name]
        of_size = [one for one in stuck if one.stuck and one.stuck.is_size]
        unlaunched = [one for one in stuck if one.stuck and one.stuck.is_launch]
        found = of_size or (unlaunched if len(unlaunched) >= MOST_UNLAUNCHED else [])
        return stuck_line(found) if found else ""


def stuck_line(jobs: Sequence[QueuedJob]) -> str:
    """Return in one line which jobs wait for ever, and why."""
    reasons = Counter(one.stuck.why for one in jobs if one.stuck)
    why = "; ".join(f"{count(n, 'job')} stuck, {reason}" for reason, n in reasons.most_common())
    return f"{why}: {listing((one.label for one in jobs), most=3)}"


@contextmanager
def alone(pool: Pool) -> Iterator[None]:
    """Let one process at a time count this pool's jobs and submit more."""
    set_umask(pool.info.shared)
    path = pool.folder / ELECTIONS / "submit"
    make_folder(path.parent)
    ensure_file(path)
    with pool.locked(path):
        yield


def look_around(pool: Pool, *, must: bool, queue: Queue | None = None) -> Around:
    """Ask the scheduler what it allows, and what of ours it has unless that is known.

    Where it must be there and does not answer, an error is raised.
    """
    try:
        known = queue_of(pool) if queue is None else queue
        if must:
            note_unstarted(pool, known.jobs, server_time(pool.folder / "workers"))
        return Around(queue=known, limits=submitting_scheduler().limits())
    except SchedulerError as error:
        if must:
            what = "nothing was submitted; run this where the scheduler's commands work"
            raise SchedulerError(f"{error}\n{what}") from error
        return Around(unknown=_in_a_line(error))


def _in_a_line(error: SchedulerError) -> str:
    return " ".join(str(error).splitlines()[:2])  # what was run, and what it said


def queue_of(pool: Pool) -> Queue:
    """Return the jobs of a pool that the scheduler has."""
    prefix = job_prefix(pool.folder, pool.info.name)
    jobs = submitting_scheduler().queued(pool.folder, prefix)
    return Queue(
        prefix=prefix,
        jobs=tuple(one for one in jobs if one.name.startswith(prefix)),
        labels=frozenset(one.label for one in jobs),
    )


def queued_of(pool: Pool) -> Counter[str]:
    """Return how many jobs of this pool wait or run, by the name of their size in that of a job."""
    return queue_of(pool).counts


def plan_of(pool: Pool, jobs: int, *, must_ask: bool = False) -> tuple[Plan, Around]:
    """Return what to submit next, and what the scheduler said.

    Parameters
    ----------
    pool : Pool
        The pool.
    jobs : int
        Jobs in the queue at one time, of all sizes.
    must_ask : bool
        Whether a scheduler that does not answer is an error.
    """
    waits = pool.counts()[TaskState.WAITING]  # else there is nothing to ask the scheduler for
    around = look_around(pool, must=must_ask) if waits else Around()
    return make(pool, around, jobs), around


def make(pool: Pool, around: Around, jobs: int, *, keep_full: bool = False) -> Plan:
    """Return what to submit next, as the scheduler is."""
    clock, experiment = server_time(pool.folder / "workers"), pool.experiment()

    def refusal(one: Pass) -> str | None:
        return around.limits.refusal(one) if around.limits else None

    running = None
    if around.queue is not None:
        running = around.queue.labels
    starts = read_starts(pool.folder, clock, running)
    queue = around.queue

    def why_closed(one: Pass) -> str:
        name = job_name(job_prefix(pool.folder, pool.info.name), one.name)
        return starts.refusal(name) or (queue.why_closed(name) if queue else "")

    return make_plan(
        pool.grid,
        read_backlog(pool, clock),
        forecast_of(pool, clock),
        experiment.passes,
        refusal,
        Wanted(
            # jobs that are stuck do not count, but nobody wants ever more of them
            most=max(min(jobs, 2 * jobs - len(around.stuck)), 0),
            queued=around.queued,
            keep_full=keep_full,
            why_closed=why_closed,
        ),
    )


def send(pool: Pool, made: Plan, around: Around, sending: Sending) -> tuple[str, ...]:
    """Submit the arrays of a plan, and return the ids of the jobs.

    Raises
    ------
    SchedulerError
        When all are through, if one was refused, or if tasks wait for a size that is.
    """
    most = around.limits.max_array_size if around.limits else USUAL_MAX_ARRAY_SIZE
    orders = [_order(pool, one.size, one.jobs, sending) for one in made.arrays if one.jobs]
    outcome = send_orders(pool, orders, most, sending)
    if not sending.dry_run:
        step = f"see: jobpool plan {quoted(pool.folder)}"
        outcome.refused += [f"pass {name} waits, {why}; {step}" for name, why in made.waits]
    return outcome.ended()


def top_up(pool: Pool, most: int, sending: Sending) -> tuple[str, ...]:
    """Submit so many jobs that this pool has `most` in the queue, as far as there is work.

    Returns
    -------
    tuple of str
        The ids of the jobs.
    """
    pool = pool.trusting(sending.trust)  # a pass may hold any option of the scheduler
    if nothing := _why_nothing(pool):
        sending.say(f"{pool.folder}: {nothing}")
        return ()
    with alone(pool):
        queue = None if sending.dry_run else queue_of(pool)
        if queue and queue.stuck:
            sending.say(f"{pool.folder}: {stuck_line(queue.stuck)}")
        if queue and (n_queued := queue.counts.total()) >= most:
            sending.say(f"{pool.folder}: enough with {count(n_queued, 'job')} in the queue")
            return ()
        around = look_around(pool, must=not sending.dry_run, queue=queue)
        if around.unknown:
            sending.say(f"jobs in the queue are not counted: {around.unknown}")
        made = make(pool, around, most, keep_full=True)
        if not made.n_jobs:
            what = f"nothing to submit: {count(made.n_queued, 'job')} in the queue"
            sending.say(f"{pool.folder}: {what}, {count(made.backlog.n_waiting, 'task')} waiting")
        return send(pool, made, around, sending)


def _why_nothing(pool: Pool) -> str:
    """Return why no job is of use, empty if one is."""
    counts = pool.counts()
    if sum(counts[state] for state in REMAINING):
        return ""
    kept = [f"{counts[state]:,} {state.word}" for state in sorted(STUCK)]
    if not sum(counts[state] for state in STUCK):
        return "nothing is left to do"
    return f"nothing waits; {' and '.join(kept)}: see jobpool status {quoted(pool.folder)}"


def submit_pass(
    pool: Pool,
    name: str,
    jobs: int,
    sending: Sending,
    *,
    only: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Submit workers with the resources and the selection of a pass, and return the job ids.

    Parameters
    ----------
    pool : Pool
        The pool.
    name : str
        Of the pass.
    jobs : int
        Workers; no more are submitted than tasks wait for them.
    sending : Sending
        How.
    only, skip : tuple of str
        Narrow the selection of the pass.

    Raises
    ------
    RequestError
        If there is no such pass, or no task waits for it.
    """
    pool = pool.trusting(sending.trust)  # a pass may hold any option of the scheduler
    one = find_pass(pool, name)
    one = replace(one, only=(*one.only, *only), skip=(*one.skip, *skip))
    n_jobs = min(jobs, _count_free(pool, one, jobs, sending.say))
    order = _order(pool, one, n_jobs, sending)
    if sent_batches(pool.folder) and not sending.dry_run:
        note_unstarted(pool, queue_of(pool).jobs, server_time(pool.folder / "workers"))
    return send_order(pool, order, max_array_size_here(sending), sending)


def _order(pool: Pool, one: Pass, jobs: int, sending: Sending) -> Order:
    folder = pool.folder.resolve()
    return Order(
        size=one,
        jobs=jobs,
        pool=folder,
        name=job_name(job_prefix(folder, pool.info.name), one.name),
        program=worker_program(),
        arguments=trust_options(sending.trust),
        without_nodes=tuple({**excluded_nodes(folder, time.time()), **_unfit_nodes(pool, sending)}),
    )


def _unfit_nodes(pool: Pool, sending: Sending) -> dict[str, tuple[FailedStart, ...]]:
    """Return the nodes where jobs cannot start, though they do on others, and name them."""
    bad = read_starts(pool.folder, server_time(pool.folder / "workers")).bad_nodes()
    for node, failed in sorted(bad.items()):
        sending.say(f"without node {node}: {summary(failed)}")
    return bad


def find_pass(pool: Pool, name: str) -> Pass:
    """Return a pass of the pool's experiment; one that is not there is an error."""
    passes = {one.name: one for one in pool.experiment().passes}
    if name not in passes:
        known = listing(passes) if passes else "none; add some to its experiment.yaml under passes"
        what = f"its experiment has no pass {name!r}; passes: {known}{nearest(name, passes)}"
        raise RequestError(pool.folder, what)
    return passes[name]


def _count_free(pool: Pool, one: Pass, jobs: int, say: Callable[[str], None]) -> int:
    """Return how many tasks wait for such workers; more workers would leave at once."""
    backlog = read_backlog(pool, server_time(pool.folder / "workers"))
    waiting = backlog.waiting & select(pool.grid, one.only, one.skip)
    free = int((waiting & within_bounds(backlog, one)).sum())
    if free == 0:
        what = f"no task waits for workers of pass {one.name!r}; nothing was submitted"
        if n_larger := int(waiting.sum()):
            what += f": {count(n_larger, 'task')} had too little with as much as it has"
            raise RequestError(
                pool.folder, f"{what}; larger jobs: jobpool plan {quoted(pool.folder)}"
            )
        raise RequestError(pool.folder, f"{what}; see: jobpool status {quoted(pool.folder)}")
    if free < jobs:
        n_larger = int(waiting.sum()) - free
        more = f" ({n_larger:,} for larger jobs)" if n_larger else ""
        what = f"only {count(free, 'task')} waiting{more}"
        say(f"{what}: {count(free, 'job')} instead of {jobs:,}")
    return free


def max_array_size_here(sending: Sending) -> int:
    """Ask the controller once; what is only shown can be shown without a scheduler."""
    try:
        return submitting_scheduler().max_array_size()
    except SchedulerError as error:
        if not sending.dry_run:
            raise
        what = f"arrays of at most {USUAL_MAX_ARRAY_SIZE} jobs assumed"
        sending.say(f"{what}: {_in_a_line(error)}")
        return USUAL_MAX_ARRAY_SIZE
