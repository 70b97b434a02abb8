"""A fit: the whole search of one member on one training part, and what the best candidate predicts.

What a fit gives depends on what `fit_key` takes in, and on nothing else: a fit found under its key
can be used, whichever task made it. A task of a single member is evaluated fold by fold
(`evaluate_fold`); of an ensemble, see `jobpool.learning.strategies`.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import Fault, JobpoolError
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.methods import SearchResult, by_score, search
from jobpool.learning.pipelines.base import Candidate, Kind, Predictions
from jobpool.learning.pipelines.scaling import n_constant
from jobpool.learning.pooling import sums_of
from jobpool.learning.probability import solver_for_probability, with_probability
from jobpool.learning.scores import METRICS, reported_scores
from jobpool.learning.search import (
    FoldData,
    Recipe,
    TrainingData,
    Trials,
    describe_search,
    n_compared,
)
from jobpool.task import Json

_ROUNDING = 1e-9  # of predictions: below, a difference says nothing


class NoCandidateError(JobpoolError):
    """No candidate of a search could be fitted and scored."""

    fault = Fault.TASK
    advice = (
        "correct the pipeline or its space, or use scaling: standard, more candidates, or another "
        "search_metric"
    )

    def __init__(self, n_candidates: int, first_error: str = "") -> None:
        super().__init__(n_candidates, first_error)
        self.n_candidates, self.first_error = n_candidates, first_error

    def __str__(self) -> str:
        none = f"none of {self.n_candidates} candidates has a score on every inner fold"
        if self.first_error:
            return f"{none} and can be fitted; first error: {self.first_error}; {self.advice}"
        return f"{none}: the score is not defined for what they predict; {self.advice}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """What one fit gave."""

    rows: Array  # (n_test,) int32: who is predicted, as positions in the participants table
    predicted: FloatArray  # (n_test,): the target's own unit, or 0 and 1
    decision: FloatArray  # (n_test,): grows with the positive class; `predicted` in a regression
    probability: FloatArray | None  # (n_test,): of the positive class; None in a regression
    chosen: Candidate
    candidate: int  # its number among those that were tried
    search_score: float | None  # mean over the inner splits; higher is better: errors are negated
    n_train: int
    n_unconverged: int  # models of the search that stopped at the limit of iterations
    converged: bool  # the last model, of the chosen candidate
    seconds: float  # wall time, on the cores there were
    n_failed: int = 0  # models of the search that raised an error, or predicted what is not finite
    first_error: str = ""  # of these
    n_tied: int | None = None  # candidates that share the highest score; None: made before this
    decided: bool | None = None  # whether the highest score belongs to one answer
    n_inner_undefined: int | None = None  # inner splits on which no candidate has a score
    n_constant_candidates: int | None = None  # that can only predict a constant when compared
    n_constant_features: int | None = None  # the same for everybody in the training part

    @property
    def predictions(self) -> Predictions:
        """Return what is predicted, ready to be scored."""
        return Predictions(
            predicted=self.predicted,
            decision=self.decision,
            converged=self.converged,
            probability=self.probability,
        )

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name."""
        found = {"rows": self.rows, "predicted": self.predicted, "decision": self.decision}
        return found if self.probability is None else {**found, "probability": self.probability}

    def about(self) -> dict[str, Json]:
        """Return all that is no array, as plain JSON."""
        return {
            "chosen": dict(self.chosen),
            "candidate": self.candidate,
            "search_score": self.search_score,
            "n_train": self.n_train,
            "n_unconverged": self.n_unconverged,
            "converged": self.converged,
            "seconds": self.seconds,
            "n_failed": self.n_failed,
            "first_error": self.first_error,
            "n_tied": self.n_tied,
            "decided": self.decided,
            "n_inner_undefined": self.n_inner_undefined,
            "n_constant_candidates": self.n_constant_candidates,
            "n_constant_features": self.n_constant_features,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Array], about: Mapping[str, Json]) -> "Fitted":
        """Return the fit that gave these arrays and this JSON."""
        return cls(
            rows=arrays["rows"],
            predicted=arrays["predicted"],
            decision=arrays["decision"],
            probability=arrays.get("probability"),
            **cast("dict[str, Any]", about),
        )


