"""Which scores are equal: those that differ by no more than their computation is exact.

Two pipelines that predict the same for everyone differ in the last digits: LightGBM computes with
24 bits, others with 53, and sums depend on their order. Such a difference is no difference.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.analysis.study_table import LOWER_IS_BETTER, SCORE, StudyTable

FloatArray = NDArray[np.float64]
# of a score without unit, or of the score itself where that is larger: predictions of 24 bits
# have an error of 6e-8 of the target's mean, of which a score has less than a tenth
PRECISION = 1e-8


def equal_scores(table: StudyTable) -> pd.Series:
    """Return the scores of a table, with one number for those of a target that are equal.

    Neighbours in the order of scores are equal if they differ by no more than 1e-8 times the
    larger of the two or, if that is more, the unit: 1 for a score without unit, such as R2; for
    errors, and scores of which nothing is known, the median of all of the target.

    Parameters
    ----------
    table : StudyTable
        With scores.

    Returns
    -------
    Series of float64
        In the order of the table's rows; of equal scores, the highest.
    """
    found, units = table.frame[SCORE].copy(), units_of(table)
    for target, scores in found.groupby(table.frame["target"], sort=False):
        found.loc[scores.index] = equalised(scores.to_numpy(np.float64), units[str(target)])
    return found


def units_of(table: StudyTable) -> dict[str, float]:
    """Return for each target the size of score below which precision gets no finer."""
    found = {}
    for target, scores in table.frame.groupby("target", sort=True)[SCORE]:
        metric = table.metrics.get(str(target), "")
        has_unit = metric in LOWER_IS_BETTER or not metric
        found[str(target)] = float(scores.abs().median()) if has_unit else 1.0
    return found


def gains(scores: pd.Series, others: pd.Series, units: pd.Series) -> pd.Series:
    """Return scores less other scores, and 0 where the two are equal; NaN where one is."""
    found = scores - others
    size = np.maximum(np.maximum(scores.abs(), others.abs()), units)
    return found.mask(found.abs() <= PRECISION * size, 0.0)


def equalised(scores: FloatArray, unit: float) -> FloatArray:
    """Return scores, with one number, the highest, for those that are equal.

    Parameters
    ----------
    scores : ndarray of shape (n,), float64
        Finite.
    unit : float
        The size of score below which precision gets no finer.

    Examples
    --------
    >>> equalised(np.array([0.5, 0.2, 0.5 + 1e-11]), 1.0).tolist()
    [0.50000000001, 0.2, 0.50000000001]
    """
    order = np.argsort(-scores, kind="stable")
    values = scores[order]
    size = np.maximum(np.abs(values), unit)
    begins = np.ones(len(values), bool)
    begins[1:] = values[:-1] - values[1:] > PRECISION * np.maximum(size[:-1], size[1:])
    found = np.empty_like(values)
    found[order] = values[begins][np.cumsum(begins) - 1]
    return found
