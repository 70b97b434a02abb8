"""The columns of a row that do not come from its result: where on the axes it stands, who made it.

A row comes from one task, or from all parts of a task that was cut up.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.collect.columns import texts, typed, whole
from jobpool.journal.jsonl import worker_name
from jobpool.table.arrays import Table
from jobpool.table.columns import ID, OF_RESULTS, OURS, RERUN_PENDING, listed, set_apart
from jobpool.table.grid import Grid, smallest_codes


def id_name(grid: Grid) -> str:
    """Return the name of the column of ids."""
    return set_apart([ID], grid.names, OURS)[ID]


def point_columns(grid: Grid, codes: NDArray[np.intp]) -> dict[str, Any]:
    """Return the ids of whole tasks, axes and attributes.

    Parameters
    ----------
    grid : Grid
        The grid that the codes belong to.
    codes : ndarray of shape (n_axes, n_rows), int
        Each row's value on each axis.
    """
    wholes = grid.parts.as_wholes(codes)
    units = replace(grid, codes=smallest_codes(wholes, grid.axes)).parts.units
    _, first, rows = np.unique(units, return_index=True, return_inverse=True)
    ids = replace(grid, codes=smallest_codes(wholes[:, first], grid.axes)).ids()
    columns = {id_name(grid): texts(ids).take(rows)}
    for axis, some in zip(grid.axes, codes, strict=True):
        used = np.bincount(some, minlength=len(axis.values)) > 0
        used |= not used.any()  # the type of a column without rows is that of all values
        # where "all" has no row, parts with numbers are a column of numbers
        values = [value if one else None for value, one in zip(axis.values, used, strict=True)]
        columns[axis.name] = typed(values).take(some)
    for name, attribute in grid.attributes_by_name.items():
        some = codes[grid.names.index(attribute.axis)]
        columns[name] = typed(attribute.values).take(some)
    return columns


def earlier_name(grid: Grid) -> str:
    """Return the name of the column that marks rows of tasks that are computed again."""
    taken = {id_name(grid), *grid.names, *grid.attributes_by_name}
    return set_apart([RERUN_PENDING], taken, OURS)[RERUN_PENDING]


def own_names(grid: Grid) -> dict[str, str]:
    """Return the names of the columns that `own_columns` makes, beside the others of a pool."""
    return set_apart(OF_RESULTS, {id_name(grid), *grid.names, *grid.attributes_by_name}, OURS)


def own_columns(
    table: Table,
    facts: Mapping[str, NDArray[np.float64]],
    places: NDArray[np.intp],
    merged: Mapping[int, list[int]],
) -> dict[str, Any]:
    """Return the columns of `OF_RESULTS`.

    Parameters
    ----------
    table : ndarray of shape (n_tasks,), `jobpool.table.arrays.RECORD_TYPE`
        The records.
    facts : mapping
        Of each task, what `jobpool.collect.accepted.FACTS` names; NaN where it is not known.
    places : ndarray of shape (n_rows,), int
        The task that each row comes from.
    merged : mapping
        Of the rows that come from several tasks, all of these: their seconds and failed attempts
        add up, of memory and cores the most counts, of the ends the last.
    """
    spent = facts["ended"] - facts["started"]
    sums = {"task_seconds": spent, "failed_attempts": table["attempts"].astype(np.int64)}
    columns: dict[str, Any] = {}
    for name, by_place in sums.items():
        columns[name] = by_place[places]
        for row, several in merged.items():
            columns[name][row] = by_place[several].sum()
    columns["task_seconds"] = columns["task_seconds"].round(3)
    columns["worker"] = _workers(table["owner"], places, merged)
    for name in ("peak_memory_mb", "cores", "ended"):
        columns[name] = facts[name][places]
        for row, several in merged.items():
            columns[name][row] = np.fmax.reduce(facts[name][several])
    return listed(OF_RESULTS, {**columns, "cores": whole(columns["cores"])})


def earlier_column(
    grid: Grid,
    is_earlier: NDArray[np.bool_],
    places: NDArray[np.intp],
    merged: Mapping[int, list[int]],
) -> dict[str, Any]:
    """Return the column that marks rows whose task is computed again; none if no task is.

    Parameters
    ----------
    grid : Grid
        All tasks.
    is_earlier : ndarray of shape (n_tasks,), bool
        The tasks that are computed again.
    places, merged
        As of `own_columns`; a row that comes from several tasks is marked if one of these is.
    """
    if not is_earlier.any():
        return {}
    column = is_earlier[places]
    for row, several in merged.items():
        column[row] = is_earlier[several].any()
    return {earlier_name(grid): column}


def _workers(
    owners: NDArray[np.uint64], places: NDArray[np.intp], merged: Mapping[int, list[int]]
) -> Any:
    numbers, codes = np.unique(owners[places], return_inverse=True)
    names = [worker_name(int(number)) for number in numbers]
    for row, several in merged.items():
        codes[row] = len(names)
        names.append(" ".join(dict.fromkeys(worker_name(int(owners[one])) for one in several)))
    return texts(names).take(codes)
