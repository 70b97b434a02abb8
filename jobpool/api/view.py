"""What can be asked of a pool: its status, tasks, results and failures, and its look in a notebook.

Each call reads the pool as it is now, so that an object may be kept for days while workers come and
go and tasks are added. Nothing here changes a pool.
"""

from collections.abc import Collection, Iterator, Mapping
from html import escape
from importlib import import_module
from pathlib import Path

import pandas as pd

from jobpool.api.given import (
    Selection,
    at_least_one,
    conditions,
    own_errors,
    seconds,
    task_ids,
    umask_kept,
)
from jobpool.api.tables import (
    Task,
    attempts_table,
    failures_table,
    predictions_table,
    results_table,
    tasks_of,
)
from jobpool.errors import RequestError
from jobpool.experiment.report import region_choice
from jobpool.installation import REPORT, require
from jobpool.overview.counts import AxisCounts, Counts
from jobpool.overview.status import Status, read_status, time_left
from jobpool.overview.waiting import POLL_S, Waited, WaitSettings, wait_for
from jobpool.plan.arrays import USUAL_JOBS
from jobpool.plan.plan_text import PoolPlan, read_plan
from jobpool.plan.why import Why, why
from jobpool.pool import Pool
from jobpool.table.arrays import n_counted
from jobpool.units import count, percent

# In a notebook text has the page's own colour and bars lie on a translucent grey: both read on
# light and dark pages. Styles are inline, because notebooks that are not trusted drop all others.
_COLOURS = {  # of the parts of a bar, from the left
    "done": "#2e9e6b",
    "running": "#4a90d9",
    "parked": "#d9534f",
    "held": "#b58900",
}
_CELL = "padding:1px 12px 1px 0;border:none;background:none;white-space:nowrap;text-align:"
_TABLE = "border-collapse:collapse;margin:4px 0 0;border:none;color:inherit;font-size:inherit"
_BAR = (
    "display:flex;width:160px;height:9px;border-radius:2px;overflow:hidden;"
    "background:rgba(128,128,128,.28)"
)


