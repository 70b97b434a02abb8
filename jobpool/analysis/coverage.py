"""Which cells of a study have a result, and which part of it can be ranked.

A rank says how many others are better. Ranks of two targets can be averaged only if the same
parcellations stand behind both: a parcellation missing from one makes all below it look better. So
ranks are made of a complete block of parcellations and columns, where a column is a pair of
pipeline and target. What is not in the block is named, never dropped in silence.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.analysis.study_table import SINGLE, StudyTable
from jobpool.errors import listing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coverage:
    """What there is of a study, and what its ranks are made of.

    Attributes
    ----------
    n_parcellations, n_columns : int
        In the table; a column is a pair of pipeline and target.
    n_cells, n_present : int
        `n_parcellations` times `n_columns`, and those that have a result.
    missing : DataFrame
        ``parcellation``, ``pipeline``, ``target`` of every cell without one.
    left_out_parcellations : tuple of str
        Not ranked.
    left_out_columns : tuple of (str, str)
        Pipeline and target, not ranked.
    """

    n_parcellations: int
    n_columns: int
    n_cells: int
    n_present: int
    missing: pd.DataFrame
    left_out_parcellations: tuple[str, ...]
    left_out_columns: tuple[tuple[str, str], ...]

    @property
    def complete(self) -> bool:
        """Return whether every cell has a result."""
        return self.n_present == self.n_cells

    @property
    def n_ranked_parcellations(self) -> int:
        """Return how many parcellations are ranked."""
        return self.n_parcellations - len(self.left_out_parcellations)

    @property
    def n_ranked_columns(self) -> int:
        """Return how many pairs of pipeline and target are ranked in."""
        return self.n_columns - len(self.left_out_columns)

    def sentences(self) -> tuple[str, ...]:
        """Return what a reader must know before believing a rank; nothing if complete."""
        if self.complete:
            return ()
        said = [
            f"{self.n_cells - self.n_present:,} of {self.n_cells:,} cells (parcellation, pipeline "
            f"and target) have no result; ranks are those of the {self.n_ranked_parcellations} "
            f"parcellations that have all of {self.n_ranked_columns} pairs of pipeline and target."
        ]
        if self.left_out_parcellations:
            names = listing(self.left_out_parcellations)
            number = len(self.left_out_parcellations)
            said.append(f"Parcellations left out of ranks, {number}: {names}.")
        if self.left_out_columns:
            names = listing(f"{pipeline} x {target}" for pipeline, target in self.left_out_columns)
            number = len(self.left_out_columns)
            said.append(f"Pipelines x targets left out of ranks, {number}: {names}.")
        return tuple(said)


def coverage(table: StudyTable, pairs: Collection[tuple[str, str]] | None = None) -> Coverage:
    """Return which cells are missing, and what must be left out so that the rest is complete.

    As long as a cell is missing, the parcellation or the column with the largest share of missing
    cells among those that are left is left out; of equal shares, parcellations go before columns,
    then by name.

    Parameters
    ----------
    table : StudyTable
        Rows without a score count as missing, and so does every combination of a parcellation, a
        pipeline and a target that occur, but not together.
    pairs : collection of (str, str), optional
        The pairs of pipeline and target that there are to be; by default every combination. The
        table has no others.
    """
    named = [table.frame, table.no_score]
    every = pd.concat([one[["parcellation", "pipeline", "target"]] for one in named])
    parcellations = sorted(every["parcellation"].unique())
    columns = pd.MultiIndex.from_product(
        [sorted(every["pipeline"].unique()), sorted(every["target"].unique())],
        names=["pipeline", "target"],
    )
    if pairs is not None:
        columns = columns[columns.isin(list(pairs))]
    present = np.zeros((len(parcellations), len(columns)), bool)
    found = pd.MultiIndex.from_frame(table.frame[["pipeline", "target"]])
    rows = pd.Index(parcellations).get_indexer(pd.Index(table.frame["parcellation"]))
    present[rows, columns.get_indexer(found)] = True
    kept_rows, kept_columns = _complete_block(present)
    names = np.asarray(parcellations, object)
    pairs = np.asarray([*columns], object).reshape(len(columns), 2)
    where, which = np.nonzero(~present)
    missing = pd.DataFrame(
        {
            "parcellation": names[where].astype(str),
            "pipeline": pairs[which, 0].astype(str),
            "target": pairs[which, 1].astype(str),
        }
    )
    return Coverage(
        n_parcellations=len(parcellations),
        n_columns=len(columns),
        n_cells=present.size,
        n_present=int(present.sum()),
        missing=missing,
        left_out_parcellations=tuple(names[~kept_rows].tolist()),
        left_out_columns=tuple((str(one), str(two)) for one, two in pairs[~kept_columns].tolist()),
    )


def complete_part(table: StudyTable, covered: Coverage) -> StudyTable:
    """Return the rows that can be ranked: every parcellation has every pair of the rest."""
    frame = table.frame
    pairs = pd.MultiIndex.from_frame(frame[["pipeline", "target"]])
    out = frame["parcellation"].isin(covered.left_out_parcellations).to_numpy()
    if covered.left_out_columns:
        out = out | pairs.isin(covered.left_out_columns)
    return replace(table, frame=frame[~out], no_score=table.no_score.iloc[:0])


def combined_pipelines(table: StudyTable) -> tuple[str, ...]:
    """Return the pipelines that no single parcellation has, such as ``elastic+svm``.

    None in a table without single parcellations: nothing says then which are combined.
    """
    single: set[str] = set()
    for one in (table.frame, table.no_score):
        single |= set(one.loc[one["strategy"] == SINGLE, "pipeline"].unique())
    return tuple(sorted(set(table.frame["pipeline"].unique()) - single)) if single else ()


def _complete_block(present: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows and columns are left when no cell is missing among them."""
    rows, columns = (np.ones(n, bool) for n in present.shape)
    missing = ~present
    by_row, by_column = missing.sum(axis=1), missing.sum(axis=0)
    while by_row.any():
        row, column = int(np.argmax(by_row)), int(np.argmax(by_column))
        # cross-multiplied, so that equal shares are equal
        if by_row[row] * rows.sum() >= by_column[column] * columns.sum():
            rows[row], by_row[row] = False, 0
            by_column = by_column - (missing[row] & columns)
        else:
            columns[column], by_column[column] = False, 0
            by_row = by_row - (missing[:, column] & rows)
    return rows, columns
