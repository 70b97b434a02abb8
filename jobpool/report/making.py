"""Make the report of a pool or of a table as one file: what both the command and notebooks do."""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobpool import __version__
from jobpool.analysis.study_table import read_study_table
from jobpool.collect.collect import worth_starting
from jobpool.collect.provenance import provenance
from jobpool.disk.files import replace_whole, server_time
from jobpool.needs.estimates import load_estimates
from jobpool.plan.arrays import Wanted, make_plan
from jobpool.plan.backlog import read_left
from jobpool.pool import Pool
from jobpool.report.of_pool import report_of_pool
from jobpool.report.parts import Tile, core_tile
from jobpool.report.whole import Made, Tell, Wishes, report_of_table
from jobpool.report.writing import html_of
from jobpool.runners import make_results
from jobpool.table.selection import select


def make_report(
    pool: Pool,
    tell: Tell,
    *,
    only: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    metrics: Mapping[str, str],
) -> Made:
    """Return the report of a pool.

    Parameters
    ----------
    pool : Pool
        The pool.
    tell : callable
        Told what is being done.
    only, skip : tuple of str
        Conditions of a selection.
    metrics : mapping
        The score to rank by, by kind of target; the first reported where none is named.

    Raises
    ------
    SelectionError
        If a condition does not fit the pool.
    """
    chosen = select(pool.grid, only, skip) if only or skip else None
    words = [*only, *(f"not {text}" for text in skip)]
    wishes = _wishes(
        selection="; ".join(words),
        metrics=metrics,
        facts=_facts_of(pool),
        rest=() if words else _rest(pool),
    )
    processes = worth_starting(pool.folder, len(os.sched_getaffinity(0)))
    return report_of_pool(pool, make_results(pool.info.runner), chosen, wishes, tell, processes)


def make_table_report(table: Path, tell: Tell) -> Made:
    """Return the report of a table of results from elsewhere."""
    read = read_study_table(table)
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    facts = (("table", str(table)), ("sha256 of the table", digest))
    return report_of_table(read, _wishes(metrics={}, facts=facts), tell)


def write_report(made: Made, output: Path, tell: Tell) -> int:
    """Replace `output` by a report, and return how many bytes it has."""
    tell("writing")
    content = html_of(made.report)
    replace_whole(output, content)
    return len(content)


def _wishes(**given: Any) -> Wishes:
    return Wishes(now=time.time(), version=__version__, **given)


def _facts_of(pool: Pool) -> tuple[tuple[str, str], ...]:
    """Return label and value of what a report of a pool rests on."""
    about = provenance(pool)
    labels = {
        "experiment": "experiment",
        "experiment_sha256": "sha256 of the experiment file",
        "seed": "seed",
    }
    facts = [(label, str(about[key])) for key, label in labels.items() if key in about]
    return (("pool", str(pool.folder.resolve())), ("pool made by", pool.info.version), *facts)


def _rest(pool: Pool) -> tuple[Tile, ...]:
    """Return what is expected of the tasks that wait, if something was learned."""
    left, forecast = read_left(pool, server_time(pool.folder / "workers")), load_estimates(pool)
    if not left.n_waiting or forecast is None:
        return ()
    passes = pool.experiment().passes
    plan = make_plan(pool.grid, left, forecast, passes, lambda _: None, Wanted(queued={}))
    expected = plan.core_hours
    if expected is None:
        return ()
    amounts = [expected.middle, expected.low, expected.high]
    return (core_tile(" to go", amounts, "{} to {} in 80 of 100 cases"),)
