"""Which single parcellations and pipelines the tasks of a study are made of.

An ensemble is a value of the parcellation axis that stands for several parcellations; a combined
pipeline, such as ``elastic+svm``, stands for several pipelines. A member of a task is one single
parcellation with one plain pipeline.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jobpool.experiment.ensembles import read_ensemble
from jobpool.task import Axis

SINGLE = "single"  # the strategy of a parcellation that is no ensemble
JOIN = "+"  # between the names in a combined pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A value of the parcellation axis that stands for several parcellations."""

    strategy: str
    set: str  # ensembles of the same one are nested: small ones are the beginning of large ones
    members: tuple[str, ...]  # names of single parcellations


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the values of the parcellation axis stand for."""

    ensembles: Mapping[str, Ensemble]  # by the value of the axis
    singles: Mapping[str, str]  # name to source: those on the axis, then those only in ensembles
    shared: frozenset[str]  # the singles that are a member of some ensemble


def find_members(axis: Axis) -> Found:
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
    return Found(ensembles=ensembles, singles=singles, shared=shared)


def parts_of(pipeline: str) -> tuple[str, ...]:
    """Return the plain pipelines that a value of the pipeline axis stands for.

    Examples
    --------
    >>> parts_of("elastic+svm"), parts_of("lgbm")
    (('elastic', 'svm'), ('lgbm',))
    """
    return tuple(pipeline.split(JOIN))
