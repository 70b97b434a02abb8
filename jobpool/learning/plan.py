"""The plan: the ``evaluate`` section of an experiment as frozen records. Reads no file."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from jobpool.learning.pipelines import SCALERS, Settings
from jobpool.reader import Reader

_CONDITION = re.compile(r"(>=|>|<=|<|=)\s*(\d+)")
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByFold:
    """Which parcellations enter the pool as one task per outer fold."""

    condition: tuple[str, int] | None = None  # a comparison with the number of parcels
    names: tuple[str, ...] = ()  # names and patterns of parcellations

    def matches(self, name: str, n_parcels: int) -> bool:
        """Say whether the tasks of a parcellation are cut up.

        Examples
        --------
        >>> ByFold(condition=(">=", 600)).matches("schaefer1000", 999)
        True
        """
        if any(fnmatchcase(name, pattern) for pattern in self.names):
            return True
        if self.condition is None:
            return False
        sign, limit = self.condition
        return _COMPARE[sign](n_parcels, limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The numbers and names in the ``evaluate`` section."""

    maps: str
    divisor: float  # the stored value of a map that stands for 1
    participants: str
    id_column: str
    group_column: str | None
    n_outer: int
    n_inner: int
    n_candidates: int
    settings: Settings
    by_fold: ByFold


def read_plan(reader: Reader) -> Plan:
    """Return the plan in a section; `reader` collects the problems."""
    usual = Settings()
    return Plan(
        maps=reader.text("maps"),
        divisor=reader.number("map_divisor", default=1.0, above=0),
        participants=reader.text("participants"),
        id_column=reader.text("id", default="participant_id"),
        group_column=reader.optional_text("group"),
        n_outer=reader.whole("outer_folds", default=5, least=2),
        n_inner=reader.whole("inner_folds", default=3, least=2),
        n_candidates=reader.whole("candidates", default=60, least=1),
        settings=Settings(
            scaling=reader.text("scaling", usual.scaling, tuple(SCALERS)),
            max_iterations=reader.whole("max_iterations", usual.max_iterations, least=1),
            tolerance=reader.number("tolerance", usual.tolerance, above=0),
        ),
        by_fold=_read_by_fold(reader.child("by_fold")),
    )


def _read_by_fold(reader: Reader) -> ByFold:
    text = reader.optional_text("parcels")
    found = _CONDITION.fullmatch(text.strip()) if text else None
    if text and not found:
        reader.problem("parcels", text, 'write a comparison in quotes, such as ">=600"')
    condition = (found[1], int(found[2])) if found else None
    return ByFold(condition=condition, names=reader.texts("parcellations"))
