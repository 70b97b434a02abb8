"""The folds of a task whose fits are kept: those of one member, or of an ensemble.

Keeps nothing on disk itself. Folds are evaluated in random order, so that workers that start
together begin with different fits instead of waiting for each other; the result is in order.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobpool.brain.arrays import Array
from jobpool.cache.fits.file import Entry
from jobpool.journal.made_of import joined
from jobpool.learning.fits import (
    Fitted,
    failures_of,
    fold_result,
    is_constant,
    shown_scores,
    shown_search_score,
    sums_for,
)
from jobpool.learning.search import Recipe
from jobpool.learning.strategies import (
    NEEDS_INNER,
    STRATEGIES,
    Combined,
    FoldMembers,
    best_member,
    chosen_member,
)
from jobpool.learning.study import SINGLE
from jobpool.runners.evaluate.inputs import MADE_OF, inputs_of_values
from jobpool.runners.evaluate.members import FACTS, UNUSABLE, Member, MemberFits, RequiredFit
from jobpool.task import Json

GRID = "grid"  # needs a fit on the whole training part of its best member only


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleTask:
    """The members of a task, and the strategy that joins their predictions."""

    strategy: str
    pipeline: str  # value of the axis
    members: tuple[Member, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of each member: its parcellation, and its pipeline if there are more."""
        several = len({pipeline for _, pipeline in self.members}) > 1
        return tuple(" ".join(one) if several else one[0] for one in self.members)


def evaluate_together(
    task: EnsembleTask, numbers: Sequence[int], fits: MemberFits, *, keep: bool
) -> dict[str, Json]:
    """Return the part of a task's result that depends on its members and folds.

    Parameters
    ----------
    task : EnsembleTask
        The members and the strategy.
    numbers : sequence of int
        The outer folds.
    fits : MemberFits
        The source of their fits.
    keep : bool
        Whether each fold's result says where its predictions are kept.

    Raises
    ------
    OutOfTimeError
        If fits are missing at the deadline.
    """
    order = list(numbers)
    random.SystemRandom().shuffle(order)
    folds: dict[int, Json] = {}
    facts: dict[Member, dict[str, Any]] = {}
    for number in order:
        start = time.perf_counter()
        found = _fits_of(task, number, fits)
        facts |= {required.member: _facts(entry) for required, entry in found.items()}
        if task.strategy == SINGLE:
            folds[number] = _fold_of_one(found, fits, keep=keep)
        else:
            fold = _fold_of_all(task, number, found, fits, keep=keep)
            folds[number] = {**fold, "seconds": round(time.perf_counter() - start, 3)}
    return {
        "folds": [folds[number] for number in sorted(folds)],
        "strategy": task.strategy,
        "members": [list(member) for member in task.members],
        "fits": {
            "made": fits.made,
            "reused": fits.reused,
            "waited_s": round(fits.waited_s, 3),
        },
        **_together([facts[member] for member in task.members]),
        # with the names that they have here: equal parcellations share a fit
        MADE_OF: dict(
            joined([inputs_of_values(name, facts[name, by]) for name, by in task.members])
        ),
    }


def _fits_of(task: EnsembleTask, fold: int, fits: MemberFits) -> dict[RequiredFit, Entry]:
    parts: list[int | None] = [None]
    if task.strategy in NEEDS_INNER:
        parts = [*range(fits.folds.n_inner), *([] if task.strategy == GRID else parts)]
    members = task.members
    return fits.get(
        [RequiredFit(member=one, fold=fold, inner=part) for one in members for part in parts]
    )


def _fitted(entry: Entry) -> Fitted:
    kept = {name: one for name, one in entry.about.items() if name not in {FACTS, UNUSABLE}}
    return Fitted.of(entry.arrays, kept)


def _facts(entry: Entry) -> dict[str, Any]:
    facts: Any = entry.about[FACTS]
    return dict(facts)


def _fold_of_one(
    found: dict[RequiredFit, Entry], fits: MemberFits, *, keep: bool
) -> dict[str, Json]:
    ((required, entry),) = found.items()
    fitted = _fitted(entry)
    y = fits.target.y[fitted.rows]
    recipe = fits.recipe_of(required.member[1])
    fold = fold_result(recipe, required.fold, y, fitted, unequal=_are_unequal(fits))
    return {**fold, "predictions": fits.place(required)} if keep else fold


