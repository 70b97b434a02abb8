"""A pool as a notebook has it: made, opened, run, and its tasks held, released and retried.

This process's umask is left as it was, whatever files are made.
"""

import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.admin.create import create_pool, free_to_make
from jobpool.admin.transitions import choose, hold, release, rerun, retry
from jobpool.api.given import (
    Selection,
    at_least_one,
    conditions,
    config_file,
    own_errors,
    task_ids,
    umask_kept,
)
from jobpool.api.view import PoolView
from jobpool.errors import RequestError, SelectionError, StartError
from jobpool.execution.health import excluded_nodes, readmit_node
from jobpool.execution.local import LocalRun, LocalSettings, LocalWorkers
from jobpool.needs.learning import forget
from jobpool.plan.arrays import USUAL_JOBS
from jobpool.plan.sending import Sending
from jobpool.plan.submission import submit_pass, top_up
from jobpool.pool import Pool as OpenedPool
from jobpool.runners import load_study
from jobpool.runners.base import prepare
from jobpool.table.arrays import n_counted
from jobpool.table.settings import set_umask
from jobpool.task import TaskState

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What was submitted to the scheduler."""

    commands: tuple[str, ...]  # as they were run, or would be
    jobs: tuple[str, ...]  # ids
    notes: tuple[str, ...]  # further messages of the command

    def __str__(self) -> str:
        return "\n".join([*self.commands, *self.notes])


class Pool(PoolView):
    """A pool: its tasks, the state of each, and the results.

    `only` and `skip` of the methods select tasks: a condition such as ``"pipeline=svm"`` or
    ``"parcels>=400"``, a list of conditions that must all hold, or a dict of values by axis,
    ``{"pipeline": ["svm", "lgbm"], "fold": 0}``. A method that needs the disk, the scheduler or
    a task that is not there raises a `JobpoolError` that says what to do next.

    Parameters
    ----------
    folder : str or Path
        The pool's folder.

    Raises
    ------
    RequestError
        If the folder is no pool.
    PoolError
        If the pool is damaged, or of a newer format.

    Examples
    --------
    >>> import tempfile
    >>> from jobpool import init
    >>> axes = {"y1": [1900, 1950], "y2": [2000, 2025]}
    >>> config = {"runner": "function", "function": {"call": "calendar:leapdays"}, "axes": axes}
    >>> pool = init(config, tempfile.mkdtemp() + "/leap")
    >>> pool.hold(only={"y1": 1950})
    2
    >>> [task.state for task in pool]
    ['waiting', 'waiting', 'held', 'held']
    >>> pool.status(only="y2=2000").counts.held
    1
    """

    @own_errors
    def run(
        self,
        workers: int = 1,
        *,
        cores: int = 1,
        only: Selection = None,
        skip: Selection = None,
        trust: Collection[str] = (),
        progress: bool = False,
    ) -> LocalRun:
        """Run the tasks with workers on this machine, and return when these have left.

        Workers are programs of their own: this works in a notebook, and in a script without ``if
        __name__ == "__main__"``. They find the modules that this process finds. An interrupt
        returns the tasks in hand to the pool. Their logs lie in ``logs/local``.

        Parameters
        ----------
        workers : int
            How many.
        cores : int
            Cores of each.
        only, skip : selection
            The tasks; see `Pool`.
        trust : collection of str
            Users whose pools may be run here, beside one's own.
        progress : bool
            Show progress on standard error.

        Returns
        -------
        LocalRun
            How many of the selected tasks are done, and why the workers left.

        Raises
        ------
        StartError
            If a worker failed; it names its log.
        """
        settings = LocalSettings(
            workers=at_least_one("workers", workers),
            cores=at_least_one("cores", cores),
            only=conditions(only),
            skip=conditions(skip),
            trust=tuple(trust),
            environment=_environment_of_workers(),
        )
        with umask_kept():
            local = LocalWorkers(self._opened(), settings)
            try:
                local.start()
                local.watch(_show_progress if progress else lambda _: None)
            finally:
                local.stop()
        ended = local.ended()
        if progress:
            sys.stderr.write("\n")
        for one in ended.failed:
            raise StartError(f"a worker failed: {one.said}; its log: {one.log}")
        return ended

    @own_errors
    def submit(
        self,
        pass_name: str | None = None,
        jobs: int | None = None,
        *,
        only: Selection = None,
        skip: Selection = None,
        trust: Collection[str] = (),
        dry_run: bool = False,
    ) -> Submitted:
        """Submit workers to the scheduler, as throttled arrays of jobs.

        Parameters
        ----------
        pass_name : str, optional
            The pass that says their resources and selection. Without one, the queue is topped up
            with what `plan` says: ``submit --keep-full``.
        jobs : int, optional
            Workers, 1 if not given; without a pass: in the queue at one time, 200 if not given.
        only, skip : selection
            Narrow the selection of the pass; see `Pool`.
        trust : collection of str
            Users whose pools may be run, beside one's own.
        dry_run : bool
            Return the commands only.

        Raises
        ------
        RequestError
            If there is no such pass, or no task waits for it.
        SchedulerError
            If the scheduler is not there, or refuses.
        """
        shown: list[str] = []
        said: list[str] = []
        sending = Sending(show=shown.append, say=said.append, trust=tuple(trust), dry_run=dry_run)
        pool, selection = self._opened(), {"only": conditions(only), "skip": conditions(skip)}
        if pass_name is None and any(selection.values()):
            raise RequestError(self.folder, "a selection is for a pass; name the pass")
        usual = USUAL_JOBS if pass_name is None else 1
        n_jobs = usual if jobs is None else at_least_one("jobs", jobs)
        with umask_kept():
            if pass_name is None:
                job_ids = top_up(pool, n_jobs, sending)
            else:
                job_ids = submit_pass(pool, pass_name, n_jobs, sending, **selection)
        return Submitted(commands=tuple(shown), jobs=job_ids, notes=tuple(said))

    @own_errors
    def hold(
        self,
        *tasks: str,
        only: Selection = None,
        skip: Selection = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Keep waiting tasks back from workers, and return how many; see `release`.

        Parameters
        ----------
        *tasks : str
            Ids, or how they begin.
        only, skip : selection
            The tasks; see `Pool`.
        everything : bool
            Hold all waiting tasks; needed where neither ids nor a selection is given.
        dry_run : bool
            Count only.
        """
        with self._moving(tasks, only, skip, everything) as (pool, chosen):
            return hold(pool, chosen, dry_run=dry_run)

    @own_errors
    def rerun(
        self,
        *tasks: str,
        only: Selection = None,
        skip: Selection = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Return finished tasks to the pool to be computed again, and return how many.

        The result of each counts until a new one is accepted; ``results(fresh=True)`` leaves it
        out. Parameters as of `hold`.
        """
        with self._moving(tasks, only, skip, everything) as (pool, chosen):
            return rerun(pool, chosen, dry_run=dry_run)

    @own_errors
    def release(
        self,
        *tasks: str,
        only: Selection = None,
        skip: Selection = None,
        node: str | None = None,
        dry_run: bool = False,
    ) -> int:
        """Let tasks that were held wait for workers again, and return how many.

        Parameters as of `hold`; without any, all held tasks.

        Parameters
        ----------
        node : str, optional
            Let workers run on this excluded node again, and release no task; returns how many
            nodes that are, 1 or 0.
        """
        if node is not None and (tasks or only or skip):
            raise RequestError(node, "a node goes without tasks; release them by another call")
        with self._moving(tasks, only, skip) as (pool, chosen):
            if node is None:
                return release(pool, chosen, dry_run=dry_run)
            if dry_run:
                return int(node in excluded_nodes(pool.folder, time.time()))
            return int(readmit_node(pool.folder, node))

    @own_errors
    def retry(
        self,
        *tasks: str,
        only: Selection = None,
        skip: Selection = None,
        failed: bool = False,
        forget_needs: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Let parked tasks wait for workers again as if they had never failed; return how many.

        Parameters
        ----------
        *tasks : str
            Ids, or how they begin; all if none is given.
        only, skip : selection
            The tasks; see `Pool`.
        failed : bool
            Also forget the failures of tasks that wait already.
        forget_needs : bool
            Also forget how much memory and time was not enough for them.
        dry_run : bool
            Count only.
        """
        with self._moving(tasks, only, skip) as (pool, chosen):
            moved = retry(pool, chosen, failed=failed, forget_needs=forget_needs, dry_run=dry_run)
            if forget_needs and not dry_run:
                forget(pool, chosen)
            return moved

    @contextmanager
    def _moving(
        self,
        tasks: tuple[str, ...],
        only: Selection,
        skip: Selection,
        everything: bool = True,
    ) -> Iterator[tuple[OpenedPool, Mask]]:
        """Yield the pool and the chosen tasks, with the pool's umask."""
        if not (tasks or only or skip or everything):
            raise SelectionError("", "say which tasks: ids, only= or skip=; or everything=True")
        pool = self._opened()
        chosen = choose(pool, task_ids(tasks), conditions(only), conditions(skip))
        with umask_kept():
            set_umask(pool.info.shared)
            yield pool, chosen


@own_errors
def init(config: str | Path | Mapping[str, Any], pool: str | Path) -> Pool:
    """Make a pool, and open it.

    Parameters
    ----------
    config : str, Path or mapping
        The experiment file, or what would stand in it. Relative paths in a mapping start in the
        current folder; functions may stand for ``module:name``. It is checked as a whole before
        anything is made.
    pool : str or Path
        The folder to make; must not exist, or be empty.

    Returns
    -------
    Pool

    Raises
    ------
    ConfigError
        With every problem of the experiment.
    RequestError
        If the folder is taken.
    AccessError
        If it cannot be written.

    Examples
    --------
    How many leap years lie between two years? The axes are the function's arguments.

    >>> import calendar, tempfile
    >>> config = {
    ...     "runner": "function",
    ...     "function": {"call": calendar.leapdays},
    ...     "axes": {"y1": [1900, 1950], "y2": [2000, 2025]},
    ... }
    >>> pool = init(config, tempfile.mkdtemp() + "/leap")
    >>> pool
    Pool('.../leap')
    >>> len(pool)
    4
    """
    folder = Path(pool)
    with config_file(config, folder.resolve().name) as (file, start), umask_kept():
        experiment, runner, grid = load_study(file, start)
        free_to_make(folder)
        create_pool(folder, experiment, grid, partial(prepare, runner), now=time.time())
    return Pool(folder)


def open(pool: str | Path) -> Pool:
    """Open a pool that is there.

    Parameters
    ----------
    pool : str or Path
        The pool's folder.

    Returns
    -------
    Pool

    Raises
    ------
    RequestError
        If the folder is no pool.
    PoolError
        If the pool is damaged, or of a newer format.

    Examples
    --------
    >>> open("no-such-folder")
    Traceback (most recent call last):
    ...
    jobpool.errors.RequestError: no-such-folder: no such folder; make one with: jobpool init ...
    """
    return Pool(pool)


def _environment_of_workers() -> dict[str, str]:
    """Return this process's environment, with which its workers find the same modules.

    The one place of the Python interface that reads it: workers are programs of their own.
    """
    places = [str(place or Path.cwd()) for place in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


def _show_progress(counts: Mapping[TaskState, int]) -> None:
    shown = f"{counts[TaskState.DONE]:,} of {n_counted(counts):,} tasks done"
    sys.stderr.write(f"\r{shown}, {counts[TaskState.RUNNING]:,} running  ")
    sys.stderr.flush()
