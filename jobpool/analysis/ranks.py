"""Ranks of parcellations within each pipeline and target, and their means."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from jobpool.analysis.coverage import Coverage, complete_part, coverage
from jobpool.analysis.precision import equal_scores
from jobpool.analysis.study_table import SCORE, StudyTable

ABOUT = ("parcellation", "size", "type", "strategy", "set", "members")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Ranks, the best 1, and their means.

    Attributes
    ----------
    within : tuple of str
        Columns within each combination of which is ranked.
    cells : DataFrame
        One row per parcellation, pipeline and target, with its ``rank``.
    overall : DataFrame
        One row per parcellation: ``mean_rank`` over the ``n_cells`` pairs of pipeline and target,
        and, where it is known, ``n_used``: the fewest participants that one of its scores is of.
    by_pipeline : DataFrame
        One row per parcellation and pipeline: ``mean_rank`` over ``n_cells`` targets.
    by_type : DataFrame
        One row per type: ``n_parcellations``, mean of their ``mean_rank``, ``median_size``.
    coverage : Coverage
        What could not be ranked.
    """

    within: tuple[str, ...]
    cells: pd.DataFrame
    overall: pd.DataFrame
    by_pipeline: pd.DataFrame
    by_type: pd.DataFrame
    coverage: Coverage


def rank(
    table: StudyTable,
    within: tuple[str, ...] = ("pipeline", "target"),
    pairs: Collection[tuple[str, str]] | None = None,
) -> Ranking:
    """Rank parcellations by score, the highest 1, and average the ranks.

    Equal scores share the mean of the ranks they take up: scores 0.5, 0.4, 0.4, 0.3 have ranks
    1, 2.5, 2.5, 4 [1]_. Scores that differ by no more than the precision of their computation are
    equal (`equal_scores`). Every parcellation ranked has every pair of pipeline and target, so the
    mean over cells, over targets of the means over pipelines, and the other way round, are one
    number. In a table of mean ranks, these are the ranks.

    Parameters
    ----------
    table : StudyTable
        The study.
    within : tuple of str, optional
        By default each pair of pipeline and target has its own ranks. With ``("target",)``, all
        pairs of parcellation and pipeline are ranked together: this compares pipelines.
    pairs : collection of (str, str), optional
        The pairs of pipeline and target to rank in; by default every combination.

    References
    ----------
    .. [1] Kendall, "The treatment of ties in ranking problems", Biometrika 33:239, 1945.
    """
    if pairs is not None:
        table = table.of_pairs(pairs)
    covered = coverage(table, pairs)
    complete = complete_part(table, covered)
    cells = complete.frame
    if table.measure == SCORE:
        groups = equal_scores(complete).groupby([cells[name] for name in within], sort=False)
        cells["rank"] = groups.rank(method="average", ascending=False)
    else:
        cells["rank"] = cells["mean_rank"]
    overall = means_of(cells, ["parcellation"], [*ABOUT])
    types = overall.groupby("type", sort=True, as_index=False)
    return Ranking(
        within=within,
        cells=cells,
        overall=overall,
        by_pipeline=means_of(cells, ["parcellation", "pipeline"], [*ABOUT, "pipeline"]),
        by_type=types.agg(
            n_parcellations=("parcellation", "size"),
            mean_rank=("mean_rank", "mean"),
            median_size=("size", "median"),
        ),
        coverage=covered,
    )


def best(ranking: Ranking, by: str, most: int = 10) -> pd.DataFrame:
    """Return the parcellations with the best mean rank for each value of a column.

    Parameters
    ----------
    ranking : Ranking
        The ranks.
    by : str
        ``target``, ``pipeline`` or ``type``.
    most : int
        Places to list; those that share the last one are all listed.

    Returns
    -------
    DataFrame
        `by`, ``place`` (those that are equal share the first of their places), ``parcellation``,
        ``size``, ``type``, ``mean_rank``.
    """
    columns = list(dict.fromkeys([by, "parcellation", "size", "type"]))
    means = means_of(ranking.cells, list(dict.fromkeys([by, "parcellation"])), columns)
    places = means.groupby(by, sort=False)["mean_rank"].rank(method="min")
    means.insert(1, "place", places.astype("int64"))
    means = means[means["place"] <= most].drop(columns="n_cells")
    return means.sort_values([by, "place", "size", "parcellation"], ignore_index=True)


def means_of(cells: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Return the mean rank and the number of cells of each group.

    Parameters
    ----------
    cells : DataFrame
        Sorted by size, parcellation, pipeline and target, with ``rank``.
    by : list of str
        Columns that make the groups, some of these four.
    columns : list of str
        Columns to keep, which have one value in each group.
    """
    order = [name for name in ("size", "parcellation", "pipeline", "target") if name in columns]
    # in order of first rows, as the groups: so the two fit row by row
    means = cells.drop_duplicates(by)[columns].reset_index(drop=True)
    groups = cells.groupby(by, sort=False)["rank"]
    means["mean_rank"] = groups.mean().to_numpy()
    means["n_cells"] = groups.size().to_numpy()
    if "n_used" in cells:
        means["n_used"] = cells.groupby(by, sort=False)["n_used"].min().to_numpy()
    return means.sort_values(order, ignore_index=True)
