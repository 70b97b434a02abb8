"""Make a pool, or open one."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jobpool.admin.create import create_pool, free_to_make
from jobpool.api.given import config_file, own_errors, umask_kept
from jobpool.api.pool import Pool
from jobpool.runners import load_study
from jobpool.runners.base import prepare


@own_errors
def init(config: str | Path | Mapping[str, Any], pool: str | Path) -> Pool:
    """Make a pool, and open it.

    Parameters
    ----------
    config : str, Path or mapping
        The experiment file, or what would stand in it. Relative paths in a mapping start in the
        current folder; functions may stand for ``module:name``. It is checked as a whole before
        anything is made.
    pool : str or Path
        The folder to make; must not exist, or be empty.

    Returns
    -------
    Pool

    Raises
    ------
    ConfigError
        With every problem of the experiment.
    PoolError
        If the folder is taken or cannot be written.

    Examples
    --------
    How many leap years lie between two years? The axes are the function's arguments.

    >>> import calendar, tempfile
    >>> config = {
    ...     "runner": "function",
    ...     "function": {"call": calendar.leapdays},
    ...     "axes": {"y1": [1900, 1950], "y2": [2000, 2025]},
    ... }
    >>> pool = init(config, tempfile.mkdtemp() + "/leap")
    >>> pool
    Pool('.../leap')
    >>> len(pool)
    4
    """
    folder = Path(pool)
    with config_file(config, folder.name) as (file, start), umask_kept():
        experiment, runner, grid = load_study(file, start)
        free_to_make(folder)
        create_pool(folder, experiment, grid, partial(prepare, runner), now=time.time())
    return Pool(folder)


def open(pool: str | Path) -> Pool:
    """Open a pool that is there.

    Parameters
    ----------
    pool : str or Path
        The pool's folder.

    Returns
    -------
    Pool

    Raises
    ------
    RequestError
        If the folder is no pool.
    PoolError
        If the pool is damaged, or of a newer format.

    Examples
    --------
    >>> open("no-such-folder")
    Traceback (most recent call last):
    ...
    jobpool.errors.RequestError: no-such-folder: no such folder; make one with: jobpool init ...
    """
    return Pool(pool)
