"""Strategies over several parcellations against single ones: score, time and memory."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.analysis.coverage import combined_pipelines
from jobpool.analysis.precision import gains, units_of
from jobpool.analysis.ranks import ABOUT, means_of, rank
from jobpool.analysis.study_table import SCORE, StudyTable

FloatArray = NDArray[np.float64]

# single parcellations are comparable to an ensemble from half to double its number of parcels
REACH = 2.0
COMPARED = (
    *("parcellation", "strategy", "set", "members", "size", "pipeline", "target", "score"),
    *("seconds", "memory_mb", "n_comparable", "mean_comparable", "best_comparable"),
    *("best_comparable_name", "gain_over_mean", "gain_over_best"),
    *("best_single", "best_single_name", "gain_over_best_single"),
)
# times the least memory: up to it, memory is that of the interpreter and its libraries, which
# varies by some MB from run to run
OWN = 1.1
_BETWEEN = "\0"  # in no name: pairs sort as parcellation, then pipeline
SUMMARY = ("strategy", "members", "pipeline", "target")
_GAINS = ("gain_over_mean", "gain_over_best", "gain_over_best_single")


def compare_strategies(table: StudyTable) -> pd.DataFrame:
    """Compare every ensemble with the single parcellations of its pipeline and target.

    Parameters
    ----------
    table : StudyTable
        With scores. An ensemble of several pipelines, ``elastic+svm``, is compared with the single
        parcellations of each of them.

    Returns
    -------
    DataFrame
        One row per ensemble, pipeline and target. *Comparable* are single parcellations with half
        to double the ensemble's parcels, summed over its members; ``best_single`` is the best of
        any size. Where they are known, ``sd`` and ``n_folds`` of the ensemble's score and its
        ``n_used`` stand beside it. Gains are differences of scores: 0 where they are equal within
        the precision of their computation, NaN where there is nothing to compare with.
        Empty for a table of mean ranks, and without ensembles.
    """
    ensembles, singles = table.ensembles.frame, table.singles.frame
    if table.measure != SCORE or ensembles.empty:
        return pd.DataFrame({name: [] for name in COMPARED})
    parts = [
        rows.merge(_standards(rows, singles, str(pipeline)), on=["size", "target"], how="left")
        for pipeline, rows in ensembles.groupby("pipeline", sort=True)
    ]
    frame = pd.concat(parts, ignore_index=True)
    units = frame["target"].map(units_of(table))
    for name, other in zip(
        _GAINS, ("mean_comparable", "best_comparable", "best_single"), strict=True
    ):
        frame[name] = gains(frame["score"], frame[other], units)
    spread = [name for name in ("sd", "n_folds", "n_used") if name in frame]
    after = COMPARED.index(SCORE) + 1
    return frame[[*COMPARED[:after], *spread, *COMPARED[after:]]].sort_values(
        ["size", "parcellation", "pipeline", "target"], ignore_index=True
    )


def summarise_strategies(compared: pd.DataFrame) -> pd.DataFrame:
    """Return mean gains by strategy, number of members, pipeline and target.

    Parameters
    ----------
    compared : DataFrame
        What `compare_strategies` returns.

    Returns
    -------
    DataFrame
        ``n`` ensembles, ``n_compared`` of them with a comparable single parcellation, the mean
        gains, and ``share_better``: the share of those compared whose score is above the best
        comparable one.
    """
    rows = compared.sort_values([*SUMMARY, "size", "parcellation"]).assign(
        compared=compared["n_comparable"] > 0, better=compared["gain_over_best"] > 0
    )
    groups = rows.groupby(list(SUMMARY), sort=True, as_index=False)
    summary = groups.agg(
        n=("score", "size"),
        n_compared=("compared", "sum"),
        **{name: (name, "mean") for name in _GAINS},
        share_better=("better", "sum"),
    )
    summary["share_better"] /= summary["n_compared"].where(summary["n_compared"] > 0)
    return summary


def trade_off(table: StudyTable) -> pd.DataFrame:
    """Return what each parcellation costs with each pipeline, and what it gives.

    Parameters
    ----------
    table : StudyTable
        With scores; single parcellations and ensembles are ranked together.

    Returns
    -------
    DataFrame
        One row per parcellation and pipeline: ``mean_rank`` over targets among all pairs of
        parcellation and pipeline, so that targets with different scores can be averaged;
        ``seconds`` and ``memory_mb``, means over targets, NaN where one is unknown; and whether
        no other pair is as good in each and better in one: ``front_time`` in rank and seconds,
        ``front_memory`` in rank and memory, ``front`` in all three; memory up to a tenth above the
        least counts as equal. Pipelines that no single
        parcellation has are left out, and so is a pair that lacks a target, by the rule of
        `coverage`; empty for a table of mean ranks.
    """
    combined = combined_pipelines(table)
    usable = table.without_pipelines(combined)
    if table.measure != SCORE:
        usable = usable.without_pipelines(usable.frame["pipeline"].unique().tolist())
    key = ["parcellation", "pipeline"]
    cells = _ranked_as_pairs(usable).sort_values(["size", *key, "target"], ignore_index=True)
    pairs = means_of(cells, key, [*ABOUT, "pipeline"])
    costs_of = cells.groupby(key)[["seconds", "memory_mb"]]
    found = costs_of.mean().where(costs_of.count().eq(costs_of.size(), axis=0))
    pairs = pairs.join(found, on=key)
    compared = pairs[["mean_rank", "seconds", "memory_mb"]].copy()
    compared["memory_mb"] = compared["memory_mb"].clip(lower=OWN * compared["memory_mb"].min())
    for name, costs in (
        ("front_time", ["mean_rank", "seconds"]),
        ("front_memory", ["mean_rank", "memory_mb"]),
        ("front", ["mean_rank", "seconds", "memory_mb"]),
    ):
        pairs[name] = pareto_front(compared[costs].to_numpy(np.float64))
    return pairs


def is_interpreters_own(memory_mb: pd.Series) -> bool:
    """Return whether all memory is that of the interpreter and its libraries, as far as one sees.

    Parameters
    ----------
    memory_mb : Series of float64
        Peak memory; NaN where unknown.
    """
    known = memory_mb.dropna()
    return len(known) > 0 and bool(known.max() <= OWN * known.min())


def pareto_front(costs: FloatArray) -> NDArray[np.bool_]:
    """Return which rows no other row beats: as low in every column, and lower in one.

    Parameters
    ----------
    costs : ndarray of shape (n, k), float64
        Lower is better. A row with NaN is not on the front, and beats none.

    Examples
    --------
    >>> pareto_front(np.array([[1.0, 9.0], [2.0, 4.0], [3.0, 5.0], [4.0, 1.0]])).tolist()
    [True, True, False, True]
    """
    on_front = np.zeros(len(costs), bool)
    order = np.lexsort(costs.T[::-1])  # rows that beat a row come before it
    known = order[~np.isnan(costs[order]).any(axis=1)]
    for row in known:
        front = costs[on_front]
        beaten = (front <= costs[row]).all(axis=1) & (front < costs[row]).any(axis=1)
        on_front[row] = not beaten.any()
    return on_front


def _ranked_as_pairs(table: StudyTable) -> pd.DataFrame:
    """Return cells with ranks of pairs of parcellation and pipeline, each complete by itself.

    A strategy that leaves a whole pipeline out is not incomplete in the others.
    """
    pairs = table
    for name in ("frame", "no_score"):
        rows = getattr(table, name)
        apart = {"of_parcellation": rows["parcellation"], "of_pipeline": rows["pipeline"]}
        together = rows["parcellation"] + _BETWEEN + rows["pipeline"]
        pairs = replace(pairs, **{name: rows.assign(**apart, parcellation=together, pipeline="")})
    cells = rank(pairs, within=("target",)).cells
    names = {"of_parcellation": "parcellation", "of_pipeline": "pipeline"}
    return cells.drop(columns=[*names.values()]).rename(columns=names)


def _standards(ensembles: pd.DataFrame, singles: pd.DataFrame, pipeline: str) -> pd.DataFrame:
    """Return what ensembles of each size are compared with, by target."""
    parts = sorted(set(pipeline.split("+")))
    rows = singles[singles["pipeline"].isin([pipeline, *parts])]
    wide = rows.pivot(index=["size", "parcellation", "pipeline"], columns="target", values="score")
    wide = wide.reindex(columns=sorted(ensembles["target"].unique())).sort_index()
    sizes = wide.index.get_level_values("size").to_numpy(np.float64)
    names = wide.index.get_level_values("parcellation").astype(str).to_numpy(object)
    if len(parts) > 1:
        names = names + " x " + wide.index.get_level_values("pipeline").astype(str)
    scores = wide.to_numpy(np.float64)
    of_any_size = _best(scores, names)
    found = []
    for size in sorted(ensembles["size"].unique().tolist()):
        near = (sizes >= size / REACH) & (sizes <= size * REACH)
        best, name, mean, number = _best(scores[near], names[near])
        found.append(
            pd.DataFrame(
                {
                    "size": size,
                    "target": wide.columns.astype(str),
                    "n_comparable": number,
                    "mean_comparable": mean,
                    "best_comparable": best,
                    "best_comparable_name": name.astype(str),
                    "best_single": of_any_size[0],
                    "best_single_name": of_any_size[1].astype(str),
                }
            )
        )
    return pd.concat(found, ignore_index=True)


def _best(
    scores: FloatArray, names: NDArray[np.object_]
) -> tuple[FloatArray, NDArray[np.object_], FloatArray, NDArray[np.int64]]:
    """Return best score, its name, mean score and number of scores in each column."""
    known = ~np.isnan(scores)
    number = known.sum(axis=0)
    filled = np.where(known, scores, -np.inf)
    best = filled.max(axis=0, initial=-np.inf)
    total = np.where(known, scores, 0.0).sum(axis=0)
    mean = np.full(scores.shape[1], np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    name = np.full(scores.shape[1], "", object)
    if len(scores):
        name = np.where(number > 0, names[filled.argmax(axis=0)], "")
    return np.where(number > 0, best, np.nan), name, mean, number
