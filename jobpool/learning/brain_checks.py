"""The checks of maps and parcellations made once, before there is a pool.

Opens the header of every map and reads every parcellation. Problems are collected.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobpool.brain.map_files import NO_MAP
from jobpool.brain.parcellations import ParcellationSummary, describe_parcellation
from jobpool.brain.random import is_random
from jobpool.brain.spaces import Space, difference
from jobpool.errors import DataError, listing
from jobpool.experiment.reader import Reader
from jobpool.learning.study import Study
from jobpool.units import count

_MOST_MAPS = 5  # that are named one by one
_MOST_NAMED = 4  # parcellations in one line
_KINDS = ("hard", "soft", "signed")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapsChecked:
    """What the headers of the maps say."""

    space: Space
    dropped: Mapping[int, str]  # position among all participants, and why


def check_maps(study: Study, reader: Reader) -> MapsChecked | None:
    """Return what the maps are, or None if that cannot be known; `reader` takes the problems."""
    text = study.settings.maps
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
    seen = maps.look()
    for one in seen.problems[:_MOST_MAPS]:
        reader.problem("maps", text, str(one))
    if len(seen.problems) > _MOST_MAPS:
        n_more = len(seen.problems) - _MOST_MAPS
        what = f"{n_more:,} more maps cannot be used"
        if 2 * len(seen.problems) > len(study.ids):
            what += "; all are compared with the first one, so look whether that is the odd one"
        reader.problem("maps", text, what)
    return MapsChecked(space=space, dropped=seen.dropped)


def describe_all(
    study: Study, space: Space | None, reader: Reader
) -> dict[str, ParcellationSummary]:
    """Return what each parcellation is; `reader` takes the problems.

    Maps in plain arrays say nothing of their space. Parcellations in images must then agree with
    one another: the first of them stands for the maps.
    """
    described: dict[str, ParcellationSummary] = {}
    of_what = "the maps"
    for name, file in study.sources(study.settings.conventions).items():
        try:
            found = describe_parcellation(file, study.folder)
        except DataError as error:
            reader.problem("parcellation", name, str(error))
            continue
        described[name] = found
        other = difference(found.space, space) if space is not None else None
        if other is not None:
            advice = f"has another space than {of_what}: {other}; give one in the space of the maps"
            reader.problem("parcellation", name, advice)
        elif space is not None and found.space.informed and not space.informed:
            space, of_what = found.space, f"the parcellation {name}"
        if found.n_empty and not study.settings.drop_empty:
            advice = f"has {found.n_empty} parcels without vertices; set on_empty_parcel: drop"
            reader.problem("parcellation", name, advice)
    return described


def dropped_lines(study: Study, dropped: Mapping[int, str]) -> list[str]:
    """Return who is left out for a map that is there but cannot be used."""
    reasons = {why for why in dropped.values() if why != NO_MAP}
    return [
        f"{count(len(ids), 'participant')} left out, {why}: {listing(ids, most=_MOST_NAMED)}"
        for why in sorted(reasons)
        if (ids := [study.ids[who] for who, one in dropped.items() if one == why])
    ]


def parcellation_lines(study: Study, described: Mapping[str, ParcellationSummary]) -> Iterator[str]:
    """Yield which kinds of parcellations there are, and what in them a person should see."""
    grown = {name for name, source in study.parcellations.items() if is_random(source)}
    parts = []
    for kind in _KINDS:
        of_kind = {name: one for name, one in described.items() if one.kind == kind}
        if not of_kind:
            continue
        numbers = sorted({one.n_parcels for one in of_kind.values()})
        ends = f"{numbers[0]:,}" + (f" to {numbers[-1]:,}" if len(numbers) > 1 else "")
        n_grown = len(grown & of_kind.keys())
        more = f", {n_grown:,} of them grown" if n_grown else ""
        fitted = ", fitted by least squares" if kind == "signed" else ""
        parts.append(f"{len(of_kind):,} {kind} of {ends} parcels{more}{fitted}")
    yield "; ".join(parts)
    yield from _odd(described)
    two = [name for name, one in described.items() if one.space.two_affines]
    if study.maps().space().two_affines:
        two.insert(0, "the maps")
    if two:
        shown = listing(two, most=_MOST_NAMED)
        yield f"  look at files whose qform is not their sform, which is used: {shown}"


def _odd(described: Mapping[str, ParcellationSummary]) -> Iterator[str]:
    soft = {name: one for name, one in described.items() if one.kind == "soft"}
    above = [f"{name} ({one.greatest:.4g})" for name, one in soft.items() if one.greatest > 1.001]
    if above:
        yield f"  weights above 1, taken as they are: {listing(above, most=_MOST_NAMED)}"
    traces = [f"{name} ({one.n_traces:,})" for name, one in soft.items() if one.n_traces]
    if traces:
        yield f"  negative weights that count as 0: {listing(traces, most=_MOST_NAMED)}"
    unnamed = [f"{name} ({one.n_unnamed:,})" for name, one in described.items() if one.n_unnamed]
    if unnamed:
        shown = listing(unnamed, most=_MOST_NAMED)
        yield f"  look at labels that the table in their file does not name: {shown}"
    names: dict[str, list[str]] = {}
    for name, one in described.items():
        names.setdefault(one.digest, []).append(name)
    same = [" = ".join(some[:_MOST_NAMED]) for some in names.values() if len(some) > 1]
    if same:
        yield f"  look at parcellations that are the same: {listing(same, most=_MOST_NAMED)}"
    empty = [f"{name} ({one.n_empty:,})" for name, one in described.items() if one.n_empty]
    if empty:
        yield f"  parcels without vertices, left out: {listing(empty, most=_MOST_NAMED)}"
