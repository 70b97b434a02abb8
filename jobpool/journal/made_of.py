"""What results are made of: names of inputs, each with a digest or a version.

    POOL/made-of.jsonl    checked lines, appended under the pool's kind of lock

All results of a pool share its inputs: the first digest written of a name is the one that all
others must agree with, or they would be results of two worlds. Versions of libraries are noted
only, as a study may outlast them. The names mean nothing here; a runner gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobpool.disk.files import newer_format
from jobpool.disk.inside import ensure_file
from jobpool.disk.locks import LOCKS
from jobpool.disk.validation import is_mapping, is_whole
from jobpool.disk.waiting import told
from jobpool.errors import PoolError
from jobpool.journal.jsonl import append_line, read_lines
from jobpool.task import Json
from jobpool.units import count

FILE_NAME = "made-of.jsonl"
_MOST_SHOWN = 5  # values of an input
FORMAT = 1
NOTED = ("version of ", "settings of ")  # how the names of what is no input begin
BETWEEN = ", "  # between the values of a name that is not the same everywhere in a result
_SHAPE = {"format": is_whole, "inputs": is_mapping, "versions": is_mapping}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What is written of the inputs of a pool's results."""

    inputs: Mapping[str, str]  # name to digest, as first written
    versions: Mapping[str, tuple[str, ...]]  # name to versions, in the order in which they came


def read_agreed(pool: Path) -> Agreed:
    """Return what is written; nothing of a pool of an older jobpool that no task was run in.

    Raises
    ------
    PoolError
        If a newer jobpool wrote it.
    """
    inputs: dict[str, str] = {}
    versions: dict[str, dict[str, None]] = {}
    path = pool / FILE_NAME
    for line in read_lines(path, _SHAPE):
        if line.record is None:  # cut short: the next writer writes it again
            continue
        if line.record["format"] > FORMAT:
            raise PoolError(path, newer_format(line.record["format"], FORMAT))
        for name, digest in line.record["inputs"].items():
            inputs.setdefault(str(name), str(digest))
        for name, version in line.record["versions"].items():
            versions.setdefault(str(name), {})[str(version)] = None
    found = {name: tuple(each) for name, each in versions.items()}
    return Agreed(inputs=inputs, versions=found)


def agree(
    pool: Path, lock: str, inputs: Mapping[str, str], versions: Mapping[str, str]
) -> dict[str, str]:
    """Write the inputs and versions that are not written yet, and return those that differ.

    Parameters
    ----------
    pool : Path
        Its folder.
    lock : str
        One of `jobpool.disk.locks.LOCKS`.
    inputs : mapping of str to str
        Name to digest.
    versions : mapping of str to str
        Name to version; never differs, as all are written.

    Returns
    -------
    dict of str to str
        Names of inputs that have another digest, with the digest that is written.

    Raises
    ------
    StorageError
        If the disk is full, over quota or failing.
    """
    known = read_agreed(pool)
    if not _new(known, inputs, versions):
        return differing(known, inputs)
    path = pool / FILE_NAME
    ensure_file(path)
    with told(path, LOCKS[lock](path, False)) as held:
        new = _new(read_agreed(pool), inputs, versions)
        if new:
            append_line(path, {"format": FORMAT, **new})
            held.written = True
    return differing(read_agreed(pool), inputs)


def _new(agreed: Agreed, inputs: Mapping[str, str], versions: Mapping[str, str]) -> dict[str, Json]:
    new_inputs = {name: one for name, one in inputs.items() if name not in agreed.inputs}
    new_versions = {
        name: one for name, one in versions.items() if one not in agreed.versions.get(name, ())
    }
    if not new_inputs and not new_versions:
        return {}
    return {"inputs": dict(new_inputs), "versions": dict(new_versions)}


def differing(agreed: Agreed, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the names of inputs that have another digest, with the one that is written."""
    return {
        name: agreed.inputs[name]
        for name, one in inputs.items()
        if agreed.inputs.get(name, one) != one
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """An input that is not the same in all results."""

    name: str
    counts: Mapping[str, int]  # digest or version to number of results
    examples: Mapping[str, str]  # and to the id of a task that has it

    @property
    def usual(self) -> str:
        """Return the value that most results have."""
        return max(self.counts, key=lambda one: (self.counts[one], one))

    def __str__(self) -> str:
        values = list(self.counts.items())
        each = [f"{value} in {count(n, 'result')}" for value, n in values[:_MOST_SHOWN]]
        if len(values) > _MOST_SHOWN:
            each.append(f"{len(values) - _MOST_SHOWN:,} more")
        other = next(value for value in self.counts if value != self.usual)
        return f"{self.name}: {BETWEEN.join(each)} (such as task {self.examples[other]})"


@dataclass(slots=True)
class Tally:
    """Counts what results are made of."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, made_of: Mapping[str, str], task: str) -> None:
        """Add a result of the task with this id."""
        for name, values in made_of.items():
            known = self.counts.setdefault(name, {})
            for value in values.split(BETWEEN):
                known[value] = known.get(value, 0) + 1
                self.examples.setdefault((name, value), task)

    def mixtures(self) -> Iterator[Mixture]:
        """Yield the inputs that have several digests or versions."""
        for name, counts in self.counts.items():
            if len(counts) > 1:
                examples = {value: self.examples[name, value] for value in counts}
                yield Mixture(name=name, counts=counts, examples=examples)


def is_input(name: str) -> bool:
    """Say whether the content of a name must be the same in all results."""
    return not name.startswith(NOTED)


def within(made_of: Mapping[str, str]) -> list[str]:
    """Return the names of what is not the same everywhere in one result."""
    return [name for name, values in made_of.items() if BETWEEN in values]


def joined(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what several results are made of together: all values of a name.

    Examples
    --------
    >>> joined([{"maps": "a", "numpy": "2.0"}, {"maps": "b", "numpy": "2.0"}])
    {'maps': 'a, b', 'numpy': '2.0'}
    """
    names = dict.fromkeys(name for one in each for name in one)
    values = {n: {v for one in each if n in one for v in one[n].split(BETWEEN)} for n in names}
    return {name: BETWEEN.join(sorted(found)) for name, found in values.items()}
