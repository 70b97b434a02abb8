"""``jobpool collect``: results as one table."""

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobpool.cli.options import AsJson, Only, PoolArgument, Skip, Trust, check_output
from jobpool.cli.output import json_text
from jobpool.cli.progress import Progress
from jobpool.errors import Fault
from jobpool.installation import require
from jobpool.table.columns import OF_SCORES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from jobpool.collect.collect import Collected
    from jobpool.collect.predictions import Wanted
    from jobpool.pool import Pool
    from jobpool.task import Json

_SUFFIXES = (".csv", ".parquet")
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
    json: AsJson = False,
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
    jobpool collect POOL --only pipeline=elastic --json
    """
    _check_outputs([path for path in (output, predictions, incomplete) if path is not None])
    if attempts and (long or by != "task" or predictions or incomplete or fresh):
        what = "goes with -o, --only, --skip and --json alone: an attempt has no parts, no scores"
        raise typer.BadParameter(what, param_hint="--attempts")
    if json and predictions:
        what = "is for tables of tasks, parts, scores and attempts; leave out --predictions"
        raise typer.BadParameter(what, param_hint="--json")
    from jobpool.collect.frames import provenance
    from jobpool.pool import Pool
    from jobpool.table.selection import select

    opened, selection = Pool(pool), (tuple(only or ()), tuple(skip or ()))
    chosen = select(opened.grid, *selection) if only or skip else None
    about = provenance(opened, only=list(selection[0]), skip=list(selection[1]))
    about |= {"fresh": True} if fresh else {}
    if attempts:
        _give_attempts(opened, chosen, output, about, json=json)
        return
    is_whole = True
    if predictions is not None:
        about_these = {**about, "by": "prediction"}
        from jobpool.collect.predictions import Wanted

        wanted = Wanted(chosen=chosen, fresh=fresh)
        is_whole = _write_predictions(opened, wanted, predictions, about_these, trust or ())
    if predictions is None or output is not None or incomplete is not None:
        found = _collected(opened, chosen, by, fresh=fresh)
        _give_results(found, output, {**about, "by": by, "long": long}, json=json)
        _tell(opened, found)
        if long:
            _tell_no_numbers(found)
        if incomplete is not None:
            _write_incomplete(incomplete, found)
        is_whole = is_whole and not found.lost
    if not is_whole:
        raise typer.Exit(Fault.POOL)


def _collected(
    pool: "Pool", chosen: "NDArray[np.bool_] | None", by: str, *, fresh: bool
) -> "Collected":
    """Return the results, and say meanwhile how far that is."""
    from jobpool.collect.collect import collect_pool
    from jobpool.collect.reading import Reading, n_read
    from jobpool.journal.jsonl import worker_files

    def share(file: Path) -> float:
        n_bytes = sum(path.stat().st_size for path in worker_files(pool.folder, "results"))
        return n_read(file) / max(n_bytes, 1)

    with Progress("reading results", share) as progress:
        reading = Reading(tell=progress.stage, file=progress.file)
        return collect_pool(pool, chosen, by, fresh=fresh, reading=reading)


def _give_attempts(
    pool: "Pool",
    chosen: "NDArray[np.bool_] | None",
    output: Path | None,
    about: "Mapping[str, Json]",
    *,
    json: bool,
) -> None:
    from jobpool.collect.attempts import attempts_frame

    with Progress("reading attempts"):
        frame = attempts_frame(pool, chosen)
    about = {**about, "by": "attempt"}
    if json:
        _print_json(frame, output, about, {})
    elif output is None:
        keys = (str(frame.columns[0]), *pool.grid.names)
        _print(frame, keys, pool.grid.attributes_by_name, ())
    if output is not None:
        _write(frame, output, about)


def _give_results(
    found: "Collected", output: Path | None, about: "Mapping[str, Json]", *, json: bool
) -> None:
    """Write the table, show its first rows, or print it as JSON."""
    frame = found.long() if about["long"] else found.frame
    if json:
        _print_json(frame, output, about, _left_out(found))
    elif output is None:
        keys = [found.id, *found.axes, *(name for name in (found.earlier, found.mixed) if name)]
        leading = OF_SCORES if about["long"] else found.leading
        _print(frame, keys, found.attributes, leading)
    if output is not None:
        _write(frame, output, about)


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


def _print(
    frame: "pd.DataFrame", keys: Sequence[str], attributes: Collection[str], leading: Sequence[str]
) -> None:
    from jobpool.cli.tables import first_rows

    for line in first_rows(frame, keys, attributes, leading):
        print(line)


def _write(frame: "pd.DataFrame", output: Path, about: "Mapping[str, Json]") -> None:
    from jobpool.collect.frames import KEY, write_frame
    from jobpool.units import count

    frame.attrs[KEY] = about
    with Progress(f"writing {output}"):
        write_frame(output, frame)
    print(f"{count(len(frame), 'row')} in {output}", file=sys.stderr)


def _print_json(
    frame: "pd.DataFrame",
    output: Path | None,
    about: "Mapping[str, Json]",
    left_out: "Mapping[str, Any]",
) -> None:
    """Print what the table came from, what is not in it and, if they go to no file, its rows."""
    known = {name: one for name, one in about.items() if name != "experiment_text"}
    if output is not None:
        print(json_text({**known, **left_out, "file": str(output), "n_rows": len(frame)}))
        return
    from jobpool.cli.tables import print_json

    print_json(frame, {**known, **left_out, "n_rows": len(frame)})


def _left_out(found: "Collected") -> dict[str, Any]:
    """Return what did not become a row, and what to know of those that did."""
    return {
        "metrics": found.metrics,
        "earlier": found.n_earlier,
        "mixtures": [
            {"name": one.name, "usual": one.usual, "results": dict(one.counts)}
            for one in found.mixtures
        ],
        "incomplete": [
            {"axes": dict(one.point), "parts": one.n_parts, "missing": one.missing}
            for one in found.incomplete
        ],
        "lost": found.lost,
        "unreadable": found.unreadable,
        "damaged": [{"file": str(file), "line": number} for file, number in found.damaged],
        "refused": found.n_refused,
        "strange": found.n_strange,
        "no_numbers": found.n_no_numbers,
    }


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
