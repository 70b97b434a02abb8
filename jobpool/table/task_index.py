"""Where the task with a given id, or one that begins so, stands in the grid."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobpool.errors import RequestError, listing
from jobpool.table.grid import Grid
from jobpool.task import ID_ALPHABET, ID_LETTERS, label

Mask = NDArray[np.bool_]


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


def positions_of(grid: Grid, ids: Iterable[str], likely: Mask | None = None) -> dict[str, int]:
    """Return the positions of tasks by their ids; those that the grid lacks are left out.

    Takes as long for one id as for thousands, and little memory.

    Parameters
    ----------
    grid : Grid
        All tasks.
    ids : iterable of str
        Of the tasks.
    likely : ndarray of shape (n_tasks,), bool, optional
        The tasks to look at first; the others are looked at only if one is still missing. By
        default those that are no dormant parts: an id costs a microsecond, and a grid may have a
        million.
    """
    wanted = {_range_of(one)[0]: one for one in ids if len(one) == ID_LETTERS and _is_begin(one)}
    found: dict[str, int] = {}
    for positions, numbers in _looked_at(grid, likely) if wanted else ():
        for place in np.flatnonzero(np.isin(numbers, np.array(list(wanted), np.uint64))).tolist():
            found[wanted[int(numbers[place])]] = int(positions[place])
        if len(found) == len(wanted):
            break
    return found


def find_tasks(
    pool: Path, grid: Grid, words: Sequence[str], likely: Mask | None = None
) -> list[int]:
    """Return the positions of the tasks whose id is, or begins with, one of the user's words.

    Parameters
    ----------
    pool : Path
        The pool's folder, for the error.
    grid : Grid
        All tasks.
    words : sequence of str
        Ids, or how they begin.
    likely : ndarray of shape (n_tasks,), bool, optional
        As of `positions_of`: another task is found only if none of these is.

    Raises
    ------
    RequestError
        If there is none for a word, or a word is empty.
    """
    if "" in words:  # an unset variable of the shell: every id begins so
        raise RequestError(pool, "the id of a task is empty; give the id, or how it begins")
    found: dict[str, list[int]] = {}
    for positions, numbers in _looked_at(grid, likely):
        for word in dict.fromkeys(words):
            if word not in found and _is_begin(word.lower()):
                low, high = map(np.uint64, _range_of(word.lower()))
                places = np.flatnonzero((numbers >= low) & (numbers < high))
                found |= {word: positions[places].tolist()} if len(places) else {}
        if len(found) == len(set(words)):
            break
    for word in words:
        if word not in found:
            ids = grid.take(_first_of(grid, likely)).ids()
            close = listing(_closest(word.lower(), ids), most=3)
            what = f"has no task whose id begins with {word!r}; nearest: {close}"
            raise RequestError(pool, f"{what}; ids are in: jobpool errors, log, collect")
    return [position for word in words for position in found[word]]


def _looked_at(
    grid: Grid, likely: Mask | None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint64]]]:
    """Yield positions and numbers of the likely tasks, then of the others."""
    first = _first_of(grid, likely)
    yield first, grid.take(first).id_numbers()
    others = np.setdiff1d(np.arange(len(grid)), first, assume_unique=True)
    yield others, grid.take(others).id_numbers()


def _first_of(grid: Grid, likely: Mask | None) -> NDArray[np.intp]:
    return np.flatnonzero(~grid.parts.is_dormant if likely is None else likely)


def _is_begin(word: str) -> bool:
    return len(word) <= ID_LETTERS and set(word) <= set(ID_ALPHABET)


def _range_of(word: str) -> tuple[int, int]:
    """Return the lowest number of the ids that begin so, and the first number beyond."""
    number = 0
    for letter in word:
        number = number * 32 + ID_ALPHABET.index(letter)
    unit = 32 ** (ID_LETTERS - len(word))
    return number * unit, (number + 1) * unit


def find_task(pool: Path, grid: Grid, word: str, likely: Mask | None = None) -> int:
    """Return the position of the one task whose id is, or begins with, a word of the user.

    Parameters as of `find_tasks`.

    Raises
    ------
    RequestError
        If there is none, or more than one.
    """
    found = find_tasks(pool, grid, [word], likely)
    if len(found) > 1:
        named = (f"{grid.id(position)} ({label(grid.point(position))})" for position in found)
        what = f"has {len(found)} tasks whose id begins with {word!r}; give more of it: "
        raise RequestError(pool, what + listing(named, most=5))
    return found[0]


def _closest(wanted: str, ids: Iterable[str]) -> list[str]:
    """Return the ids with most letters in the places where `wanted` has them."""
    alike = {name: sum(a == b for a, b in zip(wanted, name, strict=False)) for name in ids}
    return sorted(alike, key=lambda name: (-alike[name], name))[:3]
