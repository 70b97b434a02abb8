"""The forms of axis values that parcellations have: files, grown over a mesh, and ensembles.

Files are given as in every experiment, with two additions: ``atlases.nii.gz:2`` and
``atlases.nii.gz:*`` name columns of one file, and ``kind`` says what the parcellations are where
their numbers leave that open. Both stand in the source of a value.

A value that is grown is kept as its source, the text that says what it is made from. Ensembles
are strategies over named sets of members. A set is grown at random, given by files, or made of
other values of the same axis. With `counts` it becomes several nested ones: the first 3 members,
the first 5.
"""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from jobpool.brain.parcel_files import count_columns
from jobpool.brain.parcel_kinds import KINDS, of_kind
from jobpool.errors import DataError, listing, nearest
from jobpool.experiment.axes import Pairs, ValueForm, from_files, whole_numbers
from jobpool.experiment.ensembles import STRATEGIES, EnsembleSource, read_ensemble
from jobpool.experiment.reader import Reader

_COLUMNS = re.compile(r"(?P<files>.+(?<!\.npz)):(?P<columns>[\d*?]+)")
_BRACES = re.compile(r"\{\w+\}")
_FORMS = ("random", "members", "glob")
SPACINGS = ("log", "linear")  # of sizes across a range
_Members = tuple[tuple[str, str], ...]  # name and source of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The mesh and the mask that values are grown over, as their sources name them."""

    mesh: str
    mask: str | None

    def source(self, size: int, repeat: int, seed: int) -> str:
        """Return the source of one value."""
        end = f"&mask={self.mask}" if self.mask else ""
        return f"random:{self.mesh}?size={size}&repeat={repeat}&seed={seed}{end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    name: str  # what the ensembles are called, without the strategy
    nested: str  # the name that the sets of all counts share
    members: _Members


def _parcellation_files(reader: Reader, folder: Path) -> list[tuple[str, str]]:
    """Return one name and source per file, array or column that ``glob`` matches."""
    kind = reader.text("kind", "", KINDS) if reader.has("kind") else ""
    pairs = [pair for one in reader.texts("glob") for pair in _matching(reader, one, folder)]
    return [(name, of_kind(source, kind) if kind else source) for name, source in pairs]


def _matching(reader: Reader, pattern: str, folder: Path) -> list[tuple[str, str]]:
    found = _COLUMNS.fullmatch(pattern)
    if found is None:
        return from_files(reader, pattern, folder)
    pairs: list[tuple[str, str]] = []
    for name, file in from_files(reader, found["files"], folder):
        try:
            n_columns = count_columns(file, folder)
        except DataError as error:
            reader.problem("glob", pattern, str(error))
            continue
        numbers = [number for number in range(1, n_columns + 1) if _is_in(number, found["columns"])]
        if not numbers:
            advice = f"matches no column of {file}; it has {n_columns}, counted from 1"
            reader.problem("glob", pattern, advice)
        pairs += [(f"{name}_{number}", f"{file}:{number}") for number in numbers]
    return pairs


def _is_in(number: int, pattern: str) -> bool:
    return fnmatchcase(str(number), pattern)


def _expand_files(reader: Reader, folder: Path, _singles: Mapping[str, str]) -> Pairs:
    return list(_parcellation_files(reader, folder))


def from_random(given: Reader, folder: Path, _singles: Mapping[str, str]) -> Pairs:
    """Return one value per size and repeat."""
    reader = given.child("random")
    ground = read_ground(reader, folder)
    sizes = whole_numbers(reader, "sizes", least=1, example=100)
    repeats, seed = reader.whole("repeats", default=1, least=1), reader.whole("seed", 0, least=0)
    return [
        (f"random_{size}_{repeat}", ground.source(size, repeat, seed))
        for size in sizes
        for repeat in range(1, repeats + 1)
    ]


def read_ground(reader: Reader, folder: Path) -> Ground:
    """Return the mesh and the mask of a form; their files must exist."""
    mesh, mask = reader.text("mesh"), reader.optional_text("mask")
    for key, path in (("mesh", mesh), ("mask", mask)):
        # a name in braces stands for several files
        pattern = _BRACES.sub("*", glob.escape(path or ""))
        if path and not glob.glob(pattern, root_dir=folder):  # noqa: PTH207
            reader.problem(key, path, f"matches no file in {folder}; correct the path")
    return Ground(mesh=_quoted(folder, mesh), mask=_quoted(folder, mask) if mask else None)


