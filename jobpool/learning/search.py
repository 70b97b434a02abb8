"""The search: score candidates on the inner splits of one outer fold.

Each split is prepared once for all of its candidates. Chunks of candidates and inner splits form
one batch over the cores of the job. A chunk's scores depend on the chunk and the split alone, so
cores and interruptions change nothing; finished chunks are kept in the checkpoint of the task.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from jobpool.brain.arrays import Array, FloatArray
from jobpool.errors import JobpoolError
from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.conventions import DISTINCT, DRAWN, PUBLISHED, STANDARD
from jobpool.learning.parallel import in_processes, in_threads
from jobpool.learning.pipelines.base import (
    Candidate,
    Kind,
    Pipeline,
    Predictions,
    Settings,
    Solver,
    Split,
)
from jobpool.learning.pipelines.factory import as_text
from jobpool.learning.pipelines.plain import PlainSolver
from jobpool.learning.pipelines.scaling import TargetScaled
from jobpool.learning.scores import METRICS, REPORTED, SEARCH_METRIC, Metric, search_score
from jobpool.task import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one task learns: all that its folds share."""

    pipeline: Pipeline
    kind: Kind
    settings: Settings
    seed: int
    n_candidates: int
    method: str = "random"
    metric: str = ""  # by which candidates are compared; the default of the kind if empty
    reported: tuple[str, ...] = ()
    plain: bool = False  # the plain estimator for each candidate, instead of the solver
    distinct: bool = False  # no candidate is tried twice

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the random candidates of a search."""
        return self.pipeline.candidates(
            self.kind, self.n_candidates, self.seed, distinct=self.distinct
        )

    @property
    def search_metric(self) -> str:
        """Return the name of the metric by which candidates are compared."""
        return self.metric or SEARCH_METRIC[self.kind]

    @property
    def reported_metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that are reported."""
        return self.reported or REPORTED[self.kind]

    @property
    def solver(self) -> Solver:
        """Return what fits the candidates."""
        found: Solver = PlainSolver(pipeline=self.pipeline)
        if not self.plain and self.pipeline.solver is not None:
            found = self.pipeline.solver
        scales = self.settings.target_scaling == STANDARD and self.pipeline.has_unit
        return TargetScaled(solver=found) if scales and self.kind is Kind.REGRESSION else found

    def split(self, X: FloatArray, y: Array, train: Array, test: Array) -> Split:
        """Return one training and one test part; `train` and `test` are masks of shape (n,)."""
        return Split(
            X_train=X[train],
            y_train=y[train],
            X_test=X[test],
            kind=self.kind,
            settings=self.settings,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldData:
    """The participants of one outer fold that have the target, or of its training part."""

    fold: int
    X: FloatArray  # (n, n_features)
    y: Array  # (n,)
    test: Array  # (n,) bool: the outer fold, or the inner one in `without`
    inner: Array  # (n,) int: the inner fold that tests each training participant; -1: none does
    rank: FloatArray  # (n,): the same for all of a group
    rows: Array  # (n,) int32: positions in the participants table
    without: int | None = None  # the inner fold that is predicted instead of the outer one

    @property
    def name(self) -> str:
        """Return what the fold is called in checkpoints."""
        inner = "" if self.without is None else f" without {self.without}"
        return f"fold {self.fold}{inner}"

    @property
    def place(self) -> str:
        """Return what the fold is called in errors."""
        inner = "" if self.without is None else f" without inner fold {self.without}"
        return f"outer fold {self.fold}{inner}"

    def training(self) -> "TrainingData":
        """Return the training part."""
        train = ~self.test
        return TrainingData(
            name=self.name,
            X=self.X[train],
            y=self.y[train],
            inner=self.inner[train],
            rank=self.rank[train],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingData:
    """The training part of one outer fold, and how it is split to compare candidates."""

    name: str  # in checkpoints
    X: FloatArray  # (n, n_features)
    y: Array  # (n,)
    inner: Array  # (n,) int: the inner fold that tests each participant; never, if negative
    rank: FloatArray  # (n,): the same for all of a group; smaller shares take the lowest ranks

    @property
    def tests(self) -> tuple[Array, ...]:
        """Return the test part of each inner split, masks of shape (n,)."""
        return tuple(self.inner == fold for fold in np.unique(self.inner[self.inner >= 0]))

    def comparable(self, metric: Metric) -> tuple[int, ...]:
        """Return on which of `tests` candidates have a score, whatever they predict."""
        return tuple(
            number for number, test in enumerate(self.tests) if metric.defined(self.y[test])
        )

    def train(self, test: Array, share: float) -> Array:
        """Return the training part that belongs to a test part, a mask of shape (n,).

        Parameters
        ----------
        test : ndarray of shape (n,), bool
            One of `tests`.
        share : float
            Of the groups outside of the test part, from 0 to 1.
        """
        if share >= 1:
            return ~test
        ranks = np.unique(self.rank[~test])
        last = ranks[max(0, round(share * len(ranks)) - 1)]
        train: Array = ~test & (self.rank <= last)
        return train


def n_compared(inner: Array) -> int:
    """Return how many participants a candidate learns from when it is compared, at the fewest.

    Parameters
    ----------
    inner : ndarray of shape (n_train,), int
        The inner fold that tests each participant of the training part; -1: none does.

    Examples
    --------
    >>> n_compared(np.array([0, 0, 1, 1, 1])), n_compared(np.array([-1, -1, -1, 0]))
    (2, 3)
    """
    return len(inner) - max(int((inner == one).sum()) for one in np.unique(inner[inner >= 0]))


_CONSTANT = "="  # before the text of predictions that are all the same


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Unit:
    """One chunk of candidates on one inner split."""

    solver: Solver
    prepared: Any
    candidates: tuple[Candidate, ...]
    y_test: Array
    kind: Kind
    metric: str


def _score_chunk(unit: _Unit) -> dict[str, Any]:
    """Return the scores of a chunk, how many models did not converge, and what failed."""
    scores: list[float] = []
    failures: list[str] = []
    answers: list[str] = []
    n_unconverged = 0
    for predictions in unit.solver.solve(unit.prepared, unit.candidates):
        scores.append(search_score(unit.kind, unit.metric, unit.y_test, predictions))
        answers.append(_answer(unit, predictions))
        n_unconverged += not (predictions.converged or predictions.failure)
        failures += [predictions.failure] if predictions.failure else []
    # JSON has no NaN
    known = [None if np.isnan(one) else one for one in scores]
    about = {"n_unconverged": n_unconverged, "failures": failures, "answers": answers}
    return {"scores": known, **about}


def _answer(unit: _Unit, predictions: Predictions) -> str:
    """Return a text that only candidates with the same predictions have; ``=`` if constant."""
    ranks = METRICS[unit.kind][unit.metric].ranks
    values = np.asarray(predictions.decision if ranks else predictions.predicted, np.float64)
    constant = _CONSTANT if len(values) and (values == values[0]).all() else ""
    return constant + hashlib.sha256(values.tobytes()).hexdigest()[:12]


@dataclass(kw_only=True, eq=False)
class Trials:
    """Scores candidates on one outer fold, and remembers what is scored."""

    recipe: Recipe
    data: TrainingData
    cores: int
    checkpoint: Checkpoint
    n_unconverged: int = 0
    n_failed: int = 0  # models that raised an error, or whose predictions are not finite
    first_error: str = ""
    _counted: set[str] = field(default_factory=set)
    _answers: dict[str, dict[int, str]] = field(default_factory=dict)  # by candidate and split
    _prepared: dict[tuple[int, float], Any] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """Return the metric by which candidates are compared."""
        return METRICS[self.recipe.kind][self.recipe.search_metric]

    @cached_property
    def splits(self) -> tuple[int, ...]:
        """Return the splits that candidates are compared on: those on which they have a score."""
        return self.data.comparable(self.metric)

    def score(
        self,
        candidates: Sequence[Candidate],
        share: float = 1.0,
        tests: Sequence[int] | None = None,
    ) -> FloatArray:
        """Return the scores of candidates, shape (n_candidates, n_splits).

        Parameters
        ----------
        candidates : sequence of Candidate
            What to try.
        share : float
            Of the training part of each split, by whole groups.
        tests : sequence of int, optional
            On these splits only, in this order; by default on all of `splits`.
        """
        chunks = [list(chunk) for chunk in self.recipe.solver.chunks(candidates)]
        tests = self.splits if tests is None else tests
        places = [(test, chunk) for test in tests for chunk in chunks]
        names = [
            self._name(test, share, [candidates[one] for one in chunk]) for test, chunk in places
        ]
        missing = [one for one, name in enumerate(names) if self.checkpoint.get(name) is None]
        self._compute(candidates, share, [(places[one], names[one]) for one in missing])
        scores = np.full((len(candidates), len(tests)), np.nan)
        for (test, chunk), name in zip(places, names, strict=True):
            found = self.checkpoint.get(name)
            scores[chunk, tests.index(test)] = [
                np.nan if one is None else one for one in found["scores"]
            ]
            if name not in self._counted:
                self._counted.add(name)
                for one, answer in zip(chunk, found.get("answers", ()), strict=False):
                    self._answers.setdefault(_written(candidates[one]), {})[test] = answer
                self.n_unconverged += found["n_unconverged"]
                for failure in found.get("failures", ()):
                    self.add_failure(failure)
        return scores

    def answers(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return a text for what each candidate predicts on all `splits`; empty if constant there.

        Two candidates with the same text are the same for every score.
        """
        known = (self._answers.get(_written(one), {}) for one in candidates)
        found = ([one.get(test, _CONSTANT) for test in self.splits] for one in known)
        return tuple(
            "" if all(text.startswith(_CONSTANT) for text in texts) else " ".join(texts)
            for texts in found
        )

    def add_failure(self, failure: str) -> None:
        """Count a model that failed."""
        self.n_failed += 1
        self.first_error = self.first_error or failure

    def _name(self, test: int, share: float, candidates: Sequence[Candidate]) -> str:
        text = json.dumps([dict(one) for one in candidates], sort_keys=True)
        chunk = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{self.data.name}, split {test}, share {share:.6f}, candidates {chunk}"

    def _compute(
        self,
        candidates: Sequence[Candidate],
        share: float,
        places: Sequence[tuple[tuple[int, list[int]], str]],
    ) -> None:
        """Score the chunks at `places`; with one core only one split is prepared at a time."""
        tests = sorted({test for (test, _), _ in places})
        for group in [[test] for test in tests] if self.cores == 1 else [tests]:
            self._prepare(group, share)
            mine = [place for place in places if place[0][0] in group]
            units = [
                self._unit(test, share, tuple(candidates[one] for one in chunk))
                for (test, chunk), _ in mine
            ]
            for position, found in in_processes(_score_chunk, units, self.cores):
                if found["failures"]:  # it may be corrected before the next attempt
                    self.checkpoint.remember(mine[position][1], found)
                else:
                    self.checkpoint.put(mine[position][1], found)

    def _unit(self, test: int, share: float, candidates: tuple[Candidate, ...]) -> _Unit:
        return _Unit(
            solver=self.recipe.solver,
            prepared=self._prepared[test, share],
            candidates=candidates,
            y_test=self.data.y[self.data.tests[test]],
            kind=self.recipe.kind,
            metric=self.recipe.search_metric,
        )

    def _prepare(self, tests: Sequence[int], share: float) -> None:
        """Hold what the splits of `tests` share; with one core, and little memory, nothing else."""
        wanted = [(test, share) for test in tests]
        if self.cores == 1:
            self._prepared = {key: one for key, one in self._prepared.items() if key in wanted}
        lacking = [key for key in wanted if key not in self._prepared]
        found = in_threads(partial(_prepared_split, self.recipe, self.data), lacking, self.cores)
        self._prepared |= dict(zip(lacking, found, strict=True))


def _written(candidate: Candidate) -> str:
    return json.dumps(dict(candidate), sort_keys=True, default=repr)


def _prepared_split(recipe: Recipe, data: TrainingData, key: tuple[int, float]) -> Any:
    test = data.tests[key[0]]
    split = recipe.split(data.X, data.y, data.train(test, key[1]), test)
    return recipe.solver.prepare(split)


def describe(recipe: Recipe) -> Mapping[str, Any]:
    """Return what a recipe adds to the digest that checkpoints are kept under."""
    metrics = [recipe.search_metric, *recipe.reported_metrics]
    return {**describe_search(recipe), "metrics": metrics}


def describe_search(recipe: Recipe) -> Mapping[str, Any]:
    """Return all of a recipe that predictions depend on: not what is reported of them."""
    space = recipe.pipeline.spaces[recipe.kind]
    with recipe.pipeline.apart(recipe.seed):
        estimator = _estimator(recipe)
    return {
        "pipeline": recipe.pipeline.name,
        "space": repr(space),
        "estimator": estimator,
        "kind": str(recipe.kind),
        "settings": repr(recipe.settings),
        "seed": recipe.seed,
        "n_candidates": recipe.n_candidates,
        "method": recipe.method,
        "metric": recipe.search_metric,
        "plain": recipe.plain,
        **_unpublished(recipe),
        **({"code": [code.digest, code.packages]} if (code := recipe.pipeline.code) else {}),
    }


def _unpublished(recipe: Recipe) -> Mapping[str, Json]:
    """Return what differs from the publication: fits of pools made before keep their keys."""
    chosen = {
        "target_scaling": recipe.settings.target_scaling,
        "ranges": recipe.settings.ranges,
        "candidates": DISTINCT if recipe.distinct else DRAWN,
    }
    return {name: one for name, one in chosen.items() if one != PUBLISHED[name]}


def _estimator(recipe: Recipe) -> Json:
    """Return class and parameters of an estimator: a factory of the user's own may change them."""
    first = recipe.candidates()[0]
    try:
        model = recipe.pipeline.make(recipe.kind, first, recipe.settings, recipe.seed)
    except JobpoolError:
        raise
    except Exception as error:  # whatever an estimator raises: the search counts it
        return [as_text(type(error)), str(error)]
    parameters = sorted(model.get_params(deep=True).items())
    return [as_text(type(model)), [[name, as_text(one)] for name, one in parameters]]