class PoolView:
    """What can be read of a pool; see `jobpool.api.pool.Pool`."""

    @own_errors
    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._place = self.folder.absolute()
        self.name = self._opened().info.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: counts, and progress by axis."""
        return status_html(self.status())

    @own_errors
    def __len__(self) -> int:
        """Return the number of tasks; dormant parts of whole tasks do not count."""
        return n_counted(self._opened().counts())

    def __iter__(self) -> Iterator[Task]:
        """Return every task as it stands now, in the order of the axes."""
        return tasks_of(self._opened())

    @own_errors
    def status(
        self, by: str | Collection[str] = (), *, only: Selection = None, skip: Selection = None
    ) -> Status:
        """Return the status of the pool: what remains, runs, failed and is done.

        Parameters
        ----------
        by : str or collection of str
            Axes or attributes to count by; by default every axis with 2 to 12 values.
        only, skip : selection
            The tasks that are counted; see `Pool`.

        Returns
        -------
        Status
            ``status.counts.done``, ``status.estimate.eta_s``, ...; printed, it is what ``jobpool
            status`` shows.
        """
        names = (by,) if isinstance(by, str) else tuple(by)
        return read_status(self._opened(), names, conditions(only), conditions(skip))

    @own_errors
    def results(
        self,
        by: str = "task",
        *,
        only: Selection = None,
        skip: Selection = None,
        long: bool = False,
        fresh: bool = False,
    ) -> pd.DataFrame:
        """Return the table that ``jobpool collect`` writes: one row per task that is done.

        Parameters
        ----------
        by : str
            ``task``, or the part that rows are given by, such as ``fold``.
        only, skip : selection
            The tasks; see `Pool`.
        long : bool
            Whether each score has a row of its own.
        fresh : bool
            Leave out tasks that are being rerun; else their earlier results count, and are marked.

        Returns
        -------
        DataFrame
            What it came from is in its ``attrs["jobpool"]``.

        Warns
        -----
        UserWarning
            If a result is not on disk although its task is done, or cannot be read.
        """
        return results_table(self._opened(), by, only, skip, long=long, fresh=fresh)

    @own_errors
    def predictions(
        self,
        *,
        only: Selection = None,
        skip: Selection = None,
        fresh: bool = False,
        trust: Collection[str] = (),
    ) -> pd.DataFrame:
        """Return one row per participant, task and part: what was predicted.

        All rows are in memory at once: for many tasks, ``jobpool collect --predictions`` writes
        the same table to a file without that.

        Parameters
        ----------
        only, skip : selection
            The tasks; a selection of parts chooses these of whole tasks, too; see `Pool`.
        fresh : bool
            Leave out the earlier results of tasks that are being rerun.
        trust : collection of str
            Users whose pools may be run, beside one's own: reading predictions may load the
            pipelines that the pool names.

        Raises
        ------
        RequestError
            If the pool kept no predictions of these tasks.
        """
        return predictions_table(self._opened(), only, skip, trust, fresh=fresh)

    @own_errors
    def attempts(self, *, only: Selection = None, skip: Selection = None) -> pd.DataFrame:
        """Return one row per attempt, also those that failed: the cause, the times, what it used.

        Parameters
        ----------
        only, skip : selection
            The tasks; see `Pool`.
        """
        return attempts_table(self._opened(), only, skip)

    @own_errors
    def errors(
        self,
        *,
        only: Selection = None,
        skip: Selection = None,
        cause: str | Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return one row for each kind of failure, those that parked tasks first.

        Parameters
        ----------
        only, skip : selection
            The tasks; see `Pool`.
        cause : str or collection of str, optional
            Only attempts that ended so: ``error``, ``memory``, ``time``, ...

        Returns
        -------
        DataFrame
            The cause and error, how many attempts and tasks (`n_parked` of them are parked), the
            ids of the tasks, and of the newest attempt: end, worker, node, job and traceback.
        """
        causes = (cause,) if isinstance(cause, str) else cause
        return failures_table(self._opened(), only, skip, causes)

    @own_errors
    def why(self, task: str) -> Why:
        """Return what a task waits for, and all that is known of it.

        Parameters
        ----------
        task : str
            Its id, or how that begins.

        Returns
        -------
        Why
            Printed, it is what ``jobpool why`` shows.
        """
        (word,) = task_ids([task])
        with umask_kept():
            return why(self._opened(), word)

    @own_errors
    def plan(self, jobs: int = USUAL_JOBS) -> PoolPlan:
        """Return what remains by the size that it needs, and which jobs to submit next.

        Parameters
        ----------
        jobs : int
            In the queue at one time, of all sizes.

        Returns
        -------
        PoolPlan
            ``plan.arrays``, ``plan.core_hours``, ...; printed, it is what ``jobpool plan`` shows.
        """
        with umask_kept():
            return read_plan(self._opened(), at_least_one("jobs", jobs))

    @own_errors
    def wait(
        self,
        *,
        only: Selection = None,
        skip: Selection = None,
        timeout: str | float | None = None,
        poll: str | float = POLL_S,
    ) -> Waited:
        """Return when nothing is left to run, or no worker is left to run it.

        Parameters
        ----------
        only, skip : selection
            The tasks to wait for; see `Pool`.
        timeout, poll : str or float
            How long to wait at most, and between two checks: in seconds, or such as ``2h``.

        Returns
        -------
        Waited
            ``waited.is_done``; ``waited.outcome`` is ``done``, ``stuck`` (the others are parked
            or held), ``deserted`` (no worker, and no job in the queue) or ``timeout``.
        """
        settings = WaitSettings(
            only=conditions(only),
            skip=conditions(skip),
            timeout_s=None if timeout is None else seconds(timeout),
            poll_s=seconds(poll),
        )
        return wait_for(self._opened, settings)

    @own_errors
    def report(
        self,
        path: str | Path,
        *,
        only: Selection = None,
        skip: Selection = None,
        metrics: Mapping[str, str] | None = None,
        region: str | None = None,
        region_method: str | None = None,
    ) -> None:
        """Write the report of the pool: one HTML file that opens anywhere.

        Parameters
        ----------
        path : str or Path
            The file, which ends in ``.html``.
        only, skip : selection
            The tasks; see `Pool`.
        metrics : mapping, optional
            The score to rank by, by kind of target: ``{"regression": "mae"}``; by default the
            first one reported.
        region : str, optional
            The sizes that the power law is fitted to, such as ``"7:3000"``.
        region_method : str, optional
            How the region is chosen: ``"together"`` or ``"published"``. By default, with both,
            as the experiment file says.

        Raises
        ------
        RequestError
            If the file is called otherwise or its folder is missing, ``jobpool[report]`` is not
            installed, or the region is none.
        """
        if Path(path).suffix not in {".html", ".htm"}:
            raise RequestError(path, "is no name of an HTML file; write report.html")
        if not Path(path).parent.exists():
            raise RequestError(path, f"no such folder: {Path(path).parent}; make it first")
        require("report", *REPORT)
        making = import_module("jobpool.report.making")  # plotly and more, for this call alone
        selection = {"only": conditions(only), "skip": conditions(skip)}
        given = region is not None or region_method is not None
        choice = region_choice(region, region_method) if given else None
        made = making.make_report(
            self._opened(), _quiet, **selection, metrics=metrics or {}, region=choice
        )
        making.write_report(made, Path(path), _quiet)

    def _opened(self) -> Pool:
        """Return the pool as it is now: tasks may have been added.

        A relative folder is that of the time when it was given. Once the current folder is another
        one, the same name may lead to another pool.
        """
        is_same = self.folder.absolute() == self._place
        return Pool(self.folder if is_same else self._place)


