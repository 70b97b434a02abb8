"""``jobpool collect``: results as one table."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, Trust, check_output
from jobpool.errors import Fault
from jobpool.installation import require

if TYPE_CHECKING:
    import pandas as pd

    from jobpool.collect.collect import Collected
    from jobpool.collect.predictions import Wanted
    from jobpool.pool import Pool
    from jobpool.task import Json

_SUFFIXES = (".csv", ".parquet")
_ROWS, _COLUMNS, _ATTRIBUTES = 20, 10, 2  # shown where no file is asked for
_NAMED = 20  # incomplete sets named


def collect(
    pool: PoolArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here: .csv or .parquet."),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="LEVEL", help="One row per task, or per part such as: fold.")
    ] = "task",
    long: Annotated[
        bool, typer.Option("--long", help="One row per task or part and score.")
    ] = False,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write here one row per participant, task and part."),
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
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Leave out tasks that are being rerun: no earlier results."),
    ] = False,
    trust: Trust = None,
) -> None:
    """Write one row per task that is done, or one per fold.

    A task that was split gives one row when all its parts are done; incomplete sets are listed. A
    task that is being rerun keeps its earlier row until the new result is accepted; the column
    rerun_pending marks it. Without -o, the first rows are shown. Exit code 10 if a task is done
    and its result is lost. The columns are explained in docs/results.md.

    \b
    jobpool collect POOL
    jobpool collect POOL -o results.parquet
    jobpool collect POOL -o folds.csv --by fold --only pipeline=elastic
    jobpool collect POOL -o scores.parquet --by fold --long
    jobpool collect POOL --predictions predictions.parquet
    jobpool collect POOL -o attempts.csv --attempts
    """
    _check_outputs([path for path in (output, predictions, incomplete) if path is not None])
    if attempts and (long or by != "task" or predictions or incomplete or fresh):
        what = "goes with -o, --only and --skip alone: an attempt has neither parts nor scores"
        raise typer.BadParameter(what, param_hint="--attempts")
    from jobpool.collect.attempts import attempts_frame
    from jobpool.collect.collect import collect_pool
    from jobpool.collect.frames import provenance
    from jobpool.pool import Pool
    from jobpool.table.selection import select

    opened, selection = Pool(pool), (tuple(only or ()), tuple(skip or ()))
    chosen = select(opened.grid, *selection) if only or skip else None
    about = provenance(opened, only=list(selection[0]), skip=list(selection[1]))
    about |= {"fresh": True} if fresh else {}
    if attempts:
        frame = attempts_frame(opened, chosen)
        names = set(opened.grid.attributes_by_name)
        _give(frame, output, {**about, "by": "attempt"}, names)
        return
    is_whole = True
    if predictions is not None:
        about_these = {**about, "by": "prediction"}
        from jobpool.collect.predictions import Wanted

        wanted = Wanted(chosen=chosen, fresh=fresh)
        is_whole = _write_predictions(opened, wanted, predictions, about_these, trust or ())
    if predictions is None or output is not None or incomplete is not None:
        found = collect_pool(opened, chosen, by, fresh=fresh)
        frame, attributes = found.long() if long else found.frame, set(found.attributes)
        _give(frame, output, {**about, "by": by, "long": long}, attributes)
        _tell(opened, found)
        if long:
            _tell_no_numbers(found)
        if incomplete is not None:
            _write_incomplete(incomplete, found)
        is_whole = is_whole and not found.lost
    if not is_whole:
        raise typer.Exit(Fault.POOL)


def _check_outputs(paths: list[Path]) -> None:
    """Refuse outputs that cannot be written, before any work is done."""
    for path in paths:
        check_output(path, _SUFFIXES)
        if path.suffix == ".parquet":
            require(str(path), "pyarrow")
    if len({path.resolve() for path in paths}) < len(paths):
        what = f"{paths[0]} is to be written twice; give each file another name"
        raise typer.BadParameter(what, param_hint="FILE")


def _write_predictions(
    pool: "Pool",
    wanted: "Wanted",
    path: Path,
    about: "Mapping[str, Json]",
    trust: Collection[str],
) -> bool:
    """Write the predictions, and say whether no result is lost."""
    from jobpool.collect.collect import what_is_gone
    from jobpool.collect.predictions import write_predictions
    from jobpool.runners import make_results, runner_of
    from jobpool.units import count

    runner = runner_of(pool, trust)
    results = make_results(pool.info.runner)
    written = write_predictions(path, pool, runner, results, wanted, about)
    print(f"{count(written.n_rows, 'row')} in {path}", file=sys.stderr)
    if written.n_without:
        what = "without predictions left out: they were not kept, or pruned from the cache"
        print(f"{count(written.n_without, 'part')} of tasks {what}", file=sys.stderr)
    for line in what_is_gone(pool.folder, written.lost, written.damaged):
        print(line, file=sys.stderr)
    return not written.lost


def _give(
    frame: "pd.DataFrame", output: Path | None, about: "Mapping[str, Json]", attributes: set[str]
) -> None:
    """Write the table, or show its first rows."""
    from jobpool.collect.frames import KEY, write_frame
    from jobpool.units import count

    if output is None:
        for line in _short_table(frame, attributes):
            print(line)
        return
    frame.attrs[KEY] = about
    write_frame(output, frame)
    print(f"{count(len(frame), 'row')} in {output}", file=sys.stderr)


def _short_table(frame: "pd.DataFrame", attributes: set[str]) -> list[str]:
    """Return the first rows, with few attributes, so that scores are seen."""
    from jobpool.units import table

    if frame.empty:
        return ["no row: nothing that is selected is done"]
    shown = frame.drop(columns=_silent(frame, attributes))
    shown = shown.iloc[:_ROWS, :_COLUMNS]
    texts = [str(name) for name in shown.columns if shown[name].dtype == "string"]
    rows = [[_cell(value) for value in row] for row in shown.astype(object).itertuples(index=False)]
    lines = table(list(shown.columns), rows, texts)
    if len(frame) > _ROWS or len(frame.columns) > _COLUMNS:
        n_columns = len(frame.columns)
        lines.append(f"... {len(frame):,} rows of {n_columns} columns in all: -o results.csv")
    return lines


def _silent(frame: "pd.DataFrame", attributes: set[str]) -> list[str]:
    """Return attributes that are the same in all rows, or as another column, and all but two."""
    seen: list[pd.Series[Any]] = []
    told: list[str] = []
    silent: list[str] = []
    for name in frame.columns:
        column = frame[name].astype("string")
        if name in attributes:
            is_same = column.nunique(dropna=False) == 1
            is_told = not is_same and not any(column.equals(one) for one in seen)
            (told if is_told else silent).append(name)
        seen.append(column)
    return silent + told[_ATTRIBUTES:]


def _cell(value: object) -> str:
    import pandas as pd

    if pd.isna(value):  # type: ignore[call-overload] # a cell is no array
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tell(pool: "Pool", found: "Collected") -> None:
    """Say what did not become a row."""
    from jobpool.collect.collect import what_is_gone
    from jobpool.units import count

    lines = []
    if n_earlier := found.n_earlier:
        what = "of tasks that are being rerun" if n_earlier > 1 else "of a task that is being rerun"
        lines.append(f"{count(n_earlier, 'earlier row')} {what}: --fresh leaves them out")
    if found.mixtures:
        lines.append(f"results of different inputs; the column {found.mixed} names them:")
        lines += [f"  {one}" for one in found.mixtures]
    if found.incomplete:
        what = "left out of the table" if found.by == "task" else "in the table as far as done"
        lines.append(f"{count(len(found.incomplete), 'incomplete set')} {what}:")
        lines += [f"  {one}" for one in found.incomplete[:_NAMED]]
        if len(found.incomplete) > _NAMED:
            rest = len(found.incomplete) - _NAMED
            lines.append(f"  ... and {rest:,} more: --incomplete incomplete.csv")
    if found.n_refused:
        what = "left out: another result of the same task counts"
        lines.append(f"{count(found.n_refused, 'result')} {what}")
    if found.n_strange:
        lines.append(f"{count(found.n_strange, 'result')} of no task of this pool left out")
    gone = what_is_gone(pool.folder, found.lost, found.damaged, found.unreadable)
    for line in [*lines, *gone]:
        print(line, file=sys.stderr)


def _tell_no_numbers(found: "Collected") -> None:
    from jobpool.units import count

    for name, n in found.n_no_numbers.items():
        what = f"of {name} left out: no number; see the table without --long"
        print(f"{count(n, 'value')} {what}", file=sys.stderr)


def _write_incomplete(path: Path, found: "Collected") -> None:
    from jobpool.collect.frames import to_frame, write_frame
    from jobpool.table.columns import OF_INCOMPLETE, OURS, set_apart

    shown = set_apart(OF_INCOMPLETE, found.axes, OURS)
    rows = [
        {
            **dict(one.point),
            shown["n_parts"]: one.n_parts,
            shown["missing"]: ", ".join(map(str, one.missing)),
        }
        for one in found.incomplete
    ]
    names = list(rows[0]) if rows else list(shown.values())
    write_frame(path, to_frame({name: [row[name] for row in rows] for name in names}))
