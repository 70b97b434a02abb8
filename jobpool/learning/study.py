"""The study: participants, targets and files that the tasks of one experiment share.

An ensemble is a value of the parcellation axis that stands for several parcellations; a combined
pipeline, such as ``elastic+svm``, stands for several pipelines. A member of a task is one single
parcellation with one plain pipeline.

The participants table is read on every start of a worker, maps and parcellations are not. Problems
are collected; a study with problems is empty where they are, and never used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jobpool.brain.maps import Maps, find_maps
from jobpool.brain.parcel_kinds import of_kind
from jobpool.brain.random import is_random
from jobpool.disk.spelling import normal
from jobpool.errors import DataError, listing, nearest
from jobpool.experiment.config import Experiment
from jobpool.experiment.ensembles import read_ensemble
from jobpool.experiment.reader import Reader
from jobpool.learning.conventions import DISTINCT, SAID
from jobpool.learning.participants import (
    ParticipantsTable,
    read_participants,
    text_column,
    unique_column,
)
from jobpool.learning.pipelines import find_pipeline
from jobpool.learning.pipelines.base import Pipeline, n_combinations
from jobpool.learning.pipelines.factory import PipelineError
from jobpool.learning.search import Recipe
from jobpool.learning.settings import EvaluateSettings, read_evaluate_settings
from jobpool.learning.targets import Target, TargetSettings, read_target
from jobpool.table.settings import READING
from jobpool.task import Axis, Value

AXES = ("parcellation", "pipeline", "target")
PART_AXIS = "fold"
SINGLE = "single"  # the strategy of a parcellation that is no ensemble
JOIN = "+"  # between the names in a combined pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A value of the parcellation axis that stands for several parcellations."""

    strategy: str
    set: str  # ensembles of the same one are nested: small ones are the beginning of large ones
    members: tuple[str, ...]  # names of single parcellations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """What all tasks of an experiment share."""

    settings: EvaluateSettings
    folder: Path  # where relative paths start
    ids: tuple[str, ...]
    groups: tuple[str, ...]  # one per participant; without a group column, its id
    targets: Mapping[str, Target]
    parcellations: Mapping[str, str]  # single ones, also those only in ensembles: name to source
    ensembles: Mapping[str, Ensemble]  # by value of the parcellation axis
    shared: frozenset[str]  # single parcellations that are a member of some ensemble
    pipelines: Mapping[str, Pipeline]  # plain ones, also those only in combined values

    def members(self, parcellation: str, pipeline: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of single parcellation and plain pipeline that a task is made of."""
        ensemble = self.ensembles.get(parcellation)
        names = (parcellation,) if ensemble is None else ensemble.members
        return tuple((name, part) for name in names for part in parts_of(pipeline))

    def maps(self) -> Maps:
        """Return where the maps lie, opening none.

        Raises
        ------
        DataError
            If the text of `maps` cannot be a file of maps.
        """
        return find_maps(self.settings.maps, self.folder, self.ids, self.settings.problems)

    def sources(self, conventions: Mapping[str, str]) -> Mapping[str, str]:
        """Return the source of every single parcellation, read by the conventions of a pool."""
        if conventions["weights"] == SAID:
            return self.parcellations
        return {
            name: text if is_random(text) else of_kind(text, conventions["weights"])
            for name, text in self.parcellations.items()
        }

    def n_candidates(self, pipeline: Pipeline) -> int:
        """Return how many candidates a search of a pipeline tries."""
        searching = self.settings.searching
        usual = searching.n_candidates or pipeline.n_candidates
        return searching.n_candidates_of.get(pipeline.name, usual)

    def _n_compared(self, pipeline: Pipeline, target: Target) -> int:
        """Return how many participants a candidate learns from when it is compared, about."""
        settings = self.settings
        tested = 1 / settings.n_inner if pipeline.holdout is None else settings.holdout_share
        return int(target.present.sum() * (1 - 1 / settings.n_outer) * (1 - tested))

    def recipe(
        self, pipeline: str, target: Target, seed: int, kept: Mapping[str, str] | None = None
    ) -> Recipe:
        """Return how a plain pipeline learns a target.

        Parameters
        ----------
        pipeline : str
            Its name.
        target : Target
            Of the study.
        seed : int
            That of the experiment.
        kept : mapping, optional
            The conventions of a pool; those of a new one by default.
        """
        found, searching = self.pipelines[pipeline], self.settings.searching
        if searching.by_size and found.sized is not None:
            space = found.sized(target.kind, self._n_compared(found, target))
            found = replace(found, spaces={target.kind: space})
        kept = self.settings.conventions if kept is None else kept
        distinct = kept["candidates"] == DISTINCT
        possible = n_combinations(found.spaces.get(target.kind, ())) if distinct else None
        asked = self.n_candidates(found)
        return Recipe(
            pipeline=found,
            kind=target.kind,
            settings=replace(
                self.settings.model_settings,
                target_scaling=kept["target_scaling"],
                ranges=kept["ranges"],
            ),
            seed=seed,
            n_candidates=asked if possible is None else min(asked, possible),
            distinct=distinct,
            method=searching.method,
            metric=searching.search_metric.get(target.kind, ""),
            reported=searching.metrics.get(target.kind, ()),
            plain=searching.plain,
        )


def parts_of(pipeline: str) -> tuple[str, ...]:
    """Return the plain pipelines that a value of the pipeline axis stands for.

    Examples
    --------
    >>> parts_of("elastic+svm"), parts_of("lgbm")
    (('elastic', 'svm'), ('lgbm',))
    """
    return tuple(pipeline.split(JOIN))


@dataclass(frozen=True, slots=True)
class Readers:
    """Where problems go: those of the runner's section, and those of the axes."""

    section: Reader
    axes: Reader

    @classmethod
    def of(cls, experiment: Experiment) -> "Readers":
        """Return readers of an experiment that share one list of problems."""
        section = Reader(experiment.file, experiment.section, experiment.runner)
        return cls(section, Reader(experiment.file, {}, "axes", section.problems))


def read_study(experiment: Experiment, readers: Readers) -> Study:
    """Return the study; `readers` collect the problems."""
    settings = read_evaluate_settings(readers.section)
    axes = {axis.name: axis for axis in experiment.axes}
    _check_axes(axes, readers.axes)
    targets = tuple(map(str, _values(axes, "target")))
    by_target = _target_settings(targets, settings, readers.section)
    table = _read_table(settings, by_target, experiment, readers.section)
    ids = _column(table, "id", settings.id_column, readers.section)
    groups = ids
    if settings.group_column:
        groups = _column(table, "group", settings.group_column, readers.section)
    found = find_members(axes.get("parcellation", Axis(name="parcellation", values=())))
    pipelines = _load_pipelines(_values(axes, "pipeline"), readers.axes)
    _check_combined(_values(axes, "pipeline"), found, readers.axes)
    for name in settings.searching.n_candidates_of:
        if name not in pipelines:
            advice = f"is no value of the axis pipeline; there are: {listing(pipelines)}"
            readers.section.problem(f"candidates.{name}", None, advice + nearest(name, pipelines))
    return Study(
        settings=settings,
        folder=experiment.folder,
        ids=ids,
        groups=groups,
        targets=_read_targets(table, by_target, readers),
        parcellations=found.singles,
        ensembles=found.ensembles,
        shared=found.shared,
        pipelines=pipelines,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """What the values of the parcellation axis stand for."""

    ensembles: Mapping[str, Ensemble]  # by the value of the axis
    singles: Mapping[str, str]  # name to source: those on the axis, then those only in ensembles
    shared: frozenset[str]  # the singles that are a member of some ensemble


def find_members(axis: Axis) -> Members:
    """Return the single parcellations and the ensembles of an axis.

    A member that is also a value of the axis has the name that it has there.
    """
    sources = dict(zip(map(str, axis.values), axis.sources, strict=True))
    read = {value: read_ensemble(source) for value, source in sources.items()}
    singles = {value: sources[value] or value for value, one in read.items() if one is None}
    name_of: dict[str, str] = {}
    for name, source in singles.items():
        name_of.setdefault(source, name)
    ensembles: dict[str, Ensemble] = {}
    for value, one in read.items():
        if one is None:
            continue
        for name, source in one.members:
            if singles.get(name) != source:
                singles.setdefault(name_of.setdefault(source, name), source)
        names = tuple(
            name if singles.get(name) == source else name_of[source] for name, source in one.members
        )
        ensembles[value] = Ensemble(strategy=one.strategy, set=one.set, members=names)
    shared = frozenset(name for one in ensembles.values() for name in one.members)
    return Members(ensembles=ensembles, singles=singles, shared=shared)


def _values(axes: Mapping[str, Axis], name: str) -> tuple[Value, ...]:
    return axes[name].values if name in axes else ()


def _check_axes(axes: Mapping[str, Axis], reader: Reader) -> None:
    for name in AXES:
        if name not in axes:
            reader.problem(name, None, "missing; give at least one value")
    for name in axes:
        if name not in (*AXES, PART_AXIS):
            advice = f"unknown axis; the runner evaluate has: {listing(AXES)}"
            reader.problem(name, list(axes[name].values), advice + nearest(name, AXES))


def _load_pipelines(values: tuple[Value, ...], reader: Reader) -> dict[str, Pipeline]:
    pipelines: dict[str, Pipeline] = {}
    for value in map(str, values):
        for name in parts_of(value):
            if name in pipelines:
                continue
            try:
                pipelines[name] = find_pipeline(name)
            except PipelineError as error:
                what = error.what if name == value else f"{name!r}: {error.what}"
                reader.problem("pipeline", value, what)
    return pipelines


def _check_combined(values: tuple[Value, ...], found: Members, reader: Reader) -> None:
    known: dict[frozenset[str], str] = {}
    for value in map(str, values):
        parts = parts_of(value)
        other = known.setdefault(frozenset(parts), value)
        if other != value:
            reader.problem("pipeline", value, f"has the same pipelines as {other}; give it once")
        if len(set(parts)) < len(parts):
            reader.problem("pipeline", value, "names a pipeline twice; name each once")
        elif len(parts) > 1 and not found.ensembles:
            advice = "is for ensembles, and no parcellation is one; add some: {strategies: ..., "
            reader.problem("pipeline", value, advice + "sets: ...}, or name the pipelines alone")


def _target_settings(
    names: tuple[str, ...], settings: EvaluateSettings, reader: Reader
) -> dict[str, TargetSettings]:
    for name in settings.targets:
        if name not in names:
            advice = f"is no value of the axis target; there are: {listing(names)}"
            reader.problem(f"targets.{name}", None, advice + nearest(name, names))
    return {name: settings.targets.get(name, TargetSettings(column=normal(name))) for name in names}


def _read_table(
    settings: EvaluateSettings,
    targets: Mapping[str, TargetSettings],
    experiment: Experiment,
    reader: Reader,
) -> ParticipantsTable | None:
    if not settings.participants:
        return None
    names = (settings.id_column, *([settings.group_column] if settings.group_column else []))
    try:
        return read_participants(
            experiment.folder / settings.participants,
            names,
            [one.column for one in targets.values()],
            settings.missing,
            formerly=experiment.reading < READING,
        )
    except DataError as error:
        reader.problem("participants", settings.participants, error.what)
        return None


def _unknown_column(table: ParticipantsTable, name: str) -> str:
    known = table.header
    return f"is no column of the participants table; it has: {listing(known)}{nearest(name, known)}"


def _column(
    table: ParticipantsTable | None, key: str, name: str, reader: Reader
) -> tuple[str, ...]:
    if table is None:
        return ()
    if name not in table.names:
        reader.problem(key, name, _unknown_column(table, name))
        return ()
    try:
        names = table.names
        return unique_column(names, name) if key == "id" else text_column(names, name)
    except DataError as error:
        reader.problem(key, name, error.what)
        return ()


def _read_targets(
    table: ParticipantsTable | None, settings: Mapping[str, TargetSettings], readers: Readers
) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    if table is None:
        return targets
    for name, one in settings.items():
        if one.column not in table.values:
            what = _unknown_column(table, one.column)
            if one.column == name:
                readers.axes.problem("target", name, what)
            else:
                readers.section.problem(f"targets.{name}.column", one.column, what)
            continue
        try:
            targets[name] = read_target(table.values, name, one)
        except DataError as error:
            readers.axes.problem("target", name, f"{table.file}: {error.what}")
    return targets
