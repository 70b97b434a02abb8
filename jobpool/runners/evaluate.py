"""The runner ``evaluate``: one parcellation, one pipeline, one target, on grouped folds.

    POOL/splits.npz    the folds of all participants, the same for every task
    POOL/cache/roi/    the mean of every map in every parcel, computed by the first task to need it

The result of a task depends on the experiment alone: not on cores, on the order of tasks, or on
whether its folds ran as one task or as several.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy
import sklearn
from threadpoolctl import threadpool_limits

from jobpool import __version__
from jobpool.brain.arrays import Array
from jobpool.brain.parcellations import Parcellation, read_parcellation
from jobpool.brain.reduction import roi_means
from jobpool.cache.roi import RoiCache, roi_key
from jobpool.errors import DataError
from jobpool.experiment import Experiment
from jobpool.grid import Attribute, Grid, full_product, split_parts
from jobpool.learning.checks import Checked, check_study
from jobpool.learning.evaluation import FoldData, evaluate_fold
from jobpool.learning.participants import Target
from jobpool.learning.pipelines import PIPELINES
from jobpool.learning.results import merge_results, result_row
from jobpool.learning.search import Recipe
from jobpool.learning.splits import FILE_NAME, Splits, read_splits, write_splits
from jobpool.learning.study import PART_AXIS, Readers, Study, read_study
from jobpool.runners.base import RunContext
from jobpool.task import ALL, Axis, Json, Value


class Evaluate:
    """Evaluates pipelines on parcellated brain maps.

    Parameters
    ----------
    experiment : Experiment
        Its axes are ``parcellation``, ``pipeline`` and ``target``; the axis ``fold`` is added.
    pool : Path, optional
        The pool the tasks come from. Without one, all data are checked at once; with one they
        were, and are read when the first task needs them.

    Raises
    ------
    ConfigError
        With every problem of the section, the axes and the data.
    """

    def __init__(self, experiment: Experiment, pool: Path | None = None) -> None:
        self._experiment = experiment
        self._pool = pool
        if pool is None:
            _ = self._checked

    @cached_property
    def _checked(self) -> Checked:
        readers = Readers.of(self._experiment)
        return check_study(self._experiment, read_study(self._experiment, readers), readers)

    @cached_property
    def _study(self) -> Study:
        if self._pool is None:
            return self._checked.study
        readers = Readers.of(self._experiment)
        study = read_study(self._experiment, readers)
        readers.section.finish()
        return study

    @cached_property
    def _splits(self) -> Splits:
        if self._pool is None:
            return self._checked.splits
        return read_splits(self._pool / FILE_NAME, self._study.ids, self._study.groups)

    def lay_out(self) -> Grid:
        """Return one task per parcellation, pipeline and target, the large ones cut into folds."""
        parcellations = self._checked.parcellations
        targets = self._study.targets
        names = list(parcellations)
        attributes = (
            Attribute(
                name="parcels",
                axis="parcellation",
                values=tuple(one.n_parcels for one in parcellations.values()),
            ),
            Attribute(
                name="parcellation_kind",
                axis="parcellation",
                values=tuple(one.kind for one in parcellations.values()),
            ),
            Attribute(
                name="target_kind",
                axis="target",
                values=tuple(str(one.kind) for one in targets.values()),
            ),
        )
        grid = full_product(self._experiment.axes, attributes)
        plan = self._study.plan
        by_fold = np.array(
            [plan.by_fold.matches(name, parcellations[name].n_parcels) for name in names],
            dtype=bool,
        )
        folds = Axis(name=PART_AXIS, values=(ALL, *range(plan.n_outer)))
        return split_parts(grid, folds, by_fold[grid.column("parcellation")])

    def prepare(self, pool: Path) -> None:
        """Write the splits into the pool; if they are there, check that they are the same.

        Raises
        ------
        DataError
            If the pool has other splits.
        """
        path = pool / FILE_NAME
        digests = {name: target.digest for name, target in self._study.targets.items()}
        made = replace(self._checked.splits, targets=digests)
        if not path.exists():
            write_splits(path, made)
            return
        known = read_splits(path, self._study.ids, self._study.groups)
        if known.digest != made.digest:
            what = "the folds or the seed changed since the pool was made; make a new pool"
            raise DataError(path, what)
        for name, digest in digests.items():
            _check_digest(self._study, known, name, digest)
        if digests.keys() - known.targets.keys():
            write_splits(path, replace(made, targets={**known.targets, **digests}))

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:
        """Evaluate one task on all outer folds, or on the one that `point` names."""
        start = time.perf_counter()
        study, splits = self._study, self._splits
        target = study.targets[str(point["target"])]
        _check_digest(study, splits, target.name, target.digest)
        pipeline = PIPELINES[str(point["pipeline"])]
        seed = self._experiment.seed
        with threadpool_limits(limits=1):
            values, about = self._values(str(point["parcellation"]), context.cache)
            seconds = {"values": round(time.perf_counter() - start, 3)}
            recipe = Recipe(
                pipeline=pipeline, kind=target.kind, settings=study.plan.settings, seed=seed
            )
            candidates = pipeline.candidates(target.kind, study.plan.n_candidates, seed)
            X = values[target.present].astype(np.float64)
            part = point.get(PART_AXIS, ALL)
            folds: list[Json] = [
                evaluate_fold(
                    recipe, _fold_data(fold, X, target, splits), candidates, context.cores
                )
                for fold in (range(splits.n_outer) if part == ALL else [int(part)])
            ]
        seconds["total"] = round(time.perf_counter() - start, 3)
        return {
            "kind": str(target.kind),
            "classes": list(target.classes),
            "folds": folds,
            "n_candidates": len(candidates),
            "seed": seed,
            "splits": splits.digest[:12],
            "participants": _count(target),
            **about,
            "versions": _versions(),
            "seconds": dict(seconds),
        }

    def _values(self, name: str, cache: Path) -> tuple[Array, dict[str, Json]]:
        """Return the ROI values of all participants, and what the result says about them."""
        study = self._study
        parcellation = read_parcellation(study.parcellations[name], study.folder)
        maps = study.maps()
        divisor = study.plan.divisor
        key = roi_key(maps=maps.identity(), parcellation=parcellation.digest(), divisor=divisor)
        about: dict[str, Json] = {"parcellation": name, "maps": study.plan.maps}
        values, _ = RoiCache(cache).values(
            key, about, lambda: roi_means(maps, parcellation, divisor)
        )
        return values, _describe(parcellation, values)

    def merge(self, parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
        """Return, from the results of single folds, what the whole task returns; seconds add up."""
        return merge_results(parts)

    def check(self) -> None:
        """Look at nothing: the data were checked when the pool was made."""

    def row(self, result: Mapping[str, Json]) -> dict[str, Value | None]:
        """Return mean scores, scores per fold, chosen parameters and counts."""
        return result_row(result)


def _check_digest(study: Study, splits: Splits, name: str, digest: str) -> None:
    """Refuse a target whose values changed: folds of old and new data would become one row."""
    if splits.targets.get(name, digest) != digest:
        what = f"the values of {name} changed since the pool was made; restore the table, or make "
        raise DataError(study.plan.participants, what + "a new pool")


def _fold_data(fold: int, X: Any, target: Target, splits: Splits) -> FoldData:
    present = target.present
    return FoldData(
        fold=fold,
        X=X,
        y=target.y[present],
        test=splits.outer[present] == fold,
        inner=splits.inner[fold][present],
    )


def _count(target: Target) -> dict[str, Json]:
    n_missing = int((~target.present).sum())
    dropped: dict[str, Json] = {f"{target.name} is missing": n_missing} if n_missing else {}
    return {"in_table": len(target.y), "used": int(target.present.sum()), "dropped": dropped}


def _describe(parcellation: Parcellation, values: Array) -> dict[str, Json]:
    return {
        "n_parcels": parcellation.n_parcels,
        "n_empty_parcels": parcellation.n_empty,
        "n_features": int(values.shape[1]),
    }


def _versions() -> dict[str, Json]:
    return {
        "jobpool": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "joblib": joblib.__version__,
    }