def _quoted(folder: Path, path: str) -> str:
    """Return a path quoted for a source, where ? & = % and non-ASCII letters mean more."""
    return quote(str(folder / path), safe="/{}: ,+@~()[]")


def from_sets(reader: Reader, folder: Path, singles: Mapping[str, str]) -> Pairs:
    """Return one value per strategy and set.

    Parameters
    ----------
    reader : Reader
        Of a mapping with ``strategies`` and ``sets``; takes the problems.
    folder : Path
        Where relative paths start.
    singles : mapping of str to str
        Name and source of every other value of the axis: what `members` may name.
    """
    strategies = _read_strategies(reader)
    if not reader.has("sets"):
        reader.problem("sets", None, "missing; give a list of sets")
    elif not reader.raw("sets"):
        reader.problem("sets", reader.raw("sets"), "is empty; give at least one set")
    sets: list[_Set] = []
    for inner in reader.children("sets"):
        sets += _read_set(inner, singles, folder)
    pairs: Pairs = []
    for strategy in strategies:
        for one in sets:
            source = EnsembleSource(strategy=strategy, set=one.nested, members=one.members)
            pairs.append((f"{strategy}_{one.name}", source.text()))
    return pairs


def _read_strategies(reader: Reader) -> list[str]:
    strategies = reader.texts("strategies")
    if not strategies:
        advice = f"missing; give at least one of: {listing(STRATEGIES)}"
        reader.problem("strategies", None, advice)
    for one in strategies:
        if one not in STRATEGIES:
            advice = f"unknown strategy; write one of: {listing(STRATEGIES)}"
            reader.problem("strategies", one, advice + nearest(one, STRATEGIES))
    return [one for one in strategies if one in STRATEGIES]


def _read_set(reader: Reader, singles: Mapping[str, str], folder: Path) -> list[_Set]:
    given = [form for form in _FORMS if reader.has(form)]
    name = reader.text("name", default="random" if given == ["random"] else None)
    counts = None
    if reader.has("counts") or given == ["random"]:
        counts = whole_numbers(reader, "counts", least=2, example=3)
    if len(given) != 1:
        advice = f"give exactly one of: {listing(_FORMS)}"
        reader.problem("", None, advice + (f", not {listing(given)}" if given else ""))
        return []
    if given == ["random"]:
        return _grown(reader, name, counts or [], folder)
    if given == ["members"]:
        members = _named(reader, singles)
    else:
        members = tuple(_parcellation_files(reader, folder))
    return _nested(reader, name, members, counts)


def _nested(reader: Reader, name: str, members: _Members, counts: list[int] | None) -> list[_Set]:
    if len(members) < 2 and not any(one.key.startswith(reader.key) for one in reader.problems):
        found = listing(name for name, _ in members) or "none"
        reader.problem("", None, f"has too few members: {found}; give at least 2")
    if len({name for name, _ in members}) < len(members):
        names = [name for name, _ in members]
        twice = listing(dict.fromkeys(name for name in names if names.count(name) > 1))
        reader.problem("", None, f"has members of the same name: {twice}; give each once")
    for count in counts or []:
        if count > len(members) >= 2:
            advice = f"is more than the {len(members)} members that there are"
            reader.problem("counts", count, advice + "; give a smaller one, or more members")
    if counts is None:
        return [_Set(name=name, nested=name, members=members)]
    return [_Set(name=f"{name}_x{n}", nested=name, members=members[:n]) for n in counts]


def _named(reader: Reader, singles: Mapping[str, str]) -> _Members:
    """Return the values that `members` selects, each once, by pattern in the order of the axis."""
    names: list[str] = []
    for pattern in reader.texts("members"):
        matching = [one for one in singles if one == pattern or fnmatchcase(one, pattern)]
        if not matching:
            advice = f"matches no single value of this axis; there are: {listing(singles)}"
            reader.problem("members", pattern, advice + nearest(pattern, singles))
        names += matching
    return tuple((name, singles[name]) for name in dict.fromkeys(names))


