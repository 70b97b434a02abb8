"""``jobpool extend``: add to a pool what a changed experiment file adds."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jobpool.cli.options import ConfigArgument, PoolArgument, open_to_change


def extend(
    config: ConfigArgument,
    pool: PoolArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be added, change nothing.")
    ] = False,
    moved: Annotated[
        bool,
        typer.Option(
            "--moved", help="The study's folder was moved: from now on its files are beside CONFIG."
        ),
    ] = False,
) -> None:
    """Add the tasks that a changed experiment file adds.

    Nothing else is touched.
    What contradicts finished results (another seed, other folds, a value taken away) is refused.

    \b
    jobpool extend configs/nback-flanker.yaml POOL --dry-run
    jobpool extend configs/nback-flanker.yaml POOL
    jobpool extend newplace/study.yaml newplace/pool --moved
    """
    from jobpool.admin.extend import changed_settings, extend_pool
    from jobpool.experiment.config import InPool
    from jobpool.runners import load_study
    from jobpool.runners.base import SupportsUnderstood, prepare
    from jobpool.table.arrays import n_counted
    from jobpool.table.code_files import EXPERIMENT, CodeFiles, check_own

    check_own(pool)
    files = CodeFiles(pool, ())
    files.are_named = False
    opened = open_to_change(pool, files)
    is_own = config.resolve() == (pool / EXPERIMENT).resolve()  # edited in the pool
    before = None if opened.is_edited else opened.experiment()
    in_pool = InPool(axes=opened.grid.names, reading=opened.info.reading)
    n_before = n_counted(opened.counts())
    start = Path(opened.info.folder) if is_own else None
    experiment, runner, grid = load_study(config, start, pool=in_pool)
    shared = partial(prepare, runner)
    added = extend_pool(opened, experiment, grid, shared, dry_run=dry_run, moved=moved)
    word = "would add" if dry_run else "added"
    print(f"{word} {added:,} tasks to {pool}, which had {n_before:,}")
    adopted = changed_settings(before, experiment) if before else [EXPERIMENT]
    if adopted:
        print(f"{'would adopt' if dry_run else 'adopted'} what changed in: {', '.join(adopted)}")
    if added and isinstance(runner, SupportsUnderstood):
        understood = runner.understood()
        width = max(len(label) for label, _ in understood)
        for label, text in understood:
            print(f"  {label:{width}}  {text}", file=sys.stderr)
