"""Where the task with a given id, or one that begins so, stands in the grid."""

from base64 import b32decode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.errors import RequestError, listing
from jobpool.table.grid import Grid
from jobpool.task import label


def positions_by_id(grid: Grid, chosen: NDArray[np.bool_]) -> dict[str, int]:
    """Return the positions of some tasks by their ids, each of which costs some microseconds.

    Parameters
    ----------
    grid : Grid
        All tasks.
    chosen : ndarray of shape (n_tasks,), bool
        Those that are wanted.
    """
    positions = np.flatnonzero(chosen)
    return dict(zip(grid.take(positions).ids(), positions.tolist(), strict=True))


def positions_of(grid: Grid, ids: Iterable[str]) -> dict[str, int]:
    """Return the positions of tasks by their ids; those that the grid lacks are left out.

    Takes as long for one id as for thousands, and little memory.
    """
    wanted: dict[bytes, str] = {}
    for task in ids:
        with suppress(ValueError):  # no id of any task
            # the first 56 bits of an id: as good as all 60, and whole bytes
            wanted[b32decode(task.upper() + "AAAA")[:7]] = task
    found: dict[str, int] = {}
    for position, digest in enumerate(grid.digests() if wanted else ()):
        if digest[:7] in wanted:
            found[wanted[digest[:7]]] = position
    return found


def find_tasks(pool: Path, grid: Grid, words: Sequence[str]) -> list[int]:
    """Return the positions of the tasks whose id is, or begins with, one of the user's words.

    Raises
    ------
    RequestError
        If there is none for a word, or a word is empty.
    """
    if "" in words:  # an unset variable of the shell: every id begins so
        raise RequestError(pool, "the id of a task is empty; give the id, or how it begins")
    ids, positions = grid.ids(), list[int]()
    for word in words:
        found = [i for i, name in enumerate(ids) if name.startswith(word.lower())]
        if not found:
            close = listing(_closest(word.lower(), ids), most=3)
            what = f"has no task whose id begins with {word!r}; nearest: {close}"
            raise RequestError(pool, f"{what}; ids are in: jobpool errors, log, collect")
        positions += found
    return positions


def find_task(pool: Path, grid: Grid, word: str) -> int:
    """Return the position of the one task whose id is, or begins with, a word of the user.

    Raises
    ------
    RequestError
        If there is none, or more than one.
    """
    found = find_tasks(pool, grid, [word])
    if len(found) > 1:
        named = (f"{grid.id(position)} ({label(grid.point(position))})" for position in found)
        what = f"has {len(found)} tasks whose id begins with {word!r}; give more of it: "
        raise RequestError(pool, what + listing(named, most=5))
    return found[0]


def _closest(wanted: str, ids: Iterable[str]) -> list[str]:
    """Return the ids with most letters in the places where `wanted` has them."""
    alike = {name: sum(a == b for a, b in zip(wanted, name, strict=False)) for name in ids}
    return sorted(alike, key=lambda name: (-alike[name], name))[:3]
