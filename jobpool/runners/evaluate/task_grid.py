"""The tasks of an evaluation: which combinations there are, and the attributes of each value."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jobpool.brain.random import is_random
from jobpool.errors import listing
from jobpool.experiment.config import Experiment
from jobpool.learning.checks import Checked
from jobpool.learning.study import PART_AXIS, SINGLE, Study, parts_of
from jobpool.table.grid import Attribute, Grid, full_product, split_parts
from jobpool.task import ALL, Axis, Value

ENSEMBLE = "ensemble"  # kind and type of a parcellation that stands for several
RANDOM = "random"
INPUTS = "inputs"


def task_grid(experiment: Experiment, checked: Checked) -> Grid:
    """Return one task per parcellation, pipeline and target, the large ones split into folds.

    Single parcellations with a combined pipeline are left out: these are for ensembles.
    """
    study, axes = checked.study, {axis.name: axis for axis in experiment.axes}
    parcels = _parcels(axes["parcellation"], checked)
    names = list(map(str, axes["parcellation"].values))  # a name may be there twice, by mistake
    attributes = [
        Attribute(name=name, axis="parcellation", values=values)
        for name, values in _of_parcellations(axes["parcellation"], parcels, checked).items()
    ]
    kinds = tuple(str(study.targets[str(name)].kind) for name in axes["target"].values)
    attributes.append(Attribute(name="target_kind", axis="target", values=kinds))
    grid = replace(full_product(experiment.axes, attributes), inputs=INPUTS)
    grid = grid.take(np.flatnonzero(~_left_out(grid, study)))
    by_fold = study.settings.by_fold
    split = np.array([by_fold.matches(name, parcels[name]) for name in names], dtype=bool)
    folds = Axis(name=PART_AXIS, values=(ALL, *range(study.settings.n_outer)))
    return split_parts(grid, folds, split[grid.column("parcellation")])


def _parcels(axis: Axis, checked: Checked) -> dict[str, int]:
    """Return the number of parcels of every value of the axis, summed over members."""
    return {
        name: sum(
            checked.parcellations[single].n_parcels for single in _singles(name, checked.study)
        )
        for name in map(str, axis.values)
    }


def _singles(name: str, study: Study) -> tuple[str, ...]:
    ensemble = study.ensembles.get(name)
    return (name,) if ensemble is None else ensemble.members


def _of_parcellations(
    axis: Axis, parcels: Mapping[str, int], checked: Checked
) -> dict[str, tuple[Value, ...]]:
    """Return the attributes of the parcellation axis."""
    study = checked.study
    found: dict[str, list[Value]] = {
        name: []
        for name in ("parcellation_kind", "parcellation_type", "strategy", "members", INPUTS)
    }
    for name in map(str, axis.values):
        ensemble = study.ensembles.get(name)
        if ensemble is None:
            kind = checked.parcellations[name].kind
            grown = is_random(study.parcellations[name])
            row: tuple[Value, ...] = (kind, RANDOM if grown else kind, SINGLE, 1, name)
        else:
            row = (ENSEMBLE, ENSEMBLE, ensemble.strategy, len(ensemble.members), ensemble.set)
        for values, value in zip(found.values(), row, strict=True):
            values.append(value)
    return {
        "parcels": tuple(parcels[name] for name in map(str, axis.values)),
        **{name: tuple(values) for name, values in found.items()},
    }


def _left_out(grid: Grid, study: Study) -> NDArray[np.bool_]:
    """Return which of all combinations are a single parcellation with a combined pipeline."""
    parcellations, pipelines = grid.axis("parcellation").values, grid.axis("pipeline").values
    single = np.array([str(name) not in study.ensembles for name in parcellations])
    combined = np.array([len(parts_of(str(name))) > 1 for name in pipelines])
    left: NDArray[np.bool_] = (
        single[grid.column("parcellation")] & combined[grid.column("pipeline")]
    )
    return left


def notes(experiment: Experiment, checked: Checked) -> list[str]:
    """Return more facts about the tasks than their counts; none without ensembles."""
    study = checked.study
    if not study.ensembles:
        return []
    counts = Counter(ensemble.strategy for ensemble in study.ensembles.values())
    by_strategy = ", ".join(f"{count:,} {strategy}" for strategy, count in counts.items())
    axes = {axis.name: tuple(map(str, axis.values)) for axis in experiment.axes}
    n_single = len(axes["parcellation"]) - len(study.ensembles)
    lines = [
        f"{n_single:,} single parcellations and {len(study.ensembles):,} ensembles: {by_strategy}; "
        f"{len(study.shared):,} different parcellations are members"
    ]
    combined = [name for name in axes["pipeline"] if len(parts_of(name)) > 1]
    if combined and n_single:
        n_left = n_single * len(combined) * len(axes["target"])
        lines.append(
            f"left out: {n_left:,} combinations of single parcellations with "
            f"{listing(combined)}: combined pipelines are for ensembles"
        )
    return [*lines, _fits_line(axes["pipeline"], study)]


def _fits_line(pipelines: tuple[str, ...], study: Study) -> str:
    """Say how many fits the ensembles need together, and how many one by one."""
    inner: set[tuple[str, str]] = set()  # members that are fitted on each inner part
    whole: set[tuple[str, str]] = set()  # those surely fitted on the whole training part
    perhaps: set[tuple[str, str]] = set()  # only the best member of each ensemble
    n_best = n_alone = 0
    for name, ensemble in study.ensembles.items():
        for members in (study.members(name, pipeline) for pipeline in pipelines):
            only_best = ensemble.strategy == "grid"
            (perhaps if only_best else whole).update(members)
            n_best += only_best
            n_alone += 1 if only_best else len(members)
            if ensemble.strategy != "voted":
                inner.update(members)
                n_alone += study.settings.n_inner * len(members)
    n_perhaps = min(len(perhaps - whole), n_best)
    n_shared = study.settings.n_inner * len(inner) + len(whole) + n_perhaps
    n, per = 1, "target and outer fold"
    if all(len(parts_of(name)) == 1 for name in pipelines):
        n, per = len(pipelines), f"pipeline, {per}"
    if not study.settings.shares_fits:
        return f"{n_alone // n:,} fits per {per}, as every ensemble makes its own (fits: own)"
    return (
        f"{'at most ' if n_perhaps else ''}{n_shared // n:,} fits per {per} serve "
        f"{len(study.ensembles):,} ensembles; one by one they would take {n_alone // n:,}"
    )
