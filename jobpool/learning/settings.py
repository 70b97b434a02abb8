"""The settings: the ``evaluate`` section of an experiment as frozen records. Reads no file."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from jobpool.brain.maps import MapProblems
from jobpool.disk.spelling import normal
from jobpool.errors import listing, nearest
from jobpool.experiment.axes import read_missing
from jobpool.experiment.reader import Reader
from jobpool.learning.conventions import COMMON, OWN, TARGET_SCALINGS, USUAL, WAYS
from jobpool.learning.methods import METHODS
from jobpool.learning.pipelines.base import Kind, Settings
from jobpool.learning.pipelines.scaling import SCALERS
from jobpool.learning.scores import METRICS
from jobpool.learning.splits import HOLDOUT_SHARE
from jobpool.learning.targets import TargetSettings, read_target_settings

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
        """Say whether the tasks of a parcellation are split.

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
class Searching:
    """How candidates are found and compared."""

    method: str
    n_candidates: int | None  # the pipeline's own number if None
    n_candidates_of: Mapping[str, int]  # by pipeline
    search_metric: Mapping[Kind, str]  # empty: the usual one
    metrics: Mapping[Kind, tuple[str, ...]]  # reported; empty: the usual ones
    plain: bool
    by_size: bool = False  # spaces that depend on the number of participants


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """The numbers and names in the ``evaluate`` section."""

    maps: str | Mapping[str, str]
    divisor: float  # the stored value of a map that stands for 1
    problems: MapProblems
    drop_empty: bool  # whether parcels without vertices are left out, or are an error
    participants: str
    id_column: str
    group_column: str | None
    missing: tuple[str, ...] | None  # words for a missing value; None: the usual ones
    n_outer: int
    n_inner: int
    holdout_share: float
    conventions: Mapping[str, str]  # what a pool keeps for good: see `jobpool.learning.conventions`
    targets: Mapping[str, TargetSettings]  # those that are not just the column of their name
    searching: Searching
    model_settings: Settings
    by_fold: ByFold
    shares_fits: bool = True  # between the strategies of a pool; or each task makes its own
    keeps_predictions: bool = False


def read_evaluate_settings(reader: Reader) -> EvaluateSettings:
    """Return the settings in a section; `reader` collects the problems."""
    usual = Settings()
    return EvaluateSettings(
        maps=_read_maps(reader),
        divisor=reader.number("map_divisor", default=1.0, above=0),
        problems=MapProblems(
            missing=_read_choice(reader, "on_missing_map"),
            non_finite=_read_choice(reader, "on_non_finite"),
            space=_read_choice(reader, "on_other_space"),
        ),
        drop_empty=_read_choice(reader, "on_empty_parcel", "drop") == "drop",
        participants=reader.text("participants"),
        id_column=normal(reader.text("id", default="participant_id")),
        group_column=normal(reader.text("group")) if reader.has("group") else None,
        missing=read_missing(reader),
        n_outer=reader.whole("outer_folds", default=5, least=2),
        n_inner=reader.whole("inner_folds", default=3, least=2),
        holdout_share=_read_share(reader),
        conventions={
            **USUAL,
            "splits": reader.text("splits", USUAL["splits"], WAYS),
            "target_scaling": reader.text(
                "target_scaling", USUAL["target_scaling"], TARGET_SCALINGS
            ),
            "compare_on": reader.text("compare_on", USUAL["compare_on"], (COMMON, OWN)),
        },
        targets=_read_targets(reader.child("targets")),
        searching=_read_searching(reader),
        model_settings=Settings(
            scaling=reader.text("scaling", usual.scaling, tuple(SCALERS)),
            max_iterations=reader.whole("max_iterations", usual.max_iterations, least=1),
            tolerance=reader.number("tolerance", usual.tolerance, above=0),
        ),
        by_fold=_read_by_fold(reader.child("by_fold")),
        shares_fits=reader.text("fits", "shared", ("shared", "own")) == "shared",
        keeps_predictions=reader.text("predictions", "none", ("none", "keep")) == "keep",
    )


def _read_maps(reader: Reader) -> str | Mapping[str, str]:
    if not isinstance(reader.raw("maps"), dict):
        return reader.text("maps")
    maps = reader.mapping("maps")
    if not maps:
        reader.problem("maps", maps, "names no modality; give a path for at least one")
    for name, text in maps.items():
        if not isinstance(text, str):
            reader.problem(f"maps.{name}", text, "must be text; put quotes around it")
    return {name: text for name, text in maps.items() if isinstance(text, str)}


def _read_targets(reader: Reader) -> dict[str, TargetSettings]:
    return {name: read_target_settings(reader, name) for name in reader.names()}


def _read_choice(reader: Reader, name: str, usual: str = "error") -> Literal["error", "drop"]:
    return "drop" if reader.text(name, usual, ("error", "drop")) == "drop" else "error"


def _read_share(reader: Reader) -> float:
    share = reader.number("holdout", default=HOLDOUT_SHARE, above=0)
    if share >= 1:
        reader.problem("holdout", share, "must be below 1: it is a share of the participants")
    # a wrong one is reported, and must not make the splits fail as well
    return share if 0 < share < 1 else HOLDOUT_SHARE


def _read_searching(reader: Reader) -> Searching:
    both = reader.has("candidates") and isinstance(reader.raw("candidates"), dict)
    by_pipeline = reader.child("candidates") if both else None
    names = by_pipeline.names() if by_pipeline else []
    return Searching(
        method=reader.text("search", "random", tuple(METHODS)),
        n_candidates=None if both else reader.optional_whole("candidates", least=1),
        n_candidates_of={name: by_pipeline.whole(name, least=1) for name in names if by_pipeline},
        search_metric=_read_search_metric(reader),
        metrics=_read_metrics(reader, "metrics"),
        plain=reader.text("solver", "fast", ("fast", "plain")) == "plain",
        by_size=reader.text("lgbm_space", "published", ("published", "by_size")) == "by_size",
    )


def _read_search_metric(reader: Reader) -> dict[Kind, str]:
    found = {kind: one for kind, one in _read_metrics(reader, "search_metric").items() if one}
    for kind, metrics in found.items():
        if len(metrics) > 1:
            advice = "candidates are compared by one metric; keep one of them"
            reader.problem(f"search_metric.{kind}", list(metrics), advice)
    return {kind: metrics[0] for kind, metrics in found.items()}


def _read_metrics(reader: Reader, name: str) -> dict[Kind, tuple[str, ...]]:
    child = reader.child(name)
    found = {kind: child.texts(str(kind)) for kind in Kind}
    for kind, metrics in found.items():
        for metric in metrics:
            if metric not in METRICS[kind]:
                advice = f"unknown metric; write one of: {listing(METRICS[kind])}"
                child.problem(str(kind), metric, advice + nearest(metric, METRICS[kind]))
    return found


def _read_by_fold(reader: Reader) -> ByFold:
    text = reader.optional_text("parcels")
    found = _CONDITION.fullmatch(text.strip()) if text else None
    if text and not found:
        reader.problem("parcels", text, 'write a comparison in quotes, such as ">=600"')
    condition = (found[1], int(found[2])) if found else None
    return ByFold(condition=condition, names=reader.texts("parcellations"))