def evaluate_fold(
    recipe: Recipe, data: FoldData, cores: int, checkpoint: Checkpoint, *, unequal: bool = False
) -> dict[str, Json]:
    """Return scores, chosen parameters, sizes and seconds of one outer fold.

    What was finished before an interruption is taken from `checkpoint`.

    Raises
    ------
    NoCandidateError
        If no candidate could be fitted and scored.
    """
    kept: dict[str, Json] | None = checkpoint.get(data.name)
    if kept is None:
        fitted = fit(recipe, data, cores, checkpoint)
        kept = fold_result(recipe, data.fold, data.y[data.test], fitted, unequal=unequal)
        checkpoint.put(data.name, kept)
    return kept


def fit(recipe: Recipe, data: FoldData, cores: int, checkpoint: Checkpoint) -> Fitted:
    """Search, fit the best candidate on the training part, and predict the test part.

    Parameters
    ----------
    recipe : Recipe
        How the member learns.
    data : FoldData
        The participants it learns from, and those it predicts.
    cores : int
        Change nothing but the time.
    checkpoint : Checkpoint
        What an interrupted fit had finished of its search is taken from it.

    Raises
    ------
    NoCandidateError
        If no candidate could be fitted and scored.
    """
    start = time.perf_counter()
    training = data.training()
    trials = Trials(recipe=recipe, data=training, cores=cores, checkpoint=checkpoint)
    found = search(trials)
    if trials.splits and np.isnan(found.means[found.best]):
        raise NoCandidateError(len(found.candidates), trials.first_error)
    best, mean, last = _refit(recipe, data, trials, found)
    chosen = found.candidates[best]
    last = with_probability(recipe, training, chosen, last)
    return Fitted(
        rows=data.rows[data.test].astype(np.int32),
        predicted=np.asarray(last.predicted, dtype=np.float64),
        decision=np.asarray(last.decision, dtype=np.float64),
        probability=last.probability,
        chosen=chosen,
        candidate=best,
        search_score=None if np.isnan(mean) else mean,
        n_train=len(training.y),
        n_unconverged=trials.n_unconverged,
        converged=last.converged,
        seconds=round(time.perf_counter() - start, 3),
        n_failed=trials.n_failed,
        first_error=trials.first_error,
        n_tied=found.n_tied,
        decided=found.decided,
        n_inner_undefined=len(training.tests) - len(trials.splits),
        n_constant_candidates=_n_constant(recipe, training, found),
        n_constant_features=n_constant(training.X),
    )


def _n_constant(recipe: Recipe, training: TrainingData, found: SearchResult) -> int | None:
    """Return how many candidates surely predict a constant; None if the pipeline cannot tell."""
    constant = recipe.pipeline.constant
    if constant is None:
        return None
    n = n_compared(training.inner)
    return sum(constant(recipe.kind, one, n) for one in found.candidates)


def _refit(
    recipe: Recipe, data: FoldData, trials: Trials, found: SearchResult
) -> tuple[int, float, Predictions]:
    """Fit the best candidate on the training part; the next best if it fails there, and so on."""
    solver = solver_for_probability(recipe)
    prepared = solver.prepare(recipe.split(data.X, data.y, ~data.test, data.test))
    for best, mean in by_score(trials, found):
        last = next(iter(solver.solve(prepared, [found.candidates[best]])))
        if not last.failure:
            return best, mean, last
        trials.add_failure(last.failure)
    raise NoCandidateError(len(found.candidates), trials.first_error)


