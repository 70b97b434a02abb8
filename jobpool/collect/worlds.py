"""What the rows of a table are made of, and which of them are made of something else."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import cast

from jobpool.journal.made_of import BETWEEN, Mixture, Tally, within
from jobpool.runners.base import Results, SupportsMadeOf
from jobpool.task import Json

World = tuple[tuple[str, str], ...]  # name and digest of each input


def made_of(results: Results, result: Mapping[str, Json]) -> Mapping[str, str]:
    """Return what a result says that it is made of; nothing of a runner that does not say it."""
    if not _says_it(type(results)):
        return {}
    said: Mapping[str, str] = cast("SupportsMadeOf", results).made_of(result)
    return said


@lru_cache
def _says_it(kind: type) -> bool:
    """Say whether results of a type say it: asking a protocol takes longer than most answers."""
    return issubclass(kind, SupportsMadeOf)


class Worlds:
    """What each row is made of: kept once for all rows that are made of the same."""

    def __init__(self) -> None:
        self._numbers: dict[World, int] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        self._rows: list[int] = []

    def add(self, inputs: Mapping[str, str]) -> None:
        """Add a row."""
        world = tuple(self._pairs.setdefault(pair, pair) for pair in inputs.items())
        self._rows.append(self._number(world))

    def _number(self, world: World) -> int:
        return self._numbers.setdefault(world, len(self._numbers))

    def extend(self, others: "Worlds") -> None:
        """Add the rows that another process found."""
        numbers = [self._number(world) for world in others._numbers]
        self._rows += [numbers[one] for one in others._rows]

    def mixtures(self, tasks: Sequence[str]) -> tuple[Mixture, ...]:
        """Return the inputs that are not the same in all rows; `tasks` has the id of each."""
        worlds, tally = list(map(dict, self._numbers)), Tally()
        if not _may_differ(worlds):  # the usual case, decided without a look at each row
            return ()
        for number, task in zip(self._rows, tasks, strict=True):
            tally.add(worlds[number], str(task))
        return tuple(tally.mixtures())

    def named(self, mixtures: Iterable[Mixture]) -> list[str | None]:
        """Return for each row the inputs that are not what most rows are made of, or None."""
        usual = {one.name: one.usual for one in mixtures}
        said = [BETWEEN.join(_others(dict(world), usual)) or None for world in self._numbers]
        return [said[number] for number in self._rows]


def _may_differ(worlds: Sequence[Mapping[str, str]]) -> bool:
    known: dict[str, str] = {}
    return any(
        bool(within(world)) or any(known.setdefault(n, v) != v for n, v in world.items())
        for world in worlds
    )


def _others(world: Mapping[str, str], usual: Mapping[str, str]) -> Iterator[str]:
    for name, value in world.items():
        if value != usual.get(name, value):
            yield name
