"""``jobpool report``: one HTML file with progress, cost, results and, for a study, its analysis."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobpool.cli.options import Only, Skip, check_output
from jobpool.extras import REPORT, require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobpool.pool import Pool
    from jobpool.report.page.parts import Tile
    from jobpool.report.page.whole import Made, Wishes


def report(
    pool: Annotated[
        Path | None, typer.Argument(metavar="POOL", readable=False, help="The pool's folder.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here: .html."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            help="Instead of a pool: results from elsewhere (.csv, .tsv, .parquet).",
        ),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=NAME",
            help="The score to rank by, by kind of target: regression=mae. May be given several "
            "times; by default the first one reported.",
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write the study's figures here, as PNG and SVG."),
    ] = None,
) -> None:
    """Write a report: one HTML file that opens anywhere, also without a network.

    It shows what is done, what it cost, who worked when, all results and, if they are a study of
    parcellations, ranks, power law, strategies and trade-offs. With --table, a table of results
    from elsewhere is analysed in the same way.

    \b
    jobpool report POOL -o report.html
    jobpool report POOL -o report.html --only pipeline=elastic --metric regression=mae
    jobpool report POOL -o report.html --figures figures
    jobpool report --table results.csv -o report.html
    """
    source = _source(pool, table, [*(only or ()), *(skip or ()), *(metric or ())])
    target = _target(output)
    _check_folder(figures)
    metrics = dict(_pair(text) for text in metric or ())
    require("report", *REPORT)
    if pool is not None:
        made = _of_pool(pool, tuple(only or ()), tuple(skip or ()), metrics)
    else:
        made = _of_table(source)
    _write(made, target)
    if figures is not None:
        _write_figures(made, figures)


def _source(pool: Path | None, table: Path | None, choices: list[str]) -> Path:
    """Return the pool or the table, exactly one of which must be given."""
    given = [path for path in (pool, table) if path is not None]
    if len(given) != 1:
        what = "give a pool, or --table FILE"
        raise typer.BadParameter(what, param_hint="POOL")
    if table is not None and choices:
        what = "--only, --skip and --metric are for a pool; choose the table's rows beforehand"
        raise typer.BadParameter(what, param_hint="--table")
    return given[0]


def _target(output: Path | None) -> Path:
    """Return where to write, or refuse it before any work is done."""
    if output is None:
        raise typer.BadParameter("say where to write: -o report.html", param_hint="-o")
    check_output(output, (".html", ".htm"))
    return output


def _check_folder(figures: Path | None) -> None:
    """Refuse figures in what can be no folder before any work is done."""
    there = [one for one in (figures, *figures.parents) if one.exists()] if figures else []
    if there and not there[0].is_dir():
        what = f"{there[0]} is a file; name a folder"
        raise typer.BadParameter(what, param_hint="--figures")


def _pair(text: str) -> tuple[str, str]:
    kind, sign, name = text.partition("=")
    if not (kind and sign and name):
        what = f"{text!r} is not KIND=NAME, such as regression=mae"
        raise typer.BadParameter(what, param_hint="--metric")
    return kind, name


def _tell(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _of_pool(
    folder: Path, only: tuple[str, ...], skip: tuple[str, ...], metrics: "Mapping[str, str]"
) -> "Made":
    from jobpool.pool import Pool
    from jobpool.selection import select

    pool = Pool(folder)
    chosen = select(pool.grid, only, skip) if only or skip else None

    from jobpool.report.collecting import worth_starting
    from jobpool.report.page.of_pool import report_of_pool
    from jobpool.runners import make_results

    meaning = make_results(pool.info.runner)
    processes = worth_starting(pool.folder, len(os.sched_getaffinity(0)))
    words = [*only, *(f"not {text}" for text in skip)]
    wishes = _wishes(
        selection="; ".join(words),
        metrics=metrics,
        facts=_provenance(pool),
        rest=() if words else _rest(pool),
    )
    return report_of_pool(pool, meaning, chosen, wishes, _tell, processes)


def _of_table(table: Path) -> "Made":
    import hashlib

    from jobpool.analysis.table import read_study_table
    from jobpool.report.page.whole import report_of_table

    read = read_study_table(table)
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    facts = (("table", str(table)), ("sha256 of the table", digest))
    return report_of_table(read, _wishes(metrics={}, facts=facts), _tell)


def _wishes(**given: Any) -> "Wishes":
    import time

    from jobpool import __version__
    from jobpool.report.page.whole import Wishes

    return Wishes(now=time.time(), version=__version__, **given)


def _provenance(pool: "Pool") -> tuple[tuple[str, str], ...]:
    """Return label and value of what a report of a pool rests on."""
    from jobpool.report.provenance import provenance

    about = provenance(pool)
    labels = {
        "experiment": "experiment",
        "experiment_sha256": "sha256 of the experiment file",
        "seed": "seed",
    }
    facts = [(label, str(about[key])) for key, label in labels.items() if key in about]
    return (("pool", str(pool.folder.resolve())), ("pool made by", pool.info.version), *facts)


def _rest(pool: "Pool") -> "tuple[Tile, ...]":
    """Return what is expected of the tasks that wait, if something was learned."""
    from jobpool.files import server_time
    from jobpool.needs.estimates import load_estimates
    from jobpool.plan.arrays import Wanted, make_plan
    from jobpool.plan.left import read_left
    from jobpool.report.page.parts import core_tile

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


def _write(made: "Made", output: Path) -> None:
    from jobpool.files import replace_whole
    from jobpool.report.page.writing import html_of

    _tell("writing")
    content = html_of(made.report)
    replace_whole(output, content)
    print(f"{output}: {len(content) / 1e6:.1f} MB", file=sys.stderr)


def _write_figures(made: "Made", folder: Path) -> None:
    from jobpool.units import count

    if made.analysis is None:
        print("no figures: the results are no study of parcellations", file=sys.stderr)
        return
    from jobpool.analysis.figures import write_figures

    written = write_figures(made.analysis, folder, lambda said: print(said, file=sys.stderr))
    print(f"{count(len(written), 'file')} in {folder}", file=sys.stderr)
