"""``jobpool init``: make a pool from an experiment file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import ConfigArgument
from jobpool.errors import as_typed, quoted

if TYPE_CHECKING:
    from jobpool.runners.base import Runner
    from jobpool.table.grid import Grid


MOST_JOBS = 20  # in what is proposed to submit first


def init(
    config: ConfigArgument,
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="The folder to make.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the counts, make nothing.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read all maps, too, and fill the ROI cache with them.")
    ] = False,
) -> None:
    """Check an experiment file and make its pool.

    The header of every data file is checked. With --full the maps are read as well: values that are
    not finite, and damage that only reading shows, are found before there is a pool.

    \b
    jobpool init configs/nback-flanker.yaml POOL --dry-run
    jobpool init configs/nback-flanker.yaml POOL
    jobpool init configs/nback-flanker.yaml POOL --full
    """
    import time

    import numpy as np

    from jobpool.admin.create import create_pool, free_to_make
    from jobpool.runners import load_study
    from jobpool.runners.base import SupportsNotes, SupportsUnderstood, prepare
    from jobpool.table.selection import select

    experiment, runner, grid = load_study(config)
    free_to_make(pool)
    lines = runner.understood() if isinstance(runner, SupportsUnderstood) else []

    def fill(building: Path) -> None:
        prepare(runner, building)
        if full:
            lines.extend(_read_fully(runner, building / "cache"))

    if not dry_run:  # before anything is printed: the reader of the output may go away
        create_pool(pool, experiment, grid, fill, now=time.time())
    elif full:
        lines.extend(_read_fully(runner, None))
    print_counts(grid, lines)
    for line in runner.notes() if isinstance(runner, SupportsNotes) else ():
        print(f"  {line}")
    if dry_run:
        return
    print(f"made {pool}; next: jobpool run {quoted(pool)} --workers 2")
    if experiment.passes:
        first = experiment.passes[0]
        n_tasks = np.count_nonzero(select(grid, first.only, first.skip) & ~grid.parts.is_dormant)
        jobs = max(1, min(MOST_JOBS, int(n_tasks)))
        words = ("jobpool", "submit", pool, "--pass", first.name, "--jobs", jobs)
        print(f"or by SLURM: {as_typed(*words)}")


def _read_fully(runner: "Runner", cache: Path | None) -> list[tuple[str, str]]:
    """Read all data of a runner, say how far that is, and return what there is to say."""
    from jobpool.cli.cache import FillTeller
    from jobpool.runners.base import SupportsFullReading

    if not isinstance(runner, SupportsFullReading):
        raise typer.BadParameter("--full is for the runner evaluate; this one reads no data")
    return runner.read_fully(cache, FillTeller())


def print_counts(grid: "Grid", understood: Sequence[tuple[str, str]] = (), most: int = 12) -> None:
    """Print how many tasks are offered, by each value of each axis, and what data they have."""
    import numpy as np

    can_be_split = bool(grid.parts.is_dormant.any())
    grid = grid.take(np.flatnonzero(~grid.parts.is_dormant))
    print(f"{len(grid):,} tasks")
    width = max(len(name) for name in (*grid.names, *dict(understood)))
    for axis in grid.axes:
        if axis.name == grid.part_axis:
            continue
        counts = np.bincount(grid.column(axis.name), minlength=len(axis.values))
        print(f"  {axis.name:{width}}  {len(axis.values):,} values")
        rows = dict(zip(map(str, axis.values), counts.tolist(), strict=True))
        first = dict(list(rows.items())[:most])
        longest = max(24, *map(len, first))
        for value, count in first.items():
            print(f"  {'':{width}}    {value:{longest}} {count:>9,}")
        if len(rows) > most:
            print(f"  {'':{width}}    ... and {len(rows) - most:,} more")
    for label, text in understood:
        print(f"  {label:{width}}  {text}")
    if grid.part_axis is not None:
        _print_parts(grid, most)
    if can_be_split:
        print(f"  a whole task that turns out to be too long is split by {grid.part_axis} later")


def _print_parts(grid: "Grid", most: int) -> None:
    """Print what enters the pool in parts."""
    from jobpool.task import label

    part_axis = grid.axis(grid.part_axis or "")
    n_parts = len(part_axis.values) - 1
    in_parts = grid.parts.is_part.nonzero()[0].tolist()
    if not in_parts:
        print(f"  nothing by {part_axis.name}: every combination is one task")
        return
    groups = Counter(grid.whole(position) for position in in_parts)
    n_whole = len(grid) - len(in_parts)
    print(
        f"  by {part_axis.name}: {n_whole:,} combinations are one task each, "
        f"{len(groups):,} are {n_parts} tasks each:"
    )
    for point in list(groups)[:most]:
        print(f"  {'':8}{label(point)}")
    if len(groups) > most:
        print(f"  {'':8}... and {len(groups) - most:,} more")