def fold_result(
    recipe: Recipe, fold: int, y: Array, fitted: Fitted, *, unequal: bool = False
) -> dict[str, Json]:
    """Return scores, chosen parameters, sizes and seconds of one outer fold as plain JSON.

    Parameters
    ----------
    recipe : Recipe
        Says which metrics are reported.
    fold : int
        The outer fold.
    y : ndarray of shape (n_test,)
        The target of the participants that were predicted.
    fitted : Fitted
        Their predictions, in the same order.
    unequal : bool
        Whether folds are unequal, so that pooled scores are wanted.
    """
    constant = fitted.n_constant_candidates
    return {
        "fold": fold,
        "scores": shown_scores(recipe, y, fitted.predictions),
        "search_score": shown_search_score(recipe, fitted.search_score),
        "chosen": dict(fitted.chosen),
        "candidate": fitted.candidate,
        "n_train": fitted.n_train,
        "n_test": len(fitted.rows),
        "n_unconverged": fitted.n_unconverged,
        **failures_of([fitted]),
        "search_decided": fitted.decided,
        "n_tied": fitted.n_tied,
        "n_inner_undefined": fitted.n_inner_undefined,
        **({} if constant is None else {"n_constant_candidates": constant}),
        "n_constant_features": fitted.n_constant_features,
        "constant_predictions": is_constant(fitted.predictions),
        "converged": fitted.converged,
        "seconds": fitted.seconds,
        **(sums_for(recipe, y, fitted.predictions) if unequal else {}),
    }


def sums_for(recipe: Recipe, y: Array, predictions: Predictions) -> dict[str, Json]:
    """Return what pooled scores need of a fold; nothing of predictions that are not finite."""
    if predictions.failure:
        return {}
    is_binary = recipe.kind is Kind.BINARY
    return {"sums": dict(sums_of(y, predictions.predicted, is_binary=is_binary))}


def is_constant(predictions: Predictions) -> bool:
    """Return whether everybody gets the same prediction, up to rounding."""
    decision = predictions.decision
    return bool(np.ptp(decision) <= _ROUNDING * np.abs(decision).max())


def failures_of(fits: Sequence[Fitted]) -> dict[str, Json]:
    """Return how many models failed in the searches of fits, and the first error if any did."""
    errors = [one.first_error for one in fits if one.first_error]
    first: dict[str, Json] = {"first_error": errors[0]} if errors else {}
    return {"n_failed": sum(one.n_failed for one in fits), **first}


def shown_scores(recipe: Recipe, y: Array, predictions: Predictions) -> dict[str, Json]:
    """Return the reported scores; None where one is not defined, as JSON has no NaN."""
    scores = reported_scores(recipe.kind, recipe.reported_metrics, y, predictions)
    return {name: None if np.isnan(one) else one for name, one in scores.items()}


def shown_search_score(recipe: Recipe, score: float | None) -> dict[str, Json]:
    """Return a mean search score by its metric's name, in the metric's own unit."""
    metric = recipe.search_metric
    if score is None:
        return {metric: None}
    return {metric: -score if METRICS[recipe.kind][metric].lower_is_better else score}


def fit_key(recipe: Recipe, data: FoldData, values_key: str, versions: Mapping[str, str]) -> str:
    """Return the key of a fit: SHA-256 of the content of all that it depends on, 64 hex digits.

    The number of the outer fold, the metrics that are reported and the cores are not among it.

    Parameters
    ----------
    recipe : Recipe
        Pipeline, space, seed, settings and search.
    data : FoldData
        Who is in which part, and the target. The features are not looked at.
    values_key : str
        Of the ROI values that the features are, of all participants in the table.
    versions : mapping of str to str
        Of all libraries that a number comes from.
    """
    about = {
        "recipe": describe_search(recipe),
        "values": values_key,
        "versions": dict(versions),
        "n": len(data.y),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    y = np.where(np.isnan(data.y), np.inf, data.y)  # any NaN is as good as another
    parts = ((data.rows, "<i4"), (y, "<f8"), (data.test, "u1"), (data.inner, "<i4"))
    for values, dtype in (*parts, (data.rank, "<f8")):
        digest.update(np.asarray(values).astype(dtype).tobytes())
    return digest.hexdigest()
