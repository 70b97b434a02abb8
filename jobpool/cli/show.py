"""``jobpool show``: what a task is made of, as a table for other programs."""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from jobpool.cli.options import PoolArgument, Trust, check_output


def show(
    pool: PoolArgument,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or how it begins.")],
    candidates: Annotated[
        bool, typer.Option("--candidates", help="One row per candidate of its search.")
    ] = False,
    splits: Annotated[
        bool, typer.Option("--splits", help="One row per participant: the part of each fold.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here: .csv or .parquet."),
    ] = None,
    trust: Trust = None,
) -> None:
    """Write the candidates that a task tries, or its splits, as CSV.

    Both follow from the experiment, also where the task has not run. The columns are explained in
    docs/commands.md.

    \b
    jobpool show POOL l5ciu --candidates
    jobpool show POOL l5ciu --splits -o splits.parquet
    """
    if candidates == splits:
        what = "say what to show: --candidates or --splits"
        raise typer.BadParameter(what, param_hint="--candidates")
    if output is not None:
        check_output(output, (".csv", ".parquet"))
    from jobpool.collect.frames import KEY, provenance, to_frame, write_frame
    from jobpool.errors import RequestError
    from jobpool.pool import Pool
    from jobpool.runners import runner_of
    from jobpool.runners.base import SupportsTables
    from jobpool.table.task_index import find_task

    opened = Pool(pool)
    point = dict(opened.grid.point(find_task(pool, opened.grid, task, opened.offered())))
    runner = runner_of(opened, trust or ())
    if not isinstance(runner, SupportsTables):
        raise RequestError(pool, f"tasks of the runner {opened.info.runner} have neither of these")
    columns = runner.candidates(point) if candidates else runner.splits(point)
    if output is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([columns.keys(), *zip(*columns.values(), strict=True)])
        return
    frame = to_frame(columns)
    frame.attrs[KEY] = provenance(opened, by="candidate" if candidates else "participant")
    write_frame(output, frame)
