"""What an estimator answers, as predictions: one number for each participant of a test part.

An estimator of the user's may answer a column, bools, -1 and 1, or texts of numbers, and its
classes may stand in any order: ``classes_`` says which column of ``predict_proba`` and which sign
of ``decision_function`` belong to class 1. Every question gets a copy of the features and every
answer is copied, so that an estimator may write into both. What has two meanings is refused.
"""

from typing import Any

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import Fault, JobpoolError
from jobpool.learning.pipelines.base import Kind, Predictions, Split

_MEANT = {0.0: 0, 1.0: 1, -1.0: 0}  # the class that a number stands for
_AT_MOST = 1 + 1e-6  # of a probability: rounding


class AnswerError(JobpoolError):
    """An estimator answers something that has no meaning, or two."""

    fault = Fault.INPUT
    advice = "correct what the estimator answers"


def fresh(values: Array) -> Array:
    """Return a copy that may be written into, laid out the same in every process."""
    return np.array(values, order="C")


def ask(model: Any, split: Split, *, probabilities: bool) -> Predictions:
    """Return what a fitted estimator says about the test part of a split.

    Parameters
    ----------
    model : estimator
        Fitted on the training part.
    split : Split
        Its test part is asked for; a copy for each question.
    probabilities : bool
        Whether to ask for probabilities as well, where the estimator has them.

    Raises
    ------
    AnswerError
        If an answer has another shape than one value a participant, holds neither numbers nor
        classes, or contradicts another answer.
    """
    X, n = split.X_test, len(split.X_test)
    if split.kind is Kind.REGRESSION:
        predicted = _numbers(_column(model.predict(fresh(X)), "predict", n), "predict")
        return Predictions(predicted=predicted, decision=predicted)
    positive = _positive_class(model)
    predicted = _classes(_column(model.predict(fresh(X)), "predict", n))
    probability = None
    ranks = hasattr(model, "decision_function")
    if hasattr(model, "predict_proba") and (probabilities or not ranks):
        probability = _probability(model.predict_proba(fresh(X)), positive, n)
    if ranks:
        column = _column(model.decision_function(fresh(X)), "decision_function", n)
        decision = _numbers(column, "decision_function")
        decision = -decision if positive == 0 else decision
    elif probability is not None:
        decision = probability
    else:
        raise AnswerError("it has neither decision_function nor predict_proba; give it one")
    _check_direction(predicted, decision, "decision_function" if ranks else "predict_proba")
    return Predictions(
        predicted=predicted,
        decision=decision,
        probability=probability if probabilities else None,
    )


def _column(answer: Any, method: str, n: int) -> Array:
    """Return a copy of an answer, shape (n,)."""
    if isinstance(answer, np.ma.MaskedArray):
        answer = np.ma.filled(answer.astype(np.float64), np.nan)
    found: Array = np.array(answer)
    if found.shape == (n, 1):
        found = found[:, 0]
    if found.shape != (n,):
        what = f"{method} answers shape {found.shape} for {n} participants; return one value for "
        raise AnswerError(f"{what}each, shape ({n},)")
    return found


def _numbers(column: Array, method: str) -> FloatArray:
    try:
        if column.dtype.kind in "cmM":  # complex numbers, and times: a cast would take them
            raise TypeError
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        what = f"{method} answers {column[0]!r}, which is no number; return numbers"
        raise AnswerError(what) from error


def _classes(column: Array) -> FloatArray:
    """Return 0 and 1 for the classes that an estimator predicts; NaN where it predicts none."""
    try:
        values = _numbers(column, "predict")
    except AnswerError:
        values = np.full(len(column), 2.0)  # no class either
    values = np.where(np.isfinite(values), values, np.nan)
    known = np.unique(values[~np.isnan(values)])
    if np.isin(known, (0, 1)).all():
        return values
    if np.isin(known, (-1, 1)).all():
        return np.where(values == -1, 0.0, values)
    strange = column[np.flatnonzero(~np.isin(values, (0, 1)))[0]]
    raise AnswerError(f"predict answers {strange!r}, which is no class; return 0 and 1, as in y")


def _positive_class(model: Any) -> int:
    """Return the position of class 1 among the classes of an estimator."""
    classes = getattr(model, "classes_", None)
    if classes is None:
        return 1
    listed = np.asarray(classes).ravel().tolist()
    meant = [_MEANT.get(_number(one), -1) for one in listed]
    if sorted(meant) != [0, 1]:
        raise AnswerError(f"its classes_ are {listed}; they must stand for 0 and 1, as in y")
    return meant.index(1)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _probability(answer: Any, positive: int, n: int) -> FloatArray:
    """Return the probability of class 1: of its column, or of the only one."""
    found = _numbers(np.array(answer), "predict_proba") if n else np.empty((0, 2))
    if found.shape == (n, 2):
        found = found[:, positive]
    elif found.shape in {(n,), (n, 1)} and positive == 1:
        found = found.reshape(n)
    else:
        what = f"predict_proba answers shape {found.shape} for {n} participants; return one column "
        raise AnswerError(f"{what}for each of two classes, shape ({n}, 2)")
    found = np.where(np.isfinite(found), found, np.nan)  # the candidate's loss, not an answer
    outside = (found < 1 - _AT_MOST) | (found > _AT_MOST)
    if outside.any():
        what = f"predict_proba answers {found[outside][0]:g}, which is no probability; return "
        raise AnswerError(f"{what}numbers from 0 to 1")
    return found


def _check_direction(predicted: FloatArray, decision: FloatArray, method: str) -> None:
    """Refuse a decision that ranks everybody in class 1 below everybody in class 0."""
    ones, zeros = decision[predicted == 1], decision[predicted == 0]
    if ones.size and zeros.size and ones.max() < zeros.min():
        what = f"{method} is higher for class 0 than for class 1, as predict has them; name the "
        raise AnswerError(f"{what}classes in its order in classes_, or turn its sign")
