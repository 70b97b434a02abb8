"""``jobpool collect``: results as one table."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jobpool.pool import Pool
    from jobpool.report.collecting import Collected
    from jobpool.task import Value

_SUFFIXES = (".csv", ".parquet")
_ROWS, _COLUMNS = 20, 10  # shown where no file is asked for
_NAMED = 20  # incomplete sets named


def collect(
    pool: PoolArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here: .csv or .parquet."),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="One row per attempt, also those that failed.")
    ] = False,
    incomplete: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the sets with missing parts here."),
    ] = None,
) -> None:
    """Write one row per task that is done.

    Tasks that were cut into parts give one row when all parts are done; sets with parts missing
    are named. Without -o, the first rows are shown. Exit code 1 if a task is done and its result
    is gone.

    \b
    jobpool collect POOL
    jobpool collect POOL -o results.csv
    jobpool collect POOL -o results.parquet --only pipeline=elastic
    jobpool collect POOL -o attempts.csv --attempts
    """
    _check_output(output)
    _check_output(incomplete)
    from jobpool.pool import Pool
    from jobpool.report.attempts import attempt_columns
    from jobpool.selection import select

    opened = Pool(pool)
    chosen = select(opened.grid, tuple(only or ()), tuple(skip or ())) if only or skip else None
    if attempts:
        _give(attempt_columns(opened, chosen), output)
        return
    found = _collect(opened, chosen)
    _give(found.columns, output)
    _tell(opened, found)
    if incomplete is not None:
        _write_incomplete(incomplete, found)
    if found.lost:
        raise typer.Exit(1)


def _check_output(path: Path | None) -> None:
    """Refuse an output that cannot be written, before any work is done."""
    if path is None:
        return
    if path.suffix not in _SUFFIXES:
        what = f"{path} ends in {path.suffix or 'nothing'!r}; write .csv or .parquet"
        raise typer.BadParameter(what, param_hint="FILE")
    if not path.parent.is_dir():
        raise typer.BadParameter(f"no such folder: {path.parent}", param_hint="FILE")


def _collect(pool: "Pool", chosen: "NDArray[np.bool_] | None") -> "Collected":
    from jobpool.report.collecting import collect
    from jobpool.runners import make_runner

    return collect(pool, make_runner(pool.experiment(), pool.folder), chosen)


def _give(columns: "Mapping[str, Sequence[Value | None]]", output: Path | None) -> None:
    """Write the table, or show its first rows."""
    from jobpool.report.tables import write_table
    from jobpool.report.text import count

    n_rows = len(next(iter(columns.values()), ()))
    if output is not None:
        write_table(output, columns)
        print(f"{count(n_rows, 'row')} in {output}", file=sys.stderr)
        return
    for line in _short_table(columns, n_rows):
        print(line)


def _short_table(columns: "Mapping[str, Sequence[Value | None]]", n_rows: int) -> list[str]:
    from jobpool.report.text import table

    if not n_rows:
        return ["no row: nothing that is selected is done"]
    shown = list(columns)[:_COLUMNS]
    rows = [[_cell(columns[name][i]) for name in shown] for i in range(min(n_rows, _ROWS))]
    lines = table(shown, rows)
    if n_rows > _ROWS or len(columns) > _COLUMNS:
        lines.append(f"... {n_rows:,} rows of {len(columns)} columns in all: -o results.csv")
    return lines


def _cell(value: "Value | None") -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tell(pool: "Pool", found: "Collected") -> None:
    """Say what did not become a row."""
    from jobpool.errors import listing
    from jobpool.report.text import count

    lines = []
    if found.incomplete:
        lines.append(f"{count(len(found.incomplete), 'incomplete set')} left out of the table:")
        lines += [f"  {one}" for one in found.incomplete[:_NAMED]]
        if len(found.incomplete) > _NAMED:
            rest = len(found.incomplete) - _NAMED
            lines.append(f"  ... and {rest:,} more: --incomplete incomplete.csv")
    if found.n_refused:
        what = "left out: another result of the same task counts"
        lines.append(f"{count(found.n_refused, 'result')} {what}")
    if found.n_strange:
        lines.append(f"{count(found.n_strange, 'result')} of no task of this pool left out")
    if found.damaged:
        places = listing((f"{path} line {number}" for path, number in found.damaged), most=5)
        lines.append(f"{count(len(found.damaged), 'damaged line')} left out: {places}")
    if found.lost:
        what = f"done without a result on disk: {listing(found.lost)}"
        lines.append(f"{count(len(found.lost), 'task')} {what}; run: jobpool doctor {pool.folder}")
    for line in lines:
        print(line, file=sys.stderr)


def _write_incomplete(path: Path, found: "Collected") -> None:
    from jobpool.report.collecting import Columns
    from jobpool.report.tables import write_table

    rows = Columns()
    for one in found.incomplete:
        missing = ", ".join(map(str, one.missing))
        rows.add({**dict(one.point), "n_parts": one.n_parts, "missing": missing})
    write_table(path, rows.columns or {"n_parts": [], "missing": []})
