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
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from jobpool import __version__
from jobpool.brain.arrays import Array, FloatArray
from jobpool.cache.roi import RoiCache
from jobpool.cache.store import RoiMatrix
from jobpool.errors import DataError
from jobpool.experiment import Experiment
from jobpool.grid import Attribute, Grid, full_product, split_parts
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.checks import Checked, check_study
from jobpool.learning.evaluation import FoldData, evaluate_fold
from jobpool.learning.results import merge_results, result_row
from jobpool.learning.scores import METRICS
from jobpool.learning.search import Recipe, describe
from jobpool.learning.splits import FILE_NAME, Splits, read_splits, write_splits
from jobpool.learning.study import PART_AXIS, Readers, Study, read_study
from jobpool.learning.targets import Target
from jobpool.learning.usable import check_fold, group_ranks, usable_participants
from jobpool.runners.base import RunContext
from jobpool.task import ALL, Axis, Json, Value

# what the numbers of a result come from
LIBRARIES = ("numpy", "scipy", "scikit-learn", "joblib", "lightgbm", "optuna")


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
        self._cache: tuple[Path, RoiCache] | None = None
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
        """Evaluate one task on all outer folds, or on the one that `point` names.

        What an earlier attempt finished is taken from the task's checkpoint.
        """
        start = time.perf_counter()
        target = self._target(str(point["target"]))
        recipe = self._recipe(str(point["pipeline"]), target)
        with threadpool_limits(limits=1):
            matrix = self.roi_cache(context.cache).matrix(
                str(point["parcellation"]), deadline=context.deadline
            )
            seconds = {"values": round(time.perf_counter() - start, 3)}
            usable, dropped = usable_participants(target, matrix.values, matrix.dropped)
            made_of = {**describe(recipe), **self._made_of(target, matrix)}
            every_s = self._experiment.workers.heartbeat_s
            checkpoint = Checkpoint(
                context.checkpoint, made_of, every_s=every_s, writer=context.writer
            )
            X = matrix.values[usable].astype(np.float64)
            part = point.get(PART_AXIS, ALL)
            numbers = range(self._splits.n_outer) if part == ALL else [int(part)]
            folds: list[Json] = []
            with checkpoint.kept_if_it_fails():
                for number in numbers:
                    data = self._fold(number, X, target, usable, recipe)
                    folds.append(evaluate_fold(recipe, data, context.cores, checkpoint))
        seconds["total"] = round(time.perf_counter() - start, 3)
        return {
            "kind": str(target.kind),
            "classes": list(target.classes),
            "folds": folds,
            "n_candidates": recipe.n_candidates,
            "search": recipe.method,
            "seed": recipe.seed,
            "splits": self._splits.digest[:12],
            "roi_values": matrix.key[:12],
            "participants": {
                "in_table": len(target.y),
                "used": int(usable.sum()),
                "dropped": dict(dropped),
            },
            "n_parcels": matrix.n_parcels,
            "n_empty_parcels": matrix.n_empty,
            "n_non_finite": matrix.n_non_finite,
            "n_features": int(matrix.values.shape[1]),
            "versions": _versions(),
            "seconds": dict(seconds),
        }

    def roi_cache(self, folder: Path) -> RoiCache:
        """Return the ROI values of the experiment's parcellations, kept under `folder`."""
        if self._cache is None or self._cache[0] != folder:
            study = self._study
            cache = RoiCache(
                folder,
                study.maps(),
                study.parcellations,
                study.folder,
                study.plan.divisor,
                "drop" if study.plan.drop_empty else "error",
            )
            self._cache = (folder, cache)
        return self._cache[1]

    def _target(self, name: str) -> Target:
        target = self._study.targets[name]
        _check_digest(self._study, self._splits, name, target.digest)
        return target

    def _recipe(self, pipeline: str, target: Target) -> Recipe:
        plan = self._study.plan
        searching = plan.searching
        found = self._study.pipelines[pipeline]
        return Recipe(
            pipeline=found,
            kind=target.kind,
            settings=plan.settings,
            seed=self._experiment.seed,
            n_candidates=self._study.n_candidates(found),
            method=searching.method,
            metric=searching.search_metric.get(target.kind, ""),
            reported=searching.metrics.get(target.kind, ()),
            plain=searching.plain,
        )

    def _made_of(self, target: Target, matrix: RoiMatrix) -> dict[str, Json]:
        versions = _versions()
        return {
            "values": matrix.key,
            "target": target.digest,
            "splits": self._splits.digest,
            "versions": {name: versions[name] for name in versions if name != "python"},
        }

    def _fold(
        self, number: int, X: FloatArray, target: Target, usable: Array, recipe: Recipe
    ) -> FoldData:
        splits = self._splits
        inner = splits.inner[number]
        if recipe.pipeline.holdout:  # one split: its tested part is the only inner fold
            inner = np.where(splits.holdout[number] == 1, 0, -1)
        data = FoldData(
            fold=number,
            X=X,
            y=target.y[usable],
            test=splits.outer[usable] == number,
            inner=inner[usable],
            rank=self._rank[usable],
        )
        ranked = METRICS[recipe.kind][recipe.search_metric].ranks
        check_fold(data, recipe.kind, int(inner.max()) + 1, ranked=ranked)
        return data

    @cached_property
    def _rank(self) -> FloatArray:
        return group_ranks(self._study.groups, self._experiment.seed)

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


def _versions() -> dict[str, Json]:
    libraries = {name: version(name) for name in LIBRARIES}
    return {"jobpool": __version__, "python": platform.python_version(), **libraries}
