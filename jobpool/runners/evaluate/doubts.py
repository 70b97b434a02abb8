"""Doubts: results that a person should look at before their scores are believed.

Each is counted over the rows of a table by task. What a result of an older version does not record
raises no doubt.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jobpool.runners.base import Doubt

if TYPE_CHECKING:
    import pandas as pd

# below it a model is further off than twice the spread of the target: often by one prediction
FAR_OFF = -1.0
_SHARES = ("r2", "explained_variance")
_MANY = 0.5  # of all candidates


def doubts_of(frame: "pd.DataFrame") -> Iterator[Doubt]:
    """Yield the doubts about a table of results.

    Parameters
    ----------
    frame : DataFrame
        One row per task, as collected.
    """
    if "n_undefined" in frame:
        yield from _doubt(
            frame,
            frame["n_undefined"] > 0,
            "a score that is not defined, or not finite, in some fold; its mean is missing",
            "see the columns of each fold; splits: even or thirds, or fewer folds",
        )
    if "search_decided" in frame:
        decided = frame["search_decided"].astype("boolean").fillna(True)
        yield from _doubt(
            frame,
            ~decided.astype(bool),
            "a search whose best candidates share one score, so that the first was taken",
            "n_undecided counts its folds; more cases in each inner fold, or another search_metric",
        )
    yield from _constant(frame)
    yield from _failed(frame)
    yield from _far_off(frame)


def _failed(frame: "pd.DataFrame") -> Iterator[Doubt]:
    if "n_failed" in frame:
        yield from _doubt(
            frame,
            frame["n_failed"].fillna(0) > 0,
            "a search in which candidates failed, or predicted what is not finite",
            "first_error says why; take such values out of the space",
        )
    if "cautions" in frame:
        yield from _doubt(
            frame,
            frame["cautions"].notna(),
            "an own pipeline without a seed, or with parameters in the unit of the target",
            "the column cautions says what to do",
        )
    if "n_constant_folds" in frame:
        yield from _doubt(
            frame,
            frame["n_constant_folds"].fillna(0) > 0,
            "a fold in which everybody gets the same prediction",
            "its scores are those of a constant: nothing was found",
        )


def _constant(frame: "pd.DataFrame") -> Iterator[Doubt]:
    if not {"n_constant_candidates", "n_candidates"} <= set(frame.columns):
        return
    n_fits = frame["task"].map(lambda _: _n_folds(frame))  # one search in each fold ...
    if {"fits_made", "fits_reused"} <= set(frame.columns):  # ... or those of several members
        n_fits = (frame["fits_made"] + frame["fits_reused"]).fillna(n_fits)
    yield from _doubt(
        frame,
        frame["n_constant_candidates"].fillna(0) > _MANY * frame["n_candidates"] * n_fits,
        "a search of which most candidates can only predict a constant",
        "more participants, or lgbm_space: by_size",
    )


def _n_folds(frame: "pd.DataFrame") -> int:
    return sum(name.startswith("n_test_fold") for name in frame.columns)


def _far_off(frame: "pd.DataFrame") -> Iterator[Doubt]:
    starts = tuple(f"{name}_fold" for name in _SHARES)
    names = [name for name in frame.columns if name.startswith(starts)]
    if names:
        lowest = frame[names].min(axis=1)
        yield from _doubt(
            frame,
            lowest < FAR_OFF,
            f"a fold with r2 below {FAR_OFF:g}: the lowest is {lowest.min():.3g}",
            "one prediction may be far out; the mean over folds says nothing then",
        )


def _doubt(frame: "pd.DataFrame", found: Any, what: str, cure: str) -> Iterator[Doubt]:
    n = int(found.sum())
    if n:
        task = str(frame.loc[found, "task"].iloc[0]) if "task" in frame else ""
        yield Doubt(what=what, n=n, of=len(frame), task=task, cure=cure)
