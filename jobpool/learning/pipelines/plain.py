"""The plain solver: scikit-learn's own estimators, one model for each candidate.

No model sees what another one did: each fit and each prediction gets a copy of its own of the data,
so that a step that works in place changes nothing, on one core as on many. A candidate that fails
has no score, and its error is kept; answers without a meaning are an error of the whole pipeline.
"""

import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from jobpool.brain.arrays import Array, FloatArray
from jobpool.disk.causes import failure_cause
from jobpool.errors import JobpoolError
from jobpool.learning.pipelines.answers import AnswerError, ask, fresh
from jobpool.learning.pipelines.base import Candidate, Pipeline, Predictions, Split
from jobpool.learning.pipelines.factory import PipelineError
from jobpool.learning.pipelines.scaling import scale
from jobpool.task import Cause

_LONGEST = 300  # of the text of an error: it may hold an array


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSolver:
    """Fits the estimator that the pipeline makes, for each candidate."""

    pipeline: Pipeline
    probabilities: bool = False  # asked for as well, where the estimator has them

    def chunks(self, candidates: Sequence[Candidate]) -> Sequence[Sequence[int]]:
        """Return every candidate alone."""
        return [[position] for position in range(len(candidates))]

    def prepare(self, split: Split) -> Split:
        """Return the split with scaled features: the scaler does not depend on the candidate."""
        if not self.pipeline.scaled:
            return split
        scaled = scale(split)
        return replace(split, X_train=scaled.X_train, X_test=scaled.X_test)

    def solve(self, prepared: Split, candidates: Sequence[Candidate]) -> Iterator[Predictions]:
        """Yield the predictions of each candidate."""
        for candidate in candidates:
            with self.pipeline.apart(prepared.seed):
                found = self._tried(prepared, candidate)
            yield found

    def _tried(self, split: Split, candidate: Candidate) -> Predictions:
        try:
            model = self.pipeline.make(split.kind, candidate, split.settings, split.seed)
            converged = fit_model(model, fresh(split.X_train), fresh(split.y_train))
            found = ask(model, split, probabilities=self.probabilities)
        except AnswerError as error:
            raise PipelineError(self.pipeline.name, str(error)) from error
        except (JobpoolError, MemoryError, BrokenExecutor):  # not the candidate's fault
            raise
        except Exception as error:  # whatever an estimator raises
            if failure_cause(error) is not Cause.ERROR:  # but the disk's, or the memory's
                raise
            what = f"pipeline {self.pipeline.name!r}: {_described(error)}"
            return Predictions.none(len(split.X_test), what)
        return replace(found, converged=converged)


def _described(error: Exception) -> str:
    """Return an error in one line, with the place in the code that raised it."""
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"


def fit_model(model: Any, X: FloatArray, y: Array) -> bool:
    """Fit `model`, and return whether it converged.

    A solver that stops early still gives a model. Their number is part of the result, which is
    easier to read than hundreds of printed warnings.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
    others = [one for one in caught if not issubclass(one.category, ConvergenceWarning)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(others) == len(caught)
