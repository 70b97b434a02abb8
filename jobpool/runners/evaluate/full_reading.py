"""Reading all maps of a study before its pool is used: what their headers cannot say.

Fills the ROI cache on the way, so that no map is read twice. If a map cannot be used, the others
are read, too, so that all are named at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobpool.brain.arrays import Array, FloatArray
from jobpool.brain.maps import MapBlock, Maps
from jobpool.brain.parcellations import Parcellation, read_parcellation
from jobpool.cache.roi.build import OnProgress, Progress
from jobpool.cache.roi.cache import RoiCache
from jobpool.cache.roi.store import RoiMatrix
from jobpool.errors import ConfigError, DataError, Problem, listing
from jobpool.learning.study import Study
from jobpool.learning.understood import Lines, labelled

_MOST_NAMED = 6
_MOST_PARCELLATIONS = 8
_MOST_HIT = 3  # parcellations of which an error names parcels
_OTHER_UNIT = 20.0  # times greater or smaller than in the median map


class Seen:
    """What was seen of each participant's map while all were read.

    Parameters
    ----------
    n_participants : int
        Of the study.
    """

    def __init__(self, n_participants: int) -> None:
        self.n_non_finite = np.zeros(n_participants, np.int64)
        self.size: FloatArray = np.full(n_participants, np.nan)  # the largest distance from 0
        self.constant = np.zeros(n_participants, np.bool_)  # in one of its modalities
        self.vertices: NDArray[np.bool_] | None = None  # where any map is not finite

    def __call__(self, block: MapBlock) -> None:
        """Take the maps of a block."""
        if block.finite is not None:
            spoiled = np.asarray(~block.finite.all(axis=(0, 2)))
            self.vertices = spoiled if self.vertices is None else self.vertices | spoiled
        for row, values in enumerate(block.values):
            who = block.start + row
            if who in block.dropped:
                continue
            finite = np.ones(values.shape, bool) if block.finite is None else block.finite[row]
            self.n_non_finite[who] = values.size - int(finite.sum())
            low, high = values.min(axis=0), values.max(axis=0)
            self.size[who] = max(abs(float(low.min())), abs(float(high.max())))
            self.constant[who] = bool((low == high).any())


def read_fully(
    study: Study,
    make_cache: Callable[[Maps], RoiCache] | None,
    on_progress: OnProgress,
    file: Path,
) -> Lines:
    """Read all maps, and return what there is to say about them.

    Parameters
    ----------
    study : Study
        Without problems.
    make_cache : callable, optional
        Given the maps, returns the cache to fill; without it nothing is kept.
    on_progress : callable
        Called with the progress.
    file : Path
        The experiment file, which errors name.

    Raises
    ------
    ConfigError
        If maps cannot be used: with each of them.
    """
    seen = Seen(len(study.ids))
    maps = replace(study.maps(), watch=seen)
    cache = None if make_cache is None else make_cache(maps)
    problems: tuple[str, ...] = ()
    try:
        if cache is None:
            problems = _read(maps, on_progress)
        else:
            cache.fill(on_progress)
    except DataError:  # the first of perhaps many
        problems = _read(maps, on_progress)
    found = seen.n_non_finite.nonzero()[0].tolist()
    if found and maps.problems.non_finite == "error":
        what = f"the maps of {len(found):,} participants have values that are not finite"
        shown = _named(study, seen.n_non_finite, found)
        where = _parcels_hit(study, seen.vertices)
        problems += (f"{what}: {shown}; {where}; repair them, or set on_non_finite: drop",)
    if problems:
        given = study.settings.maps
        raise ConfigError(tuple(Problem(file, "evaluate.maps", given, one) for one in problems))
    return [
        *labelled("read", _map_lines(study, seen)),
        *(labelled("no value", _lacking(study, cache)) if cache is not None else []),
    ]


def _read(maps: Maps, on_progress: OnProgress) -> tuple[str, ...]:
    """Read all maps, and return what is wrong with those that cannot be used."""
    maps = replace(maps, problems=replace(maps.problems, non_finite="drop"))
    wrong: list[str] = []
    spans = maps.spans()
    for number, (start, stop) in enumerate(spans):
        on_progress(
            Progress(
                spans=number, n_spans=len(spans), packed=0, n_parcellations=1, n_participants=stop
            )
        )
        try:
            for _ in maps.blocks(start, stop):
                pass
        except DataError as error:
            each = [_problem(maps, who) for who in range(start, stop)] if maps.one_each else []
            wrong += [one for one in each if one] or [str(error)]
    return tuple(wrong)


def _problem(maps: Maps, who: int) -> str | None:
    try:
        for _ in maps.blocks(who, who + 1):
            pass
    except DataError as error:
        return str(error)
    return None


def _map_lines(study: Study, seen: Seen) -> Iterator[str]:
    read = np.isfinite(seen.size)
    yield f"{int(read.sum()):,} maps"
    lost = seen.n_non_finite.nonzero()[0].tolist()
    if lost:
        yield f"  values that are not finite, left out: {_named(study, seen.n_non_finite, lost)}"
    constant = [study.ids[who] for who in seen.constant.nonzero()[0]]
    if constant:
        yield f"  look at maps of one value everywhere: {listing(constant, _MOST_NAMED)}"
    usual = float(np.median(seen.size[read])) if read.any() else 0.0
    with np.errstate(invalid="ignore"):
        odd = (seen.size > usual * _OTHER_UNIT) | (seen.size * _OTHER_UNIT < usual)
    odd &= ~seen.constant
    if odd.any() and usual > 0:
        shown = _named(study, seen.size / usual, odd.nonzero()[0].tolist())
        yield f"  look at maps in another unit than most (times theirs): {shown}"


def _parcels_hit(study: Study, vertices: NDArray[np.bool_] | None) -> str:
    """Say which parcels hold some vertices, for the first few parcellations."""
    said = []
    for name, source in list(study.parcellations.items())[:_MOST_HIT]:
        found = read_parcellation(source, study.folder)
        hit = np.flatnonzero(abs(found.weights) @ np.asarray(vertices, np.float64))
        parcels = listing(_numbers(found)[hit].tolist(), most=_MOST_NAMED) or "none"
        said.append(f"{name}: {parcels}")
    return f"parcels with such values, {'; '.join(said)}"


def _numbers(parcellation: Parcellation) -> Array:
    """Return what a person calls each parcel: its label, or its column counted from 1."""
    labels = parcellation.labels
    return labels if parcellation.kind == "hard" else labels + 1


def _named(study: Study, numbers: NDArray[Any], people: list[int]) -> str:
    shown = [f"{study.ids[who]} ({numbers[who]:,.6g})" for who in people]
    return listing(shown, most=_MOST_NAMED)


def _lacking(study: Study, cache: RoiCache) -> list[str]:
    """Return which parcels of which participants have no value."""
    lines = []
    for name, source in study.parcellations.items():
        matrix = cache.matrix(name)
        without = ~np.isfinite(matrix.values)
        without[list(matrix.dropped)] = False
        if without.any():
            lines.append(f"{name}: {_parcels(study, source, matrix, without)}")
    n_more = len(lines) - _MOST_PARCELLATIONS
    more = [f"... and {n_more:,} more parcellations"] if n_more > 0 else []
    return lines[:_MOST_PARCELLATIONS] + more


def _parcels(study: Study, source: str, matrix: RoiMatrix, without: NDArray[np.bool_]) -> str:
    labels = _numbers(read_parcellation(source, study.folder))
    people = np.flatnonzero(without.any(axis=1))
    parcels = np.unique(np.flatnonzero(without.any(axis=0)) % matrix.n_parcels)
    who = listing([study.ids[one] for one in people], _MOST_NAMED)
    return f"{who} in the parcels {listing(labels[parcels].tolist(), _MOST_NAMED)}"
