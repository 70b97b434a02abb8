"""Submitting jobs as far as the scheduler takes them, and saying what it did not take.

Nothing is kept. A size that is refused does not stop the others; what was refused is raised when
all are through, with the jobs that were submitted.
"""

import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobpool.disk.files import server_time
from jobpool.errors import RequestError, SchedulerError, SchedulerMissingError, quoted
from jobpool.journal.starts import note_sent, read_starts
from jobpool.plan.trial import try_tasks
from jobpool.pool import Pool
from jobpool.scheduler.base import POLITE, NoRoomError, Order, Scheduler, Submission
from jobpool.scheduler.detect import submitting_scheduler
from jobpool.table.settings import set_umask
from jobpool.units import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How jobs are submitted, and who hears of it."""

    show: Callable[[str], None]  # given each command, before it is run
    say: Callable[[str], None]  # given the ids of jobs, and what is not as asked
    trust: tuple[str, ...] = ()  # users whose pools may be run
    dry_run: bool = False  # show the commands only


def trust_options(users: Collection[str]) -> tuple[str, ...]:
    """Return the options of a worker that trusts these users."""
    return tuple(word for user in users for word in ("--trust", user))


@dataclass(slots=True)
class Outcome:
    """What became of several orders."""

    job_ids: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # one reason each

    def ended(self) -> tuple[str, ...]:
        """Return the ids of the jobs, unless something was refused.

        Raises
        ------
        SchedulerError
            With every refusal.
        """
        if self.refused:
            said = f"\nsubmitted: {' '.join(self.job_ids)}" if self.job_ids else ""
            raise SchedulerError("\n".join(self.refused) + said)
        return tuple(self.job_ids)


def send_orders(
    pool: Pool, orders: Sequence[Order], max_array_size: int, sending: Sending
) -> Outcome:
    """Send each of several orders as far as possible.

    Raises
    ------
    SchedulerMissingError
        If this machine has no scheduler.
    RequestError
        If tasks cannot be run in such jobs.
    """
    outcome = Outcome()
    if orders:
        _try_first(pool, orders[0], sending)
    for order in orders:
        try:
            _send(pool, order, max_array_size, sending, outcome)
        except SchedulerMissingError:
            raise
        except (SchedulerError, RequestError) as error:
            outcome.refused.append(f"{order.size.name}: {error.message}")
    return outcome


def send_order(pool: Pool, order: Order, max_array_size: int, sending: Sending) -> tuple[str, ...]:
    """Show the commands of an order, run them, and return the ids of the jobs.

    Raises
    ------
    RequestError
        If such jobs could not start before, or tasks cannot be run in them.
    SchedulerError
        If not all jobs were taken; it names those that were.
    """
    outcome = Outcome()
    _try_first(pool, order, sending)
    try:
        _send(pool, order, max_array_size, sending, outcome)
    except SchedulerError as error:
        if not outcome.job_ids:
            raise
        raise SchedulerError(f"{error}\nsubmitted: {' '.join(outcome.job_ids)}") from error
    return outcome.ended()


def _try_first(pool: Pool, order: Order, sending: Sending) -> None:
    trial = None if sending.dry_run else submitting_scheduler().trial(order)
    if trial is not None:
        try_tasks(pool, trial, sending.say)


def _send(
    pool: Pool, order: Order, max_array_size: int, sending: Sending, outcome: Outcome
) -> None:
    scheduler = submitting_scheduler()
    if not sending.dry_run:
        _refuse_after_failed_starts(pool, order)
        set_umask(pool.info.shared)  # the scheduler hands it on to the job
    if note := scheduler.note():
        sending.say(note)
    left = order.jobs
    for one in scheduler.submissions(order, max_array_size):
        sending.show(shlex.join(one.command))
        if sending.dry_run:
            continue
        unfitted, why = _fit(pool.folder, order, one, sending, outcome)
        left -= one.jobs - unfitted
        if why is not None:  # there is no room for the other arrays either
            what = f"{order.size.name}: {count(left, 'job')} of {order.jobs:,} not submitted"
            outcome.refused.append(f"{what}: {why.message}")
            return


def _fit(
    pool: Path, order: Order, whole: Submission, sending: Sending, outcome: Outcome
) -> tuple[int, NoRoomError | None]:
    """Submit as many jobs as there is room for, fewer after each refusal.

    Returns
    -------
    tuple of int and NoRoomError
        How many are left, and why.
    """
    scheduler = submitting_scheduler()
    left, most, one, why = whole.jobs, whole.jobs, whole, None
    while True:
        try:
            (job_id,) = scheduler.submit([one])
        except NoRoomError as error:
            why, most = error, one.jobs // 2
        else:
            outcome.job_ids.append(job_id)
            note_sent(pool, job_id, one.name, one.jobs)
            sending.say(f"submitted job {job_id}")
            left -= one.jobs
        most = min(most, left)
        if not most:
            return left, why if left else None
        one = _smaller(scheduler, order, most)
        sending.show(shlex.join(one.command))


def _smaller(scheduler: Scheduler, order: Order, jobs: int) -> Submission:
    """Return the submission of fewer jobs, of which no larger part runs at one time."""
    at_once = order.size.max_running or (POLITE if order.jobs > POLITE else None)
    if at_once is not None:
        at_once = max(at_once * jobs // order.jobs, 1)
    size = replace(order.size, max_running=at_once)
    return scheduler.submissions(replace(order, jobs=jobs, size=size), jobs)[0]


def _refuse_after_failed_starts(pool: Pool, order: Order) -> None:
    starts = read_starts(pool.folder, server_time(pool.folder / "workers"))
    if failed := starts.refusal(order.name):
        what = f"no job of {order.size.name} is sent: {failed}"
        raise RequestError(pool.folder, f"{what}; {after_failed_starts(pool.folder)}")


def after_failed_starts(pool: Path) -> str:
    """Return what a person does when jobs cannot start."""
    folder = quoted(pool)
    return f"see jobpool errors {folder}, correct it, then: jobpool release {folder} --starts"
