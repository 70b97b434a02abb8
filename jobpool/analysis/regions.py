"""The region of sizes in which a power law is fitted: how it is chosen, and how sure that is.

A region is chosen by the criterion of [1]_: the one in which the data are nearest to the law that
is fitted to them, by the Kolmogorov-Smirnov distance. Both borders are tried together, or one
after the other as the published study of 220 parcellations did [2]_; or the user names it.

Which region is nearest is a matter of chance, too. So its rivals stand beside it, and an interval
of the exponent for which parcellations are drawn again and the region is chosen anew each time.

References
----------
.. [1] Clauset, Shalizi and Newman, "Power-law distributions in empirical data", SIAM Review
   51:661, 2009.
.. [2] Hahn et al., "Performance scaling for structural MRI surface parcellations", Cereb Cortex
   33:176, 2023.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobpool.analysis.ranks import means_of
from jobpool.analysis.scaling import (
    ALPHA,
    FloatArray,
    PowerLaw,
    are_equal,
    check_varied,
    fit_power_law,
    ks_distance,
    line_at,
)
from jobpool.errors import DataError
from jobpool.experiment.report import RegionChoice

MIN_SIZES = 5  # different sizes in a region: a line through fewer says little
MIN_SHARE = 0.5  # of the parcellations in a region: a law of the minority is none of the study
MOST_BORDERS = 200  # sizes tried as each border: with more, every second or third, ...
PUBLISHED_SHARE = 4  # one of so many rows may be cut at each end
N_RIVALS = 5
N_RESAMPLES = 200
RESAMPLED_BORDERS = 24  # tried as each border of a resample: all of them would take minutes
_Rows = tuple[int, int]  # from one row to before another, in the order of sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The law where it holds, and what it is compared with.

    Attributes
    ----------
    region, whole : PowerLaw
        In the region, and over all sizes.
    choice : RegionChoice
        How the region was chosen.
    rivals : tuple of PowerLaw
        In the next nearest regions, the nearest first; none where the region was given.
    n_candidates : int
        Regions that were compared.
    exponent_low, exponent_high : float
        95 % interval of the exponent that includes the choice of the region; NaN if not asked for.
    names : frozenset of str, optional
        The parcellations in the region, where its borders divide a size.
    """

    region: PowerLaw
    whole: PowerLaw
    choice: RegionChoice
    rivals: tuple[PowerLaw, ...]
    n_candidates: int
    exponent_low: float = float("nan")
    exponent_high: float = float("nan")
    names: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Points:
    """Points in the order of their sizes."""

    sizes: NDArray[np.int64]
    x: FloatArray  # log10 of the sizes
    y: FloatArray  # log10 of the mean ranks

    @classmethod
    def of(cls, points: pd.DataFrame) -> "_Points":
        sizes = points["size"].to_numpy(np.int64)
        return cls(sizes, np.log10(sizes), np.log10(points["mean_rank"].to_numpy(np.float64)))

    def at(self, rows: NDArray[np.intp]) -> "_Points":
        return _Points(self.sizes[rows], self.x[rows], self.y[rows])


def find_region(
    points: pd.DataFrame, choice: RegionChoice | None = None, *, resample: bool = False
) -> Scaling:
    r"""Find the region of sizes in which the power law holds best, and fit it there.

    In each region the line is fitted to its n parcellations, and the mean ranks :math:`r_i` there
    are compared with those that the law gives for the same sizes, :math:`\hat r_i = a s_i^b`, by
    the two-sample Kolmogorov-Smirnov distance

    .. math:: D = \max_r \frac{1}{n} | \#\{i: r_i \le r\} - \#\{i: \hat r_i \le r\} |

    which is large where the points turn away from the line at an end, and falls with n where they
    only scatter around it.

    ``together``: a region holds all parcellations from one size to another; those of one size
    enter and leave together, so that the order of rows cannot matter. Of all regions with at least
    `MIN_SIZES` sizes and half of the parcellations, the one with the smallest D is taken; of
    equals, the one with more parcellations, then the one that starts at the smaller size.

    ``published``: rows are sorted by size, those of one size in the order given. First as many
    rows are cut at the low end as give the smallest D, then at the high end; at each less than a
    quarter of all. Of equals, the fewest rows are cut.

    Parameters
    ----------
    points : DataFrame
        ``size`` (parcels) and ``mean_rank`` (above 0), one row per parcellation.
    choice : RegionChoice, optional
        By default both borders together.
    resample : bool
        Whether the interval that includes the choice is made: parcellations are drawn again with
        replacement, `N_RESAMPLES` times, and a region is chosen and fitted each time. A resample
        of `together` is searched at every second, third, ... border.

    Raises
    ------
    DataError
        If the region has fewer than `MIN_SIZES` sizes, or all mean ranks are equal.
    """
    choice = choice or RegionChoice()
    if choice.method == "together" or choice.sizes:
        points = points.sort_values(["size", "mean_rank"], ignore_index=True)
    else:
        points = points.sort_values("size", kind="stable", ignore_index=True)
    known = _Points.of(points)
    check_varied(known.sizes, known.y)
    _check_sizes(known.sizes, "there are")
    if choice.sizes:
        first, last = choice.sizes
        named = known.sizes[(known.sizes >= first) & (known.sizes <= last)]
        _check_sizes(named, "the region has")
    regions = _regions_of(choice)
    ordered = regions(known, MOST_BORDERS)
    if not ordered:
        raise DataError("mean ranks", "those in the region are equal")
    inside = points.iloc[slice(*ordered[0])]
    _check_sizes(inside["size"].to_numpy(np.int64), "the region has")
    low, high = _chosen_anew(known, regions) if resample else (float("nan"), float("nan"))
    divided = choice.method == "published" and not choice.sizes and "parcellation" in points
    return Scaling(
        region=fit_power_law(inside),
        whole=fit_power_law(points),
        choice=choice,
        rivals=tuple(
            fit_power_law(points.iloc[slice(*rows)]) for rows in ordered[1 : 1 + N_RIVALS]
        ),
        n_candidates=len(ordered),
        exponent_low=low,
        exponent_high=high,
        names=frozenset(map(str, inside["parcellation"])) if divided else None,
    )