def _fold_of_all(
    task: EnsembleTask, fold: int, found: dict[RequiredFit, Entry], fits: MemberFits, *, keep: bool
) -> dict[str, Json]:
    recipe = fits.recipe_of(task.members[0][1])
    fitted = {required: _fitted(entry) for required, entry in found.items()}
    inner = range(fits.folds.n_inner) if task.strategy in NEEDS_INNER else ()
    members = FoldMembers(
        fold=fold,
        kind=recipe.kind,
        metric=recipe.search_metric,
        y=fits.target.y,
        names=task.names,
        # in the order of the members, like the inner ones: the ridge knows them by position only
        wholes=tuple(
            fitted[required]
            for one in task.members
            if (required := RequiredFit(member=one, fold=fold)) in fitted
        ),
        inners=tuple(
            tuple(fitted[RequiredFit(member=one, fold=fold, inner=k)] for k in inner)
            for one in task.members
        ),
    )
    if task.strategy == GRID:
        choice = best_member(members)
        required = RequiredFit(member=task.members[choice.best], fold=fold)
        found |= fits.get([required])
        fitted[required] = _fitted(found[required])
        one_each = {required.member: entry for required, entry in found.items()}
        rows, n_left_out = fits.tested(fold, [one_each[one] for one in task.members])
        combined = chosen_member(members, choice, fitted[required], rows, n_left_out)
    else:
        combined = STRATEGIES[task.strategy](members)
    result = _fold_result(recipe, fold, fits.target.y[combined.rows], combined)
    if _are_unequal(fits):
        result |= sums_for(recipe, fits.target.y[combined.rows], combined.predictions)
    result["n_train"] = max(
        one.n_train for required, one in fitted.items() if required.inner is None
    )
    result["n_unconverged"] = sum(one.n_unconverged for one in fitted.values())
    result |= failures_of(list(fitted.values()))
    result["n_inner_undefined"] = sum(one.n_inner_undefined or 0 for one in fitted.values())
    constant = [one.n_constant_candidates for one in fitted.values()]
    if None not in constant:
        result["n_constant_candidates"] = sum(one or 0 for one in constant)
    features = [one.n_constant_features for name, one in fitted.items() if name.inner is None]
    if None not in features:
        result["n_constant_features"] = sum(one or 0 for one in features)
    searches = [combined.decided, *(one.decided for one in fitted.values())]
    result["search_decided"] = False not in searches
    result["fit_seconds"] = round(sum(one.seconds for one in fitted.values()), 3)
    if keep:
        made_of = [task.strategy, *(fits.key(required) for required in found)]
        result["predictions"] = fits.keep(task.pipeline, fold, made_of, _entry(combined))
    return result


def _are_unequal(fits: MemberFits) -> bool:
    return fits.folds.are_unequal(fits.target.present)


def _fold_result(recipe: Recipe, fold: int, y: Array, combined: Combined) -> dict[str, Json]:
    score = combined.search_score
    # a ridge has a search, even where it has no score; a vote has none
    searched = score is not None or combined.decided is not None
    return {
        "fold": fold,
        "scores": shown_scores(recipe, y, combined.predictions),
        "search_score": shown_search_score(recipe, score) if searched else {},
        "chosen": dict(combined.chosen),
        "n_test": len(combined.rows),
        "n_left_out": combined.n_left_out,
        "constant_predictions": is_constant(combined.predictions),
        "converged": combined.predictions.converged,
    }


def _entry(combined: Combined) -> Entry:
    made = combined.predictions
    arrays = {
        "rows": combined.rows,
        "predicted": made.predicted,
        "decision": made.decision,
    }
    if made.probability is not None:
        arrays["probability"] = made.probability
    return Entry(arrays=arrays, about={})


def _together(facts: Sequence[dict[str, Any]]) -> dict[str, Json]:
    """Return the facts about the values of all members together: counts add up."""
    if len(facts) == 1:
        return facts[0]
    fewest = min(facts, key=lambda one: int(one["participants"]["used"]))
    return {
        "roi_values": ", ".join(sorted({str(one["roi_values"]) for one in facts})),
        "participants": fewest["participants"],
        **{
            name: sum(int(one[name]) for one in facts)
            for name in ("n_parcels", "n_empty_parcels", "n_non_finite", "n_features")
        },
    }
