"""The checks made once, before there is a pool: every file is what the experiment says it is.

Opens one map and every parcellation. Problems are collected; what depends on something wrong is
passed over, so that each mistake is reported once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from jobpool.brain.parcellations import ParcellationSummary, describe_parcellation
from jobpool.brain.spaces import Space, difference
from jobpool.errors import DataError, listing
from jobpool.experiment import Experiment
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.scores import METRICS, SEARCH_METRIC
from jobpool.learning.splits import Splits, make_splits
from jobpool.learning.study import PART_AXIS, Readers, Study
from jobpool.learning.targets import Target
from jobpool.reader import Reader

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """What the checks learned and a new pool needs."""

    study: Study
    parcellations: Mapping[str, ParcellationSummary]
    splits: Splits


def check_study(experiment: Experiment, study: Study, readers: Readers) -> Checked:
    """Check all data of a study.

    Raises
    ------
    ConfigError
        With every problem found, now and before by the same readers.
    """
    for axis in experiment.axes:
        if axis.name == PART_AXIS:
            advice = "is added by jobpool: remove it, and set evaluate.outer_folds"
            readers.axes.problem(PART_AXIS, list(axis.values), advice)
    space = _check_maps(study, readers.section)
    described = _describe(study, space, readers.axes)
    _check_by_fold(study, readers.section)
    splits = _make_splits(study, experiment.seed, readers.section)
    if splits is not None:
        for target in study.targets.values():
            _check_target(target, splits, study, readers.axes)
            _check_kind(target, study, readers.axes)
    readers.section.finish()
    if splits is None:
        raise ValueError("a study without problems has splits")
    return Checked(study=study, parcellations=described, splits=splits)


def _check_maps(study: Study, reader: Reader) -> Space | None:
    """Return the space of the maps, or None if it cannot be known."""
    text = study.plan.maps
    if not text or not study.ids:
        return None
    try:
        maps = study.maps()
        maps.find_missing()
        n_participants, _, _ = maps.shape()
        space = maps.space()
    except DataError as error:
        reader.problem("maps", text, str(error))
        return None
    if n_participants != len(study.ids):
        advice = (
            f"has maps of {n_participants} participants, but the participants table has "
            f"{len(study.ids)} rows; give one row per map, in the same order"
        )
        reader.problem("maps", text, advice)
    return space


def _describe(study: Study, space: Space | None, reader: Reader) -> dict[str, ParcellationSummary]:
    described: dict[str, ParcellationSummary] = {}
    for name, file in study.parcellations.items():
        try:
            found = describe_parcellation(file, study.folder)
        except DataError as error:
            reader.problem("parcellation", name, str(error))
            continue
        described[name] = found
        other = difference(found.space, space) if space is not None else None
        if other is not None:
            advice = f"has another space than the maps: {other}; give one in the space of the maps"
            reader.problem("parcellation", name, advice)
        if found.n_empty and not study.plan.drop_empty:
            advice = f"has {found.n_empty} parcels without vertices; set on_empty_parcel: drop"
            reader.problem("parcellation", name, advice)
    return described


def _check_by_fold(study: Study, reader: Reader) -> None:
    for pattern in study.plan.by_fold.names:
        if not any(fnmatchcase(name, pattern) for name in study.parcellations):
            advice = f"matches no parcellation; there are: {listing(study.parcellations)}"
            reader.problem("by_fold.parcellations", pattern, advice)


def _make_splits(study: Study, seed: int, reader: Reader) -> Splits | None:
    plan = study.plan
    if not study.ids or len(study.groups) != len(study.ids) or min(plan.n_outer, plan.n_inner) < 2:
        return None
    try:
        return make_splits(
            study.ids, study.groups, plan.n_outer, plan.n_inner, seed, plan.holdout_share
        )
    except ValueError:
        advice = (
            f"{len(set(study.groups))} groups are too few for {plan.n_outer} outer folds with "
            f"{plan.n_inner} inner ones each, as no group is divided; set fewer folds"
        )
        reader.problem("outer_folds", plan.n_outer, advice)
        return None


def _check_target(target: Target, splits: Splits, study: Study, reader: Reader) -> None:
    """Check that every model can be fitted and scored with the participants that have the target.

    A binary target needs both classes wherever a model is fitted or reported, and wherever
    candidates are compared by ranks; any other part needs two participants.
    """
    metric = study.plan.searching.search_metric.get(target.kind, SEARCH_METRIC[target.kind])
    known = METRICS[target.kind].get(metric)  # an unknown one is a problem of its own
    ranked = known is not None and known.ranks
    for fold in range(splits.n_outer):
        test = (splits.outer == fold) & target.present
        trains, tests = _inner_parts(target, splits, study, fold)
        usable = all(_varies(target, part) for part in (test, *trains))
        enough = all(_varies(target, one) if ranked else one.sum() >= 2 for one in tests)
        if not usable or not enough:
            needs = "both classes" if target.kind is Kind.BINARY else "two participants"
            advice = (
                f"has values for {int(target.present.sum())} participants, too few for outer fold "
                f"{fold}, where every part needs {needs}; set fewer folds or leave it out"
            )
            reader.problem("target", target.name, advice)
            return


def _inner_parts(
    target: Target, splits: Splits, study: Study, fold: int
) -> tuple[list[Mask], list[Mask]]:
    """Return the training and the test parts that candidates are compared on in one fold."""
    inner, holdout = splits.inner[fold], splits.holdout[fold]
    trains: list[Mask] = []
    tests: list[Mask] = []
    if any(pipeline.holdout for pipeline in study.pipelines.values()):
        trains.append((holdout == 0) & target.present)
        tests.append((holdout == 1) & target.present)
    if any(not pipeline.holdout for pipeline in study.pipelines.values()):
        folds = range(int(inner.max()) + 1)
        trains += [(inner >= 0) & (inner != one) & target.present for one in folds]
        tests += [(inner == one) & target.present for one in folds]
    return trains, tests


def _check_kind(target: Target, study: Study, reader: Reader) -> None:
    for name, pipeline in study.pipelines.items():
        if target.kind not in pipeline.spaces:
            advice = f"cannot learn {target.name}, a {target.kind} target; leave one of them out"
            reader.problem("pipeline", name, advice)


def _varies(target: Target, part: Mask) -> bool:
    if target.kind is Kind.BINARY:
        return len(np.unique(target.y[part])) == 2
    return int(part.sum()) >= 2
