"""Cases: how many of each class every test part has, and what cannot be compared there.

Every split that a task will make is made here once, without features. Where nothing can be learned
or scored, `jobpool.learning.checks` refuses the target; what makes scores coarse, or a search
blind, is said before there is a pool.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from jobpool.brain.arrays import Array
from jobpool.errors import listing
from jobpool.learning.folds import Folds
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.scores import METRICS
from jobpool.learning.search import FoldData, Recipe, n_compared
from jobpool.learning.splits import PoolSplits
from jobpool.learning.strata import N_LEVELS
from jobpool.learning.study import Study
from jobpool.learning.targets import Target
from jobpool.learning.understood import Lines, labelled, shown_class

FEW = 5  # cases of a class in a test part: with fewer, scores move in steps of a fifth or more
OUTER = "outer test parts"
INNER, HELD_OUT = "inner test parts", "holdouts"
WITHOUT = " of fits without an inner fold"
_MOST_TARGETS = 4
_MOST_NUMBERS = 5
_MOST_WARNINGS = 12
_THIRDS = ("lower third", "middle third", "upper third")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A test part of some level: of an outer fold, or one that candidates are compared on."""

    level: str
    place: str  # the fold that it belongs to, as errors name it
    rows: Array  # (n,) int32: positions in the participants table


def fits_without(study: Study) -> bool:
    """Say whether there are fits that leave out an inner fold."""
    return any(ensemble.strategy != "voted" for ensemble in study.ensembles.values())


def every_fit(study: Study, target: Target, folds: Folds) -> Iterator[tuple[Recipe, FoldData]]:
    """Yield the splits of every fit of a target, without features, and how they are compared.

    Raises
    ------
    TooFewError
        At the first one that cannot be learned from or scored.
    """
    by_holdout = {one.holdout is None: name for name, one in study.pipelines.items()}
    recipes = [study.recipe(name, target, seed=0) for name in by_holdout.values()]
    nothing = np.empty((int(target.present.sum()), 0))
    parts: list[int | None] = [None, *(range(folds.n_inner) if fits_without(study) else ())]
    for recipe, fold, part in product(recipes, range(folds.n_outer), parts):
        if recipe.search_metric in METRICS[target.kind]:  # else a problem of its own
            yield recipe, folds.data(fold, nothing, target, target.present, recipe, part)


def case_lines(study: Study, splits: PoolSplits, seed: int) -> Lines:
    """Return the cases per class and fold at every level, and what to look at.

    Parameters
    ----------
    study : Study
        Without problems.
    splits : PoolSplits
        Its splits.
    seed : int
        Of the experiment: that of the candidates.
    """
    cases: list[str] = []
    warnings: list[str] = []
    n_more = 0
    for name, target in study.targets.items():
        folds = Folds(splits.of(name), study.groups)
        fits = list(every_fit(study, target, folds))
        parts = _parts(fits)
        strata = splits.of(name).strata
        names = _class_names(target, strata)
        if names:
            found = list(_counted(target, parts, _classes(target, strata), names))
            warnings += list(_few(target, parts)) if target.kind is Kind.BINARY else ()
            n_more += len(cases) >= _MOST_TARGETS * 3
            cases += found if len(cases) < _MOST_TARGETS * 3 else []
        if target.kind is Kind.REGRESSION:
            warnings += list(_same(target, parts))
        warnings += list(_constant(study, target, fits, seed))
    if n_more:
        cases.append(f"... and {n_more:,} more targets with classes")
    if len(warnings) > _MOST_WARNINGS:
        left = len(warnings) - _MOST_WARNINGS + 1
        warnings[_MOST_WARNINGS - 1 :] = [f"... and {left:,} more like these"]
    return [*labelled("cases", cases), *labelled("look at", warnings)]


def _parts(fits: Sequence[tuple[Recipe, FoldData]]) -> list[Part]:
    """Return all test parts, each once."""
    found: dict[tuple[str, bytes], Part] = {}
    for recipe, data in fits:
        without = "" if data.without is None else WITHOUT
        level = (INNER if recipe.pipeline.holdout is None else HELD_OUT) + without
        tests = [(level, data.inner == one) for one in np.unique(data.inner[data.inner >= 0])]
        if data.without is None:
            tests.append((OUTER, data.test))
        for one, mask in tests:
            part = Part(level=one, place=data.place, rows=data.rows[mask])
            found[one, data.place.encode() + part.rows.tobytes()] = part
    return list(found.values())


