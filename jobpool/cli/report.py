"""``jobpool report``: one HTML file with progress, cost, results and, for a study, its analysis."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import Only, Skip, check_output
from jobpool.installation import REPORT, require

if TYPE_CHECKING:
    from jobpool.experiment.report import RegionChoice
    from jobpool.report.making import Made


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
    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="A word that stands for a missing value in that table. May be given several "
            "times; by default the usual ones.",
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
    region: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help="Fit the power law to these sizes, such as 7:3000; by default the region is "
            "chosen, or as the experiment file says.",
        ),
    ] = None,
    region_method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="How the region is chosen: together (both borders), or published (one after the "
            "other, as in the published study).",
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
    jobpool report --table results.csv -o report.html --region 7:3000
    """
    source = _source(pool, table, [*(only or ()), *(skip or ()), *(metric or ())])
    if missing and table is None:
        raise typer.BadParameter("is for the table of --table", param_hint="--missing")
    target = _target(output)
    _check_folder(figures)
    metrics = dict(_pair(text) for text in metric or ())
    choice = _choice(region, region_method)
    require("report", *REPORT)
    from jobpool.pool import Pool
    from jobpool.report.making import make_report, make_table_report, write_report

    if pool is not None:
        chosen = {"only": tuple(only or ()), "skip": tuple(skip or ())}
        made = make_report(Pool(pool), _tell, **chosen, metrics=metrics, region=choice)
    else:
        made = make_table_report(source, _tell, choice, missing)
    n_bytes = write_report(made, target, _tell)
    print(f"{target}: {n_bytes / 1e6:.1f} MB", file=sys.stderr)
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


def _choice(region: str | None, method: str | None) -> "RegionChoice | None":
    """Return how the region is chosen; None if nothing is said of it."""
    from jobpool.errors import RequestError
    from jobpool.experiment.report import region_choice

    if region is None and method is None:
        return None
    try:
        return region_choice(region, method)
    except RequestError as error:
        hint = "--region-method" if region is None else "--region"
        raise typer.BadParameter(error.what, param_hint=hint) from error


def _tell(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _write_figures(made: "Made", folder: Path) -> None:
    from jobpool.units import count

    if made.analysis is None:
        print("no figures: the results are no study of parcellations", file=sys.stderr)
        return
    from jobpool.analysis.figures import write_figures

    written = write_figures(made.analysis, folder, lambda said: print(said, file=sys.stderr))
    print(f"{count(len(written), 'file')} in {folder}", file=sys.stderr)
