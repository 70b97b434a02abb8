"""Pooled scores: of the participants of all folds together, where folds are unequal.

A mean over folds counts a fold of 20 as much as one of 200. So each fold of unequal ones keeps sums
of what it predicted, from which scores of all participants follow, whichever worker did which fold:
as if predictions had been put together and scored once. Decisions of two models are on two scales,
so the pooled ROC AUC is the share of pairs within folds that are in the right order. Scores that no
sums give are means with the participants of each fold as weights.
"""

from collections.abc import Mapping, Sequence
from math import fsum, sqrt
from typing import Any

import numpy as np

ROUNDING = 1e-12  # of a mean
UNEQUAL = 2.0  # times the participants of the smallest fold


def sums_of(y: Any, predicted: Any, *, is_binary: bool) -> dict[str, float]:
    """Return what pooled scores need of one fold.

    Parameters
    ----------
    y, predicted : ndarray of shape (n,)
        The target and its predictions; 0 and 1 if binary.
    is_binary : bool
        Whether the target has two classes.

    Returns
    -------
    dict
        Counts of right and wrong classes; or means of target, prediction and error with the sums
        of squares and products around them, and the sum of absolute errors.
    """
    y, predicted = np.asarray(y, np.float64), np.asarray(predicted, np.float64)
    if is_binary:
        return {
            f"{'true' if true == said else 'false'}_{'positive' if said else 'negative'}": int(
                ((y == true) & (predicted == said)).sum()
            )
            for true in (0, 1)
            for said in (0, 1)
        }
    error = y - predicted
    around = {name: one - one.mean() for name, one in (("y", y), ("p", predicted), ("e", error))}
    return {
        "n": len(y),
        "y": float(y.mean()),
        "p": float(predicted.mean()),
        "e": float(error.mean()),
        "yy": float(around["y"] @ around["y"]),
        "pp": float(around["p"] @ around["p"]),
        "ee": float(around["e"] @ around["e"]),
        "yp": float(around["y"] @ around["p"]),
        "absolute": float(np.abs(error).sum()),
    }


def pooled_scores(folds: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the pooled score of each metric; nothing where a fold has no sums.

    Parameters
    ----------
    folds : sequence of mapping
        Results of folds: ``scores``, ``n_test`` and ``sums``.

    Returns
    -------
    dict
        By metric, in its own unit; None where it is not defined.
    """
    if not folds or any("sums" not in fold for fold in folds):
        return {}
    names = tuple(folds[0]["scores"])
    sums = [fold["sums"] for fold in folds]
    known = _of_classes(sums) if "true_positive" in sums[0] else _of_numbers(sums)
    found = {}
    for name in names:
        if name == "roc_auc":
            found[name] = _weighted(folds, name, [_n_pairs(one) for one in sums])
        elif name in known:
            found[name] = known[name]
        else:
            found[name] = _weighted(folds, name, [float(fold["n_test"]) for fold in folds])
    return found


def _weighted(
    folds: Sequence[Mapping[str, Any]], name: str, weights: Sequence[float]
) -> float | None:
    """Return a weighted mean over the folds that have the score."""
    pairs = [
        (fold["scores"].get(name), weight) for fold, weight in zip(folds, weights, strict=True)
    ]
    there = [(score, weight) for score, weight in pairs if score is not None and weight]
    total = fsum(weight for _, weight in there)
    return fsum(score * weight for score, weight in there) / total if total else None


def _n_pairs(sums: Mapping[str, float]) -> float:
    positive = sums["true_positive"] + sums["false_negative"]
    return positive * (sums["true_negative"] + sums["false_positive"])


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def _of_classes(sums: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    tp, fp, tn, fn = (
        sum(one[name] for one in sums)
        for name in ("true_positive", "false_positive", "true_negative", "false_negative")
    )
    sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    both = None
    if sensitivity is not None and specificity is not None:
        both = (sensitivity + specificity) / 2
    return {
        "accuracy": _ratio(tp + tn, tp + fp + tn + fn),
        "balanced_accuracy": both,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "matthews": _ratio(tp * tn - fp * fn, sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    }


def _of_numbers(sums: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    n = sum(one["n"] for one in sums)
    mean = {name: fsum(one["n"] * one[name] for one in sums) / n for name in ("y", "p", "e")}

    def around(one: str, other: str, within: str) -> float:
        """Return a sum of products around the means of all: within folds, and between them."""
        between = (f["n"] * (f[one] - mean[one]) * (f[other] - mean[other]) for f in sums)
        return fsum([*(f[within] for f in sums), *between])

    def spread(one: str, within: str) -> float:
        """Return the sum of squares around the mean of all; 0 where it is rounding."""
        found = around(one, one, within)
        return found if found > n * (ROUNDING * mean[one]) ** 2 else 0.0

    yy, pp = spread("y", "yy"), spread("p", "pp")
    ee, yp = around("e", "e", "ee"), around("y", "p", "yp")
    squared = ee + n * mean["e"] ** 2
    left, unexplained = _ratio(squared, yy), _ratio(ee, yy)
    return {
        "r2": None if left is None else 1 - left,
        "explained_variance": None if unexplained is None else 1 - unexplained,
        "mse": squared / n,
        "rmse": sqrt(squared / n),
        "mae": fsum(one["absolute"] for one in sums) / n,
        "pearson": _ratio(yp, sqrt(yy * pp)),
    }