def _levels(parts: Sequence[Part]) -> dict[str, list[Part]]:
    levels: dict[str, list[Part]] = {}
    order = [OUTER, INNER, HELD_OUT, INNER + WITHOUT, HELD_OUT + WITHOUT]
    for part in sorted(parts, key=lambda one: order.index(one.level)):
        levels.setdefault(part.level, []).append(part)
    return levels


def _classes(target: Target, strata: Array | None) -> Array:
    """Return the class of each participant, from 0."""
    return target.y if strata is None or target.kind is Kind.BINARY else strata


def _class_names(target: Target, strata: Array | None) -> tuple[str, ...]:
    """Return the names of the classes; none if there is one class only."""
    if target.kind is Kind.BINARY:
        return tuple(map(shown_class, target.classes))
    n_levels = 1 if strata is None else int(strata.max()) + 1
    if n_levels == 1:
        return ()
    return _THIRDS if n_levels == N_LEVELS else ("lower values", "upper values")


def _counted(
    target: Target, parts: Sequence[Part], classes: Array, names: tuple[str, ...]
) -> Iterator[str]:
    """Yield the cases of each class in the parts of each level, the smallest first."""
    for level, some in _levels(parts).items():
        counts = {
            name: sorted(int((classes[part.rows] == one).sum()) for part in some)
            for one, name in enumerate(names)
        }
        rare_first = sorted(counts, key=counts.__getitem__)
        texts = [f"{name}: {_short(counts[name])}" for name in rare_first]
        yield f"{target.name}, {len(some):,} {level} - {'; '.join(texts)}"


def _short(numbers: Sequence[int]) -> str:
    """Return numbers from the smallest to the largest, not all of many.

    Examples
    --------
    >>> _short([1, 2, 2]), _short([1, 1, 1, 2, 2, 2, 3])
    ('1, 2, 2', '1, 1, 1, 2, ... 3')
    """
    if len(numbers) <= _MOST_NUMBERS:
        return ", ".join(f"{one:,}" for one in numbers)
    first = ", ".join(f"{one:,}" for one in numbers[: _MOST_NUMBERS - 1])
    return f"{first}, ... {numbers[-1]:,}"


def _few(target: Target, parts: Sequence[Part]) -> Iterator[str]:
    """Yield where a class of a binary target is missing, or rare."""
    for level, some in _levels(parts).items():
        for one, name in enumerate(map(shown_class, target.classes)):
            counts = [int((target.y[part.rows] == one).sum()) for part in some]
            where = f"{len(some):,} {level}"
            if not min(counts):  # an outer one is an error
                yield (
                    f"{target.name}: {counts.count(0):,} of {where} have no {name}, so candidates "
                    "are not compared there"
                )
            elif min(counts) < FEW:
                n_few = sum(count < FEW for count in counts)
                yield (
                    f"{target.name}: {n_few:,} of {where} have fewer than {FEW} {name}, the fewest "
                    f"{min(counts)}: their scores move in large steps"
                )


def _same(target: Target, parts: Sequence[Part]) -> Iterator[str]:
    """Yield where a continuous target has one value only."""
    for level, some in _levels(parts).items():
        same = [part.place for part in some if np.ptp(target.y[part.rows]) == 0]
        if same and level == OUTER:
            which = listing(place.removeprefix("outer fold ") for place in same)
            yield (
                f"{target.name}: everybody tested in outer folds {which} has one value: r2 and the "
                "like are not defined there, and their means are missing"
            )
        elif same:
            yield (
                f"{target.name}: in {len(same):,} of {len(some):,} {level} everybody has one "
                "value, so candidates are not compared there"
            )


def _constant(
    study: Study, target: Target, fits: Sequence[tuple[Recipe, FoldData]], seed: int
) -> Iterator[str]:
    """Yield how many candidates can only predict a constant, where they are compared."""
    smallest = {
        recipe.pipeline.holdout is None: min(
            n_compared(one.inner[~one.test]) for other, one in fits if other is recipe
        )
        for recipe, _ in fits
    }
    for name, pipeline in study.pipelines.items():
        n = smallest.get(pipeline.holdout is None)
        if pipeline.constant is None or n is None:
            continue
        recipe = study.recipe(name, target, seed)
        candidates = recipe.pipeline.candidates(recipe.kind, recipe.n_candidates, seed)
        count = sum(pipeline.constant(recipe.kind, one, n) for one in candidates)
        if count:
            yield (
                f"{target.name}: {count:,} of {len(candidates):,} candidates of {name} can only "
                f"predict a constant when they learn from {n:,} participants"
            )
