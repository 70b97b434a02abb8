"""What ``init`` understood of a study, in a few lines for a person who knows the data.

A wrong kind of target, two spellings of a family or a code for missing taken for a number are no
error that a program can know; a person sees them in a line. Opens the first map, no other file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from jobpool.brain.arrays import Array
from jobpool.learning.odd_values import Counted, codes_for_missing, number_text
from jobpool.learning.pipelines.base import Kind, n_combinations
from jobpool.learning.spellings import lines_on_groups
from jobpool.learning.study import Study
from jobpool.learning.targets import Target

Lines = list[tuple[str, str]]  # label and text; without a label the text goes on with the last one

_MOST_TARGETS = 10  # more are counted, except those with something odd
_MOST_CODES = 4


def understood(study: Study, brain: Iterable[tuple[str, str]] = ()) -> Lines:
    """Return what was understood of the participants, groups, maps and targets of a study.

    Parameters
    ----------
    study : Study
        Without problems.
    brain : iterable of pairs of str
        Labels and lines about maps and parcellations, which stand after the line of the maps.

    Raises
    ------
    DataError
        If the first map can no longer be read.
    """
    settings = study.settings
    who = f"{len(study.ids):,} in {settings.participants}, by {settings.id_column}"
    folds = f"{settings.n_outer} outer, in the training part of each {settings.n_inner} inner"
    return [
        ("participants", who),
        *labelled("groups", _groups_lines(study)),
        ("maps", _maps_line(study)),
        *brain,
        *labelled("targets", _targets_lines(list(study.targets.values()))),
        *labelled("candidates", _finite_spaces(study)),
        *labelled("look at", [one for made in study.pipelines.values() for one in made.cautions]),
        ("folds", folds),
    ]


def _finite_spaces(study: Study) -> Iterator[str]:
    """Yield which pipelines have fewer candidates than were asked for."""
    for name, pipeline in study.pipelines.items():
        asked = study.n_candidates(pipeline)
        for kind in dict.fromkeys(one.kind for one in study.targets.values()):
            possible = n_combinations(pipeline.spaces.get(kind, ()))
            if possible is not None and possible < asked:
                yield f"{name}, {kind}: all {possible:,} that its space has, not {asked:,}"


def labelled(label: str, lines: Iterable[str]) -> Lines:
    """Return lines of which the first has the label."""
    return [("" if number else label, line) for number, line in enumerate(lines)]


def _maps_line(study: Study) -> str:
    maps = study.maps()
    n_participants, n_vertices, n_modalities = maps.shape()
    n_missing = len(maps.find_missing())
    without = f", {n_missing:,} participants without one are left out" if n_missing else ""
    each = f"{n_vertices:,} vertices" + (f", {n_modalities} modalities" if n_modalities > 1 else "")
    return f"{n_participants - n_missing:,}, each of {each}{without}"


def _groups_lines(study: Study) -> Iterator[str]:
    groups, column = study.groups, study.settings.group_column
    yield groups_line(groups, column)
    if column is not None and (codes := codes_for_missing(pd.Series(groups, dtype=str))):
        yield _look(column, codes, "give each of these participants a group of its own")
    yield from lines_on_groups(study)


def groups_line(groups: tuple[str, ...], column: str | None) -> str:
    """Return how many groups there are, and the largest.

    Examples
    --------
    >>> groups_line(("a", "b", "b", "c"), "family")
    '3 by family, the largest b: 2 of 4 participants'
    >>> groups_line(("s1", "s2"), None)
    'none: each participant is its own (no column is given as group)'
    """
    if column is None:
        return "none: each participant is its own (no column is given as group)"
    sizes = Counter(groups)
    largest, size = max(sizes.items(), key=lambda one: (one[1], one[0]), default=("", 0))
    if size == 1:
        return f"{len(sizes):,} by {column}, each of one participant"
    of_all = f"{size:,} of {len(groups):,} participants"
    return f"{len(sizes):,} by {column}, the largest {largest}: {of_all}"


def _targets_lines(targets: list[Target]) -> list[str]:
    shown = targets if len(targets) <= _MOST_TARGETS else targets[: _MOST_TARGETS - 1]
    others = targets[len(shown) :]
    odd = [target for target in others if target.codes]
    lines = [line for target in (*shown, *odd) for line in target_lines(target)]
    if len(others) > len(odd):
        lines.append(f"... and {len(others) - len(odd):,} more targets")
    return lines


def target_lines(target: Target) -> Iterator[str]:
    """Yield what a target is: its kind and why, its classes or range, and what is missing."""
    name = target.name if target.name == target.column else f"{target.name} ({target.column})"
    what = _classes(target) if target.kind is Kind.BINARY else _spread(target.y[target.present])
    lost = "".join(f"; {n:,} {why}" for why, n in _missing(target))
    yield f"{name}: {target.kind}, {what} [{target.reason}]{lost}"
    if target.codes:
        yield _look(target.column, target.codes, "list them under missing")


def _look(column: str, codes: Counted, cure: str) -> str:
    found = [f"{value} ({n:,})" for value, n in codes]
    more = f", ... ({len(found)} in all)" if len(found) > _MOST_CODES else ""
    named = ", ".join(found[:_MOST_CODES]) + more
    return f"  look at {column}: {named} may stand for missing; if so, {cure}"


def _classes(target: Target) -> str:
    n_ones = int(np.count_nonzero(target.y == 1))
    n_zeros = int(np.count_nonzero(target.y == 0))
    zero, one = map(shown_class, target.classes)
    return f"1 = {one} ({n_ones:,}), 0 = {zero} ({n_zeros:,})"


def shown_class(name: str) -> str:
    """Return the name of a class as people write it: 1 for the 1.0 of a column with gaps.

    Examples
    --------
    >>> shown_class("1.0"), shown_class("grade 1.0"), shown_class("007")
    ('1', 'grade 1.0', '007')
    """
    whole = name.removesuffix(".0")
    return whole if whole.removeprefix("-").isdecimal() else name


def _spread(y: Array) -> str:
    low, high, mean, sd = (number_text(one) for one in (y.min(), y.max(), y.mean(), y.std(ddof=1)))
    return f"{len(y):,} numbers from {low} to {high}, mean {_short(mean)}, SD {_short(sd)}"


def _short(text: str) -> str:
    return f"{float(text):.4g}"


def _missing(target: Target) -> Iterator[tuple[str, int]]:
    """Yield why participants lack the target, and how many."""
    for reason, n in target.dropped.items():
        yield reason.removeprefix(f"{target.column} is "), n
