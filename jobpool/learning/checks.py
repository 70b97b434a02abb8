"""The checks made once, before there is a pool: every file is what the experiment says it is.

Opens the header of every map, and every parcellation. Problems are collected; what depends on
something wrong is passed over, so that each mistake is reported once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from jobpool.brain.parcellations import ParcellationSummary
from jobpool.errors import listing
from jobpool.experiment.config import Experiment
from jobpool.experiment.reader import Reader
from jobpool.installation import missing
from jobpool.learning.brain_checks import check_maps, describe_all
from jobpool.learning.conventions import PLAIN, THIRDS
from jobpool.learning.fold_cases import every_fit, fits_without
from jobpool.learning.folds import Folds, TooFewError, TooFewGroupsError
from jobpool.learning.methods import PACKAGES
from jobpool.learning.pipelines.base import Kind
from jobpool.learning.spellings import check_spellings
from jobpool.learning.splits import (
    Dealer,
    PoolSplits,
    Splits,
    deal_splits,
    make_splits,
)
from jobpool.learning.strata import strata_of
from jobpool.learning.study import PART_AXIS, Readers, Study
from jobpool.learning.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """What the checks learned and a new pool needs."""

    study: Study
    parcellations: Mapping[str, ParcellationSummary]  # all single ones, in ensembles, too
    splits: PoolSplits
    # participants without a map that can be used, and why
    dropped: Mapping[int, str] = field(default_factory=dict)


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
    _check_packages(study, readers)
    check_spellings(study, readers)
    maps = check_maps(study, readers.section)
    described = describe_all(study, maps.space if maps else None, readers.axes)
    _check_by_fold(experiment, study, readers.section)
    splits = _make_splits(study, experiment.seed, readers)
    if splits is not None:
        _check_targets(splits, study, readers)
    readers.section.finish()
    if splits is None:
        raise ValueError("a study without problems has splits")
    return Checked(
        study=study,
        parcellations=described,
        splits=splits,
        dropped=maps.dropped if maps else {},
    )


def _check_packages(study: Study, readers: Readers) -> None:
    """Refuse pipelines and a search for which a package is not installed."""
    for name, pipeline in study.pipelines.items():
        if why := missing(*pipeline.packages):
            readers.axes.problem("pipeline", name, why)
    if why := missing(*PACKAGES.get(study.settings.searching.method, ())):
        readers.section.problem("search", study.settings.searching.method, why)


def _check_by_fold(experiment: Experiment, study: Study, reader: Reader) -> None:
    axes = [axis for axis in experiment.axes if axis.name == "parcellation"]
    names = [str(value) for axis in axes for value in axis.values]
    for pattern in study.settings.by_fold.names:
        if not any(fnmatchcase(name, pattern) for name in names):
            advice = f"matches no parcellation; there are: {listing(names)}"
            reader.problem("by_fold.parcellations", pattern, advice)


def _make_splits(study: Study, seed: int, readers: Readers) -> PoolSplits | None:
    """Return the splits of all targets, without those of targets that too few groups have."""
    settings = study.settings
    n_outer, n_inner = settings.n_outer, settings.n_inner
    if not study.ids or len(study.groups) != len(study.ids) or min(n_outer, n_inner) < 2:
        return None
    numbers = (n_outer, n_inner, seed, settings.holdout_share)
    try:
        plain = make_splits(study.ids, study.groups, *numbers)
    except ValueError:
        advice = (
            f"{len(set(study.groups))} groups are too few for {n_outer} outer folds with {n_inner} "
            "inner ones each, as no group is divided; set fewer folds"
        )
        readers.section.problem("outer_folds", n_outer, advice)
        return None
    way = settings.conventions["splits"]
    if way == PLAIN:
        return PoolSplits(sets=(plain,), set_of={}, conventions=settings.conventions)
    made: dict[str, Splits] = {}
    for name, target in study.targets.items():
        strata = strata_of(target, thirds=way == THIRDS)
        dealer = Dealer(groups=study.groups, strata=strata)
        try:
            made[name] = deal_splits(study.ids, dealer, *numbers)
        except ValueError:
            advice = (
                f"has values for {int(target.present.sum())} participants, in too few groups for "
                f"{n_outer} outer folds with {n_inner} inner ones each; set fewer folds or leave "
                "it out"
            )
            readers.axes.problem("target", name, advice)
    return PoolSplits.made(made, settings.conventions) if made else None


def _check_targets(splits: PoolSplits, study: Study, readers: Readers) -> None:
    """Check every target, on the folds that it has."""
    known = {one.digest: Folds(one, study.groups) for one in splits.sets}
    try:
        for folds in known.values() if fits_without(study) else ():
            folds.check_inner()
    except TooFewGroupsError as error:
        readers.section.problem("inner_folds", study.settings.n_inner, str(error))
        known = {}
    for name, target in study.targets.items():
        # too few groups are a problem of their own
        if known and (not splits.set_of or name in splits.set_of):
            _check_target(target, known[splits.of(name).digest], study, readers.axes)
        _check_kind(target, study, readers.axes)


def _check_target(target: Target, folds: Folds, study: Study, reader: Reader) -> None:
    """Check that every model can be fitted and scored with the participants that have the target.

    A binary target needs both classes wherever a model is fitted or reported, and somewhere among
    the parts that its candidates are compared on; any other part needs two participants.
    """
    try:
        for _ in every_fit(study, target, folds):
            pass
    except TooFewError as error:
        needs = "both classes" if target.kind is Kind.BINARY else "two participants"
        advice = (
            f"has values for {int(target.present.sum())} participants, too few for {error.place}, "
            f"where every part needs {needs}; set fewer folds or leave it out"
        )
        reader.problem("target", target.name, advice)


def _check_kind(target: Target, study: Study, reader: Reader) -> None:
    for name, pipeline in study.pipelines.items():
        if target.kind not in pipeline.spaces:
            advice = f"cannot learn {target.name}, a {target.kind} target; leave one of them out"
            reader.problem("pipeline", name, advice)
