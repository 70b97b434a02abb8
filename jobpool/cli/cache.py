"""``jobpool cache``: fill, look at, check and tidy a pool's ROI values and fits."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.cache_fill import fill_here, submit_fill
from jobpool.cli.options import PoolArgument, size
from jobpool.errors import Fault
from jobpool.units import count, file_size, table

if TYPE_CHECKING:
    from jobpool.cache.roi.cache import RoiCache
    from jobpool.cache.roi.maintenance import ParcellationInfo, Removed
    from jobpool.pool import Pool

cache = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Fill, look at, check and tidy the cache of a pool: ROI values, and fits.

    Workers fill it by themselves. To fill it before is to have all ROI values at once.

    \b
    jobpool cache fill POOL --workers 2
    jobpool cache fill POOL --submit --jobs 20
    jobpool cache info POOL
    jobpool cache verify POOL
    jobpool cache prune POOL --limit 20GB
    """,
)


@cache.command()
def fill(
    pool: PoolArgument,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    submit: Annotated[
        bool, typer.Option("--submit", help="Spread it over SLURM jobs instead.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="SLURM jobs, with --submit.")] = 1,
    pass_name: Annotated[
        str | None,
        typer.Option(
            "--pass",
            metavar="NAME",
            help="Submit with the resources of this pass; by default 1 core, 4 GB, 3 h.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --submit: print the sbatch lines only.")
    ] = False,
) -> None:
    """Compute all ROI values that are missing, reading each map once.

    Any number of processes share the work, also with workers that run. When it is stopped,
    what was computed is kept. Exit code 0 when everything is there.

    \b
    jobpool cache fill POOL --workers 2
    jobpool cache fill POOL --submit --jobs 20
    jobpool cache fill POOL --submit --jobs 20 --pass first --dry-run
    """
    if not submit and (pass_name is not None or dry_run or jobs != 1):
        raise typer.BadParameter("--jobs, --pass and --dry-run need --submit")
    opened, found = _open(pool)
    if submit:
        submit_fill(opened, found.info(), jobs, pass_name, dry_run=dry_run)
    else:
        fill_here(found, pool, workers)


@cache.command()
def info(pool: PoolArgument) -> None:
    """Say what is there of each parcellation, how many fits there are, and how large it all is.

    \b
    jobpool cache info POOL
    """
    from jobpool.cache.fits.maintenance import look_at_fits
    from jobpool.cache.roi.maintenance import COLUMNS

    _, opened = _open(pool)
    found = opened.info()
    print(f"{count(found.n_participants, 'participant')} in {count(found.n_spans, 'span')}")
    print()
    rows = [_row(one, found.n_spans) for one in found.parcellations]
    for line in table(COLUMNS, rows):
        print(line)
    print()
    print(f"{file_size(found.n_bytes)} in {count(found.n_files, 'file')}")
    if found.n_unused:
        what = f"{file_size(found.unused_bytes)} of that for nothing in this study"
        print(f"{what}; to remove it: jobpool cache prune {pool}")
    fits = look_at_fits(pool / "cache")
    if fits.n_buckets:
        where = f"{file_size(fits.n_bytes)} in {count(fits.n_buckets, 'file')}"
        print(f"{count(fits.n_fits, 'fit')}: {where}")
    for one in found.parcellations:
        if one.problem:
            print(f"{one.name}: {one.problem}", file=sys.stderr)


@cache.command()
def verify(
    pool: PoolArgument,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged: it is computed again.")
    ] = False,
) -> None:
    """Read all values and fits, and compare them with their checksums.

    Workers do so too with all that they use, and never use what is damaged. Exit code 0 if no
    damage remains, else 10.

    \b
    jobpool cache verify POOL
    jobpool cache verify POOL --repair
    """
    from jobpool.cache.fits.maintenance import find_damaged_fits

    opened, found = _open(pool)
    damage = found.verify(repair=repair)
    damage += find_damaged_fits(pool / "cache", opened.info.lock, repair=repair)
    for one in damage:
        part = f": {one.what}" if one.what else ""
        print(f"damaged: {one.path}{part}{'; removed' if one.removed else ''}")
    n_left = len({one.path for one in damage if not one.removed})
    print(f"{count(n_left, 'damaged file')} left" if n_left else "all is well")
    if n_left:
        raise typer.Exit(Fault.POOL)


@cache.command()
def prune(
    pool: PoolArgument,
    limit: Annotated[
        int | None,
        typer.Option(
            parser=size,
            metavar="SIZE",
            help="Remove also what is in use until the rest is no larger than this, such as 20GB: "
            "first the values that were not asked for for longest, then the fits, and the "
            "predictions with them. Stop the workers before.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")
    ] = False,
) -> None:
    """Remove what nothing uses, and what killed processes left.

    In use are the values of every parcellation of the experiment, for the maps as they are now,
    and all fits.

    \b
    jobpool cache prune POOL --dry-run
    jobpool cache prune POOL
    jobpool cache prune POOL --limit 20GB
    """
    from jobpool.cache.fits.maintenance import fits_bytes, prune_fits

    opened, found = _open(pool)
    folder, lock = pool / "cache", opened.info.lock
    # values are made again from the maps in minutes, fits in core-years: values go first
    for_values = None if limit is None else max(0, limit - fits_bytes(folder))
    removed = found.prune(for_values, dry_run=dry_run)
    removed += prune_fits(folder, lock, limit, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    reasons: dict[str, list[Removed]] = {}
    for one in removed:
        reasons.setdefault(one.why, []).append(one)
    for why, files in reasons.items():
        size = file_size(sum(one.n_bytes for one in files))
        print(f"{verb} {count(len(files), 'file')}, {size}: {why}")
    if not removed:
        print("nothing to remove")


def _open(folder: Path) -> "tuple[Pool, RoiCache]":
    """Return a pool and its ROI cache."""
    from jobpool.errors import RequestError
    from jobpool.pool import Pool
    from jobpool.runners import make_runner
    from jobpool.table.settings import set_umask

    pool = Pool(folder)
    set_umask(pool.info.shared)
    runner = make_runner(pool.experiment(), folder)
    make = getattr(runner, "roi_cache", None)
    if make is None:
        what = f"its runner, {pool.info.runner}, has no ROI cache; only evaluate has one"
        raise RequestError(folder, what)
    found: RoiCache = make(folder / "cache")
    return pool, found


def _row(one: "ParcellationInfo", n_spans: int) -> list[str]:
    state = {
        "packed": "packed",
        "part": f"{one.n_spans} of {n_spans} spans",
        "none": "cannot be used" if one.problem else "none",
    }[one.state]
    size = file_size(one.n_bytes) if one.n_bytes else ""
    return [one.name, one.kind, f"{one.n_parcels:,}" if one.kind else "", size, state]