def in_region(points: pd.DataFrame, scaling: Scaling) -> pd.DataFrame:
    """Return the rows of the parcellations that are in the region of a law."""
    law = scaling.region
    inside = points["size"].between(law.smallest, law.largest)
    if scaling.names is not None and "parcellation" in points:
        inside &= points["parcellation"].isin(scaling.names)
    return points[inside].reset_index(drop=True)


def laws_by_target(cells: pd.DataFrame, scaling: Scaling) -> pd.DataFrame:
    """Return the power law of each target, in the region of that of all targets.

    Parameters
    ----------
    cells : DataFrame
        The cells of a `Ranking`, one row per parcellation, pipeline and target with its ``rank``.
    scaling : Scaling
        Has the region.

    Returns
    -------
    DataFrame
        ``target``, ``exponent``, ``error``, ``low``, ``high`` (95 %), ``factor``, ``r2`` and ``n``
        parcellations, by exponent: the steepest first. Targets whose ranks do not vary there are
        left out.
    """
    found = []
    for target, rows in in_region(cells, scaling).groupby("target", sort=True):
        points = means_of(rows, ["parcellation"], ["parcellation", "size"])
        with suppress(DataError):
            law = fit_power_law(points)
            found.append(
                {
                    "target": str(target),
                    "exponent": law.exponent,
                    "error": law.exponent_error,
                    "low": law.exponent_low,
                    "high": law.exponent_high,
                    "factor": law.factor,
                    "r2": law.r2,
                    "n": law.n,
                }
            )
    columns = ["target", "exponent", "error", "low", "high", "factor", "r2", "n"]
    frame = pd.DataFrame(found, columns=columns)
    return frame.sort_values(["exponent", "target"], ignore_index=True)


def _check_sizes(sizes: NDArray[np.int64], who: str) -> None:
    number = len(np.unique(sizes))
    if number < MIN_SIZES:
        what = f"a region takes {MIN_SIZES} different sizes, {who} {number}"
        raise DataError("mean ranks", what)


_Regions = Callable[[_Points, int], list[_Rows]]


def _regions_of(choice: RegionChoice) -> _Regions:
    """Return what lists regions, the one to take first."""
    if choice.sizes:
        return partial(_given, choice.sizes)
    return _together if choice.method == "together" else _published


def _given(sizes: tuple[int, int], points: _Points, _most: int) -> list[_Rows]:
    """Return the rows of the sizes that were given; none where they have no law."""
    low, high = np.searchsorted(points.sizes, [sizes[0], sizes[1] + 1]).tolist()
    if len(np.unique(points.sizes[low:high])) < 2 or are_equal(points.y[low:high]):
        return []  # as in a resample: no line goes through one point
    return [(low, high)]


def _together(points: _Points, most: int) -> list[_Rows]:
    """Return all regions, the nearest to its law first."""
    starts = np.unique(points.sizes, return_index=True)[1]
    borders = np.append(starts, len(points.x)).tolist()  # group k: borders[k] to borders[k + 1]
    n_groups = len(starts)
    step = -(-n_groups // most)
    found = []
    for first in range(0, n_groups - MIN_SIZES + 1, step):
        for last in range(n_groups, first + MIN_SIZES - 1, -step):
            low, high = borders[first], borders[last]
            if high - low < MIN_SHARE * len(points.x):
                break
            if not are_equal(points.y[low:high]):
                found.append((_distance(points, low, high), low - high, low))
    return [(low, low - negative) for _, negative, low in sorted(found)]


def _published(points: _Points, _most: int) -> list[_Rows]:
    """Return the one region that is left when both ends are cut, one after the other."""
    n = len(points.x)
    most = range(max(n // PUBLISHED_SHARE, 1))
    low = min(most, key=lambda cut: _distance(points, cut, n))
    high = min(most, key=lambda cut: _distance(points, low, n - cut))
    return [(low, n - high)]


def _distance(points: _Points, low: int, high: int) -> float:
    """Return how far the points of some rows are from their law."""
    x, y = points.x[low:high], points.y[low:high]
    if len(x) < 2 or x[0] == x[-1] or are_equal(y):  # a law of exponent 0, and none
        return float("inf")
    return ks_distance(y, line_at(x, y))


def _chosen_anew(points: _Points, regions: _Regions) -> tuple[float, float]:
    """Return the 95 % interval of exponents in resamples that each choose their region."""
    rng = np.random.default_rng(0)  # the same points have the same interval
    exponents = []
    for _ in range(N_RESAMPLES):
        drawn = points.at(np.sort(rng.integers(len(points.x), size=len(points.x))))
        if len(np.unique(drawn.sizes)) < MIN_SIZES or are_equal(drawn.y):
            continue
        found = regions(drawn, RESAMPLED_BORDERS)
        if found:
            x, y = (values[slice(*found[0])] for values in (drawn.x, drawn.y))
            exponents.append(_slope(x, y))
    if len(exponents) < N_RESAMPLES // 2:
        return float("nan"), float("nan")
    low, high = np.quantile(exponents, [ALPHA / 2, 1 - ALPHA / 2]).tolist()
    return low, high


def _slope(x: FloatArray, y: FloatArray) -> float:
    distance = x - x.mean()
    return float((distance @ y) / (distance @ distance))
