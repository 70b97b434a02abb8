"""The runner ``evaluate``: a parcellation or an ensemble, a pipeline, a target, on grouped folds.

    POOL/splits.npz     the folds of all participants, the same for every task with one target
    POOL/common.json    the participants that every parcellation can use, where some may lose others
    POOL/cache/roi/     the mean of every map in every parcel, computed by the first task to need it
    POOL/cache/fits/    what members of ensembles predict, computed by the first task to need it

The result of a task depends on the experiment alone: not on cores, on the order of tasks, or on
whether its folds ran as one task or as several.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from threadpoolctl import threadpool_limits

from jobpool.brain.maps import Maps
from jobpool.cache.fits.cache import FitCache
from jobpool.cache.roi.cache import RoiCache
from jobpool.disk.locks import best_lock
from jobpool.errors import DataError
from jobpool.experiment.config import Experiment
from jobpool.learning.brain_checks import dropped_lines, parcellation_lines
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.checks import Checked, check_study
from jobpool.learning.conventions import OWN
from jobpool.learning.fits import evaluate_fold
from jobpool.learning.fold_cases import case_lines
from jobpool.learning.folds import Folds
from jobpool.learning.parallel import idle_helpers
from jobpool.learning.pipelines.apart import jobpools_settings
from jobpool.learning.search import Recipe, describe
from jobpool.learning.splits import (
    FILE_NAME,
    PoolSplits,
    read_conventions,
    read_splits,
    write_splits,
)
from jobpool.learning.study import PART_AXIS, SINGLE, Readers, Study, parts_of, read_study
from jobpool.learning.targets import Target
from jobpool.learning.understood import labelled, understood
from jobpool.runners.base import RunContext
from jobpool.runners.evaluate.common import Common, Commons
from jobpool.runners.evaluate.ensembles import EnsembleTask, evaluate_together
from jobpool.runners.evaluate.full_reading import read_fully
from jobpool.runners.evaluate.inputs import (
    COMMON,
    MADE_OF,
    SHORT,
    Inputs,
    inputs_of_code,
    inputs_of_values,
    known_inputs,
    place_of,
    settings_of,
    versions_of,
)
from jobpool.runners.evaluate.members import MemberFits, Values
from jobpool.runners.evaluate.results import prediction_table
from jobpool.runners.evaluate.task_grid import notes, task_grid
from jobpool.runners.evaluate.task_tables import candidate_table, split_table
from jobpool.table.grid import Grid
from jobpool.table.settings import read_info
from jobpool.task import ALL, Json, Value


class Evaluate:
    """Evaluates pipelines on parcellated brain maps.

    Parameters
    ----------
    experiment : Experiment
        Its axes are ``parcellation``, ``pipeline`` and ``target``; the axis ``fold`` is added.
    pool : Path, optional
        The pool the tasks come from. Without it, all data are checked at once; with it they
        have been, and are read when the first task needs them.

    Raises
    ------
    ConfigError
        With every problem of the section, the axes and the data.
    """

    def __init__(self, experiment: Experiment, pool: Path | None = None) -> None:
        self._experiment = experiment
        self._pool = pool
        self._cache: tuple[Path, RoiCache] | None = None
        self._fit_caches: dict[Path, FitCache] = {}
        self._inputs = Inputs(pool, self._place)
        self._commons = Commons(pool)
        self._folds: dict[str, Folds] = {}  # by target
        if pool is None:
            _ = self._checked

    @cached_property
    def _checked(self) -> Checked:
        readers = Readers.of(self._experiment)
        with jobpools_settings():
            study = read_study(self._experiment, readers)
            return check_study(self._experiment, study, readers)

    @cached_property
    def _study(self) -> Study:
        if self._pool is None:
            return self._checked.study
        readers = Readers.of(self._experiment)
        study = read_study(self._experiment, readers)
        readers.section.finish()
        return study

    @cached_property
    def _splits(self) -> PoolSplits:
        if self._pool is None:
            return self._checked.splits
        return read_splits(self._pool / FILE_NAME, self._study.ids, self._study.groups)

    @cached_property
    def _conventions(self) -> Mapping[str, str]:
        if self._pool is None:
            return self._study.settings.conventions
        return read_conventions(self._pool / FILE_NAME)

    def task_grid(self) -> Grid:
        """Return one task per parcellation, pipeline and target, large ones split into folds."""
        return task_grid(self._experiment, self._checked)

    def notes(self) -> list[str]:
        """Return more facts about the tasks than their number."""
        return notes(self._experiment, self._checked)

    def understood(self) -> list[tuple[str, str]]:
        """Return what was understood of the data, each line with its label."""
        checked = self._checked
        study = checked.study
        brain = [
            *labelled("", dropped_lines(study, checked.dropped)),
            *labelled("parcels", parcellation_lines(study, checked.parcellations)),
        ]
        cases = case_lines(study, checked.splits, self._experiment.seed)
        return [*understood(study, brain), *cases]

    def read_fully(
        self, cache: Path | None, on_progress: Callable[[Any], None]
    ) -> list[tuple[str, str]]:
        """Read all maps, fill the ROI cache in `cache`, and return what there is to say.

        Raises
        ------
        ConfigError
            With every map that cannot be used.
        """
        make = None if cache is None else partial(self._make_cache, cache)
        return read_fully(self._checked.study, make, on_progress, self._experiment.file)

    def prepare(self, pool: Path) -> None:
        """Write splits and digests of inputs into the pool; if they are there, check them.

        Raises
        ------
        DataError
            If the pool has other splits, or results of other inputs.
        """
        study, path = self._study, pool / FILE_NAME
        digests = {name: target.digest for name, target in study.targets.items()}
        if path.exists():
            self._extend_splits(path, digests)
        else:
            write_splits(path, replace(self._checked.splits, targets=digests))
        splits = read_splits(path, study.ids, study.groups)
        parcellations = {name: one.digest for name, one in self._checked.parcellations.items()}
        Inputs(pool, self._place).agree(known_inputs(parcellations, study.targets.values(), splits))

    def _extend_splits(self, path: Path, digests: Mapping[str, str]) -> None:
        """Add the splits of new targets, if those of all others are as they were."""
        known = read_splits(path, self._study.ids, self._study.groups)
        made = self._splits_as(known.conventions)
        for name, digest in digests.items():
            _check_digest(self._study, known, name, digest)
        # plain splits are the same for every target
        for name in known.set_of or {"": 0}:
            if known.of(name).digest != made.of(name).digest:
                what = "the folds or the seed changed since the pool was made; make a new pool"
                raise DataError(path, what)
        if digests.keys() - known.targets.keys():
            write_splits(path, replace(made, targets={**known.targets, **digests}))

    def _splits_as(self, conventions: Mapping[str, str]) -> PoolSplits:
        """Return the splits of the experiment by the conventions of a pool.

        Raises
        ------
        ConfigError
            If a target cannot be split and learned in that way.
        """
        settings = self._study.settings
        if settings.conventions == conventions:
            return self._checked.splits
        readers = Readers.of(self._experiment)
        study = read_study(self._experiment, readers)
        study = replace(study, settings=replace(settings, conventions=conventions))
        return check_study(self._experiment, study, readers).splits

    def helpers(self) -> tuple[set[int], set[int]]:
        """Return the processes, and their threads, that wait for the folds of the next task."""
        return idle_helpers()

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:
        """Evaluate one task on all outer folds, or on the one that `point` names.

        What an earlier attempt finished comes from the task's checkpoint, the predictions of
        ensemble members from the fit cache.
        """
        start = time.perf_counter()
        part = point.get(PART_AXIS, ALL)
        numbers = list(range(self._splits.n_outer)) if part == ALL else [int(part)]
        target = self._target(str(point["target"]))
        task = self._ensemble_task(str(point["parcellation"]), str(point["pipeline"]))
        found = self._evaluate(task, target, numbers, context)
        recipe = self._recipe(task.members[0][1], target)
        return {
            "kind": str(target.kind),
            "classes": list(target.classes),
            "n_candidates": recipe.n_candidates,
            "search": recipe.method,
            "seed": recipe.seed,
            "splits": self._splits.of(target.name).digest[:SHORT],
            **found,
            **self._cautions(task),
            "seconds": {"total": round(time.perf_counter() - start, 3)},
        }

    def _cautions(self, task: EnsembleTask) -> dict[str, Json]:
        """Return what a user should know of the pipelines of a task, if there is anything."""
        made_by = dict.fromkeys(pipeline for _, pipeline in task.members)
        cautions = [one for name in made_by for one in self._study.pipelines[name].cautions]
        return {"cautions": "; ".join(cautions)} if cautions else {}

    def _evaluate(
        self, task: EnsembleTask, target: Target, numbers: Sequence[int], context: RunContext
    ) -> dict[str, Json]:
        """Evaluate some folds, if all inputs are the pool's, and still are afterwards."""
        settings = self._study.settings
        recipes = [self._recipe(by, target) for by in dict.fromkeys(by for _, by in task.members)]
        pipelines = [recipe.pipeline for recipe in recipes]
        versions = versions_of(self._inputs.libraries, pipelines)
        inputs = {**self._known_inputs(task, target, context), **inputs_of_code(pipelines)}
        self._inputs.check(inputs, pipelines)
        is_shared = settings.shares_fits and task.members[0][0] in self._study.shared
        with threadpool_limits(limits=1), jobpools_settings():
            if task.strategy == SINGLE and not (settings.keeps_predictions or is_shared):
                found = self._evaluate_alone(task, target, numbers, context)
            else:
                fits = self._fits(task.strategy, target, context)
                found = evaluate_together(task, numbers, fits, keep=settings.keeps_predictions)
        inputs |= cast("dict[str, str]", found[MADE_OF])  # of the values that were used
        self._inputs.check(inputs, pipelines)
        self._inputs.agree(inputs, versions)
        made_of = {**inputs, **settings_of(recipes, settings)}
        return {"versions": versions, **found, MADE_OF: dict(made_of)}

    def _place(self, name: str) -> str:
        pool = self._pool
        since = float("inf")
        if pool is not None and (pool / "pool.json").exists():
            since = read_info(pool).created
        return place_of(self._study, name, since)

    def _known_inputs(
        self, task: EnsembleTask, target: Target, context: RunContext
    ) -> dict[str, str]:
        """Return what is known of a task's inputs before it is evaluated."""
        roi = self.roi_cache(context.cache)
        parcellations = {name: roi.parcellation(name) for name, _ in task.members}
        common = self._common(context)
        used = {} if common is None else {COMMON: common.digest}
        return {**known_inputs(parcellations, [target], self._splits), **used}

    def _ensemble_task(self, parcellation: str, pipeline: str) -> EnsembleTask:
        ensemble = self._study.ensembles.get(parcellation)
        return EnsembleTask(
            pipeline=pipeline,
            strategy=SINGLE if ensemble is None else ensemble.strategy,
            members=self._study.members(parcellation, pipeline),
        )

    def _evaluate_alone(
        self, task: EnsembleTask, target: Target, numbers: Sequence[int], context: RunContext
    ) -> dict[str, Json]:
        """Evaluate a parcellation whose fits no other task needs."""
        ((parcellation, pipeline),) = task.members
        recipe = self._recipe(pipeline, target)
        matrix = self.roi_cache(context.cache).matrix(parcellation, deadline=context.deadline)
        common = self._common(context)
        values = Values.of(matrix, target, common)
        inputs = inputs_of_values(parcellation, values.facts())
        self._inputs.check(inputs)
        made_of = {**describe(recipe), **self._made_of(target), "values": matrix.key}
        made_of |= {} if common is None else {"participants": common.digest}
        every_s = self._experiment.workers.heartbeat_s
        checkpoint = Checkpoint(context.checkpoint, made_of, every_s=every_s, writer=context.writer)
        folds: list[Json] = []
        with checkpoint.kept_if_it_fails():
            for number in numbers:
                data = self._folds_of(target).data(
                    number, values.features, target, values.usable, recipe
                )
                unequal = self._folds_of(target).are_unequal(target.present)
                folds.append(
                    evaluate_fold(recipe, data, context.cores, checkpoint, unequal=unequal)
                )
        return {"folds": folds, **values.facts(), MADE_OF: dict(inputs)}

    def _fits(self, strategy: str, target: Target, context: RunContext) -> MemberFits:
        """Return the fits that a task shares with others, or makes for itself."""
        # a single parcellation has fits only where its predictions are kept
        shares = self._study.settings.shares_fits or strategy == SINGLE
        return MemberFits(
            target=target,
            recipe_of=lambda pipeline: self._recipe(pipeline, target),
            folds=self._folds_of(target),
            roi=self.roi_cache(context.cache),
            common=self._common(context),
            kept=self._fit_cache(context.cache if shares else context.checkpoint),
            out_of_fold=self._fit_cache(context.cache),
            versions=self._inputs.libraries,
            context=context,
            every_s=self._experiment.workers.heartbeat_s,
            check=self._inputs.check,
        )

    def _common(self, context: RunContext) -> Common | None:
        """Return the participants that every parcellation can use, where some may lose others."""
        study = self._study
        if study.settings.problems.non_finite != "drop" or self._conventions["compare_on"] == OWN:
            return None
        roi = self.roi_cache(context.cache)
        return self._commons.of(roi, tuple(study.parcellations), len(study.ids), context.deadline)

    def _fit_cache(self, folder: Path) -> FitCache:
        if folder not in self._fit_caches:
            lock = read_info(self._pool).lock if self._pool is not None else best_lock(folder)
            # that of the pool, and that of the present task if it has fits of its own
            self._fit_caches = dict(list(self._fit_caches.items())[-1:])
            self._fit_caches[folder] = FitCache(folder, lock)
        return self._fit_caches[folder]

    def roi_cache(self, folder: Path) -> RoiCache:
        """Return the ROI values of the experiment's parcellations, kept under `folder`."""
        if self._cache is None or self._cache[0] != folder:
            self._cache = (folder, self._make_cache(folder, self._study.maps()))
        return self._cache[1]

    def _make_cache(self, folder: Path, maps: Maps) -> RoiCache:
        study = self._study
        return RoiCache(
            folder,
            maps,
            study.sources(self._conventions),
            study.folder,
            study.settings.divisor,
            "drop" if study.settings.drop_empty else "error",
        )

    def _target(self, name: str) -> Target:
        target = self._study.targets[name]
        _check_digest(self._study, self._splits, name, target.digest)
        return target

    def _recipe(self, pipeline: str, target: Target) -> Recipe:
        return self._study.recipe(pipeline, target, self._experiment.seed, self._conventions)

    def _made_of(self, target: Target) -> dict[str, Json]:
        return {
            "target": target.digest,
            "splits": self._splits.of(target.name).digest,
            "versions": dict(self._inputs.libraries),
        }

    def _folds_of(self, target: Target) -> Folds:
        if target.name not in self._folds:
            splits = self._splits.of(target.name)
            self._folds[target.name] = Folds(splits, self._study.groups)
        return self._folds[target.name]

    def candidates(self, point: Mapping[str, Value]) -> Mapping[str, Sequence[Value | None]]:
        """Return the candidates that a task tries: the same in every fold."""
        target = self._target(str(point["target"]))
        names = dict.fromkeys(parts_of(str(point["pipeline"])))
        return candidate_table({name: self._recipe(name, target) for name in names})

    def splits(self, point: Mapping[str, Value]) -> Mapping[str, Sequence[Value | None]]:
        """Return the folds of all participants of the table."""
        target = self._target(str(point["target"]))
        return split_table(self._splits.of(target.name), self._study.ids, self._study.groups)

    def predictions(
        self, point: Mapping[str, Value], result: Mapping[str, Json], cache: Path
    ) -> Iterator[Mapping[str, Sequence[Any]]]:
        """Yield the out-of-fold predictions of each fold that kept them."""
        folds: Any = result["folds"]
        for fold in folds:
            place = fold.get("predictions")
            entry = place and self._fit_cache(cache).bucket(place["bucket"]).get(place["key"])
            if entry:  # only now is the table of participants read
                y = self._target(str(point["target"])).y
                yield prediction_table(fold["fold"], self._study.ids, y, entry.arrays)


def _check_digest(study: Study, splits: PoolSplits, name: str, digest: str) -> None:
    """Refuse a target whose values changed: one row would mix folds of old and new data."""
    if splits.targets.get(name, digest) != digest:
        what = f"the values of {name} changed since the pool was made; restore the table, or make "
        raise DataError(study.settings.participants, what + "a new pool")