def _quiet(_: str) -> None:
    """Drop a line of progress."""


def status_html(found: Status) -> str:
    """Return the status of a pool as HTML: counts, and a bar for each value of each axis."""
    counts = found.counts
    numbers = {name: getattr(counts, name) for name in (*_COLOURS, "waiting")}
    words = [f"<b>{n:,}</b>&nbsp;{_word(name)}" for name, n in numbers.items() if n]
    line = ", ".join(words) or "no task"
    if counts.remaining:
        line += f"; {escape(time_left(found))}"
    rows = _row("all", counts) + "".join(map(_axis_rows, found.by))
    return (
        '<div style="font-size:13px;line-height:1.4">'
        f"<div><b>{escape(found.name)}</b>: {count(counts.total, 'task')} in "
        f"<code>{escape(str(found.folder))}</code></div><div>{line}</div>"
        f'<table style="{_TABLE}">'
        f"{rows}</table></div>"
    )


def _word(name: str) -> str:
    colour = _COLOURS.get(name)
    if colour is None:
        return name
    mark = f"display:inline-block;width:8px;height:8px;border-radius:2px;background:{colour}"
    return f'<span style="{mark}"></span>&nbsp;{name}'


def _axis_rows(axis: AxisCounts) -> str:
    head = f'<tr style="background:none"><td colspan="4" style="{_CELL}left;padding-top:5px">'
    rows = [_row("" if value is None else str(value), counts) for value, counts in axis.values]
    return f"{head}<b>{escape(axis.name)}</b></td></tr>{''.join(rows)}"


def _row(name: str, counts: Counts) -> str:
    shares = {state: 100 * getattr(counts, state) / max(counts.total, 1) for state in _COLOURS}
    parts = "".join(
        f'<div style="background:{_COLOURS[state]};width:{share:.2f}%"></div>'
        for state, share in shares.items()
        if share
    )
    return (
        f'<tr style="background:none"><td style="{_CELL}left">{escape(name)}</td>'
        f'<td style="{_CELL}left;vertical-align:middle"><div style="{_BAR}">{parts}</div></td>'
        f'<td style="{_CELL}right">{percent(counts.done, counts.total)}</td>'
        f'<td style="{_CELL}right">{counts.done:,} of {counts.total:,}</td></tr>'
    )