def _grown(reader: Reader, name: str, counts: list[int], folder: Path) -> list[_Set]:
    form = reader.child("random")
    ground = read_ground(form, folder)
    seeds = whole_numbers(form, "seeds", least=0, example=1) if form.has("seeds") else [0]
    fixed = whole_numbers(form, "sizes", least=1, example=100) if form.has("sizes") else []
    ranges = _read_across(form) if form.has("across") else []
    spacing = form.text("spacing", SPACINGS[0], SPACINGS)
    if not form.has("sizes") and not form.has("across"):
        form.problem("sizes", None, "missing; give a list of whole numbers, or: across")
    if form.has("spacing") and not form.has("across"):
        form.problem("spacing", spacing, "is of sizes across a range; give across, or leave it out")
    sets = []
    for seed in seeds:
        for count in counts:
            plans = {str(size): [(size, one + 1) for one in range(count)] for size in fixed}
            for least, most in ranges:
                spread = spread_sizes(least, most, count, spacing)
                plans[f"{least}-{most}"] = [(size, 1) for size in spread]
                if len(spread) < count:
                    advice = f"is more than the {len(spread)} different sizes in"
                    reader.problem("counts", count, f"{advice} {[least, most]}; give a wider range")
            sets += [
                _Set(
                    name=f"{name}_{size}_x{count}_{seed}",
                    nested=f"{name}_{size}_seed{seed}",
                    members=_grown_members(name, plan, seed, ground),
                )
                for size, plan in plans.items()
            ]
    return sets


def _grown_members(name: str, plan: list[tuple[int, int]], seed: int, ground: Ground) -> _Members:
    return tuple(
        (f"{name}_{size}_{repeat}_seed{seed}", ground.source(size, repeat, seed))
        for size, repeat in plan
    )


def _read_across(reader: Reader) -> list[tuple[int, int]]:
    """Return the ranges: one alone, or a list of them."""
    given = reader.raw("across")
    several = isinstance(given, list) and bool(given) and isinstance(given[0], list)
    found = []
    for one in given if several else [given]:
        # type: true is an int, too
        if not isinstance(one, list) or [type(end) for end in one] != [int, int]:
            advice = "must be two whole numbers: [smallest, largest]; or a list of such ranges"
            reader.problem("across", one, advice)
        elif not 1 <= one[0] < one[1]:
            advice = "must be two whole numbers of at least 1, the smaller first"
            reader.problem("across", one, advice)
        elif (one[0], one[1]) in found:
            reader.problem("across", one, "is given twice; give it once")
        else:
            found.append((one[0], one[1]))
    return found


def spread_sizes(least: int, most: int, count: int, spacing: str = SPACINGS[0]) -> list[int]:
    """Return up to `count` different sizes, spread evenly from the smallest to the largest.

    On a log scale they are rounded to the nearest whole number; ``linear`` ones are rounded down,
    as in the published study.

    Examples
    --------
    >>> spread_sizes(10, 1000, 3), spread_sizes(10, 1000, 5)
    ([10, 100, 1000], [10, 32, 100, 316, 1000])
    >>> spread_sizes(100, 1000, 5, "linear"), spread_sizes(50, 500, 8, "linear")
    ([100, 325, 550, 775, 1000], [50, 114, 178, 242, 307, 371, 435, 500])
    """
    steps = count - 1
    if spacing == "linear":
        return list(dict.fromkeys(least + (most - least) * k // steps for k in range(count)))
    fractions = [number / steps for number in range(count)]
    return list(dict.fromkeys(round(least * (most / least) ** one) for one in fractions))


def check_members(reader: Reader, axis: str, pairs: Pairs) -> None:
    """Refuse one name for two different members or single values."""
    known: dict[str, str] = {}
    others: dict[str, str] = {}
    for value, source in pairs:
        ensemble = read_ensemble(source)
        single = ((str(value), source or str(value)),)
        for name, text in ensemble.members if ensemble else single:
            if known.setdefault(name, text) != text:
                others.setdefault(name, text)
    if others:
        name, text = next(iter(others.items()))
        more = f", and there are {len(others) - 1} more such names" if len(others) > 1 else ""
        advice = f"would mean both {known[name]} and {text}{more}; give a set, or a file, another "
        reader.problem(axis, name, advice + "name")


GROWN = ValueForm(keys=("random",), example="{random: ...}", expand=from_random)
SETS = ValueForm(
    keys=("strategies", "sets"),
    example="{strategies: ..., sets: ...}",
    expand=from_sets,
    of_others=True,
    check=check_members,
)
# what the runner evaluate adds to the forms that every experiment has, or puts in their place
FILES = ValueForm(keys=("glob",), example="{glob: ...}", expand=_expand_files)
FORMS: Mapping[str, ValueForm] = {"files": FILES, "random": GROWN, "sets": SETS}
