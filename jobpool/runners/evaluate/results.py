"""Results of tasks as JSON: put the folds of one task together, and flatten them into rows."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import fsum
from operator import itemgetter
from typing import Any, cast

import numpy as np

from jobpool.journal.made_of import joined, within
from jobpool.learning.pooling import pooled_scores
from jobpool.runners.base import Doubt
from jobpool.runners.evaluate.doubts import doubts_of
from jobpool.task import Json, Value

Row = dict[str, Value | None]
# as `jobpool.learning.participants` says them, which loads more than a reader of results needs
_OF_PARCELS = (
    "a parcel without finite values",
    "a parcel of another parcellation without finite values",
)


class EvaluateResults:
    """Reads the results of the runner ``evaluate``; loads none of the packages that make them."""

    def merge(self, parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
        """Return what `merge_results` returns."""
        return merge_results(parts)

    def rows(self, result: Mapping[str, Json], by: str) -> list[Row]:
        """Return what `result_rows` returns."""
        return result_rows(result, by)

    def metrics(self, result: Mapping[str, Json]) -> tuple[str, ...]:
        """Return what `metric_names` returns."""
        return metric_names(result)

    def doubts(self, frame: Any) -> list[Doubt]:
        """Return the doubts about a data frame with one row per task."""
        return list(doubts_of(frame))

    def made_of(self, result: Mapping[str, Json]) -> dict[str, str]:
        """Return what `inputs_of_result` returns."""
        return inputs_of_result(result)


def merge_results(parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return the result of a task over all folds, from those of tasks over some folds each.

    Seconds and counts of fits add up; where versions or ROI values differ between parts, all are
    given.
    """
    merged: dict[str, Any] = dict(parts[0])
    folds = [fold for part in parts for fold in cast("list[Any]", part["folds"])]
    merged["folds"] = sorted(folds, key=lambda fold: int(fold["fold"]))
    merged["seconds"] = _added(parts, "seconds")
    if "fits" in merged:
        merged["fits"] = _added(parts, "fits")
    versions = [cast("dict[str, str]", part["versions"]) for part in parts]
    merged["versions"] = {
        name: ", ".join(sorted({one.get(name, "unknown") for one in versions}))
        for name in versions[0]
    }
    merged |= {"made_of": made_of} if (made_of := _made_of(parts)) else {}
    merged["roi_values"] = ", ".join(sorted({str(part.get("roi_values", "")) for part in parts}))
    merged["participants"] = _joined(
        [cast("dict[str, Any]", part["participants"]) for part in parts]
    )
    return merged


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the participants of all parts: of the one that used fewest, with every digest."""
    fewest = min(parts, key=lambda one: int(one["used"]))
    digests = sorted({str(one["digest"]) for one in parts if "digest" in one})
    return {**fewest, "digest": ", ".join(digests)} if digests else dict(fewest)


def _made_of(parts: Sequence[Mapping[str, Json]]) -> dict[str, str]:
    """Return what all parts are made of.

    Parts of an older jobpool do not name their maps: what they have is the key of their values.
    """
    each = [cast("dict[str, str]", part.get("made_of", {})) for part in parts]
    if not all("maps" in one for one in each) and "members" not in parts[0]:
        values = joined([{"ROI values": str(part.get("roi_values", ""))} for part in parts])
        each += [values] if within(values) else []
    return joined(each)


def _added(parts: Sequence[Mapping[str, Json]], name: str) -> dict[str, float]:
    """Return the sums of the numbers that all parts have under a name."""
    found = [cast("dict[str, float]", part.get(name, {})) for part in parts]
    sums = {key: sum(one.get(key, 0) for one in found) for key in found[0]}
    return {key: round(one, 3) if isinstance(one, float) else one for key, one in sums.items()}


def inputs_of_result(result: Mapping[str, Json]) -> dict[str, str]:
    """Return what a result is made of: inputs, settings and versions, several where folds differ.

    Results of an older jobpool name versions alone.
    """
    whole: dict[str, Any] = dict(result)
    versions = whole.get("versions") or {}
    found = {f"version of {name}": one for name, one in versions.items() if name != "python"}
    return {**whole.get("made_of", {}), **found}


def metric_names(result: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the names of the scores that every fold has."""
    folds = cast("list[dict[str, Any]]", result["folds"])
    return tuple(folds[0]["scores"])


def result_rows(result: Mapping[str, Json], by: str) -> list[Row]:
    """Return a result as rows of a table.

    Scores have the units of `reported_scores`; seconds are wall time. What a result of an older
    jobpool lacks stays missing.

    Parameters
    ----------
    result : mapping
        What the runner ``evaluate`` returns, or `merge_results`.
    by : str
        ``task``: one row, means over folds first, then counts, then each fold. ``fold``: one row
        per fold.
    """
    whole: dict[str, Any] = dict(result)
    return [_task_row(whole)] if by == "task" else _fold_rows(whole)


def _task_row(whole: dict[str, Any]) -> Row:
    folds: list[dict[str, Any]] = whole["folds"]
    row = _means([fold["scores"] for fold in folds])
    for name, score in _means([fold["search_score"] for fold in folds]).items():
        row[_search_name(name)] = score
    for name, score in pooled_scores(folds).items():
        row[f"{name}_pooled"] = score
    row.update(_counts(whole))
    row["n_unconverged"] = sum([fold["n_unconverged"] for fold in folds])
    row.update(_failures(folds))
    row["n_undefined"] = sum([_n_undefined(fold) for fold in folds])
    row.update(_decisions(folds))
    row.update(_constants(folds))
    if "n_left_out" in folds[0]:
        row["n_left_out"] = sum([fold["n_left_out"] for fold in folds])
    row["seconds"] = whole["seconds"]["total"]
    if "fits" in whole:
        seconds = [fold.get("fit_seconds", fold["seconds"]) for fold in folds]
        row["fit_seconds"] = round(sum(seconds), 3)
    for name, number in whole.get("fits", {}).items():
        row[f"fits_{name}"] = number
    for fold in folds:
        scores, chosen = fold["scores"], fold["chosen"]
        names = _fold_names(fold["fold"], tuple(scores), tuple(chosen))
        values = (*scores.values(), *chosen.values(), fold["n_test"])
        row.update(zip(names, values, strict=True))
    return row


def _failures(folds: Sequence[Mapping[str, Any]]) -> Row:
    """Return how many models failed, and the first error; nothing of an older jobpool."""
    counts = [fold["n_failed"] for fold in folds if "n_failed" in fold]
    errors = [fold["first_error"] for fold in folds if "first_error" in fold]
    count: Row = {"n_failed": sum(counts)} if counts else {}
    return {**count, "first_error": errors[0]} if errors else count


def _n_undefined(fold: Mapping[str, Any]) -> int:
    """Return how many scores of a fold are missing: not defined for its target, or not finite."""
    return list(fold["scores"].values()).count(None)


def _decisions(folds: Sequence[Mapping[str, Any]]) -> Row:
    """Return how far the searches of all folds told candidates apart; nothing of older results."""
    if any(fold.get("search_decided") is None for fold in folds):
        return {}
    undecided = [not fold["search_decided"] for fold in folds]
    return {
        "search_decided": not any(undecided),
        "n_undecided": sum(undecided),
        "n_inner_undefined": sum([fold["n_inner_undefined"] for fold in folds]),
    }


def _constants(folds: Sequence[Mapping[str, Any]]) -> Row:
    """Return the counts of what is the same for everybody; nothing of older results."""
    found: Row = {}
    for name, column, total in _CONSTANTS:
        if counts := [fold[name] for fold in folds if fold.get(name) is not None]:
            found[column] = total(counts)
    return found


def _means(scores: Sequence[Mapping[str, float | None]]) -> Row:
    """Return the means over folds; None if a fold has no score, as where a solver overflowed."""
    names = tuple(scores[0])
    try:
        columns: Any = zip(*map(_taker(names), scores), strict=True)
        return {name: _mean(column) for name, column in zip(names, columns, strict=True)}
    except KeyError:  # folds of several versions
        return {name: _mean([one.get(name) for one in scores]) for name in names}


@lru_cache
def _taker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Return a function that takes values by name, three times as fast as one at a time."""
    if len(names) < 2:
        return lambda one: [one[name] for name in names]
    return itemgetter(*names)


def _mean(scores: Sequence[float | None]) -> float | None:
    if None in scores:
        return None
    return fsum(cast("Sequence[float]", scores)) / len(scores)


def _counts(whole: dict[str, Any]) -> Row:
    """Return what holds for all folds of a task."""
    people = whole["participants"]
    classes = whole.get("classes")
    return {
        **({"positive_class": classes[-1]} if classes else {}),
        "n_used": people["used"],
        "n_dropped": people["in_table"] - people["used"],
        **_who(people),
        "n_features": whole.get("n_features"),
        "n_empty_parcels": whole.get("n_empty_parcels"),
        "n_non_finite": whole.get("n_non_finite", 0),
        "n_candidates": whole.get("n_candidates"),
        "seed": whole["seed"],
        "roi_values": whole.get("roi_values", ""),
        **({"cautions": whole["cautions"]} if "cautions" in whole else {}),
    }


def _who(people: Mapping[str, Any]) -> Row:
    """Return a digest of who was used, where a parcellation cannot use all that have a map."""
    lost = any(people.get("dropped", {}).get(reason) for reason in _OF_PARCELS)
    return {"used_digest": people.get("digest", "unknown")} if lost else {}


@lru_cache
def _fold_names(number: int, scores: tuple[str, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}_fold{number}" for name in (*scores, *chosen, "n_test"))


def _fold_rows(whole: dict[str, Any]) -> list[Row]:
    counts = _counts(whole)
    return [_fold_row(fold, counts) for fold in whole["folds"]]


def _fold_row(fold: dict[str, Any], counts: Row) -> Row:
    row: Row = {"fold": fold["fold"], **fold["scores"]}
    for name, score in fold["search_score"].items():
        row[_search_name(name)] = score
    row.update(fold["chosen"])
    for name in _OF_FOLD:
        if name in fold:
            row[name] = fold[name]
    row["n_undefined"] = _n_undefined(fold)
    row.update(counts)
    return row


_OF_FOLD = (
    *("candidate", "n_train", "n_test", "n_left_out", "n_unconverged", "n_failed", "first_error"),
    *("search_decided", "n_tied", "n_inner_undefined", "n_constant_candidates"),
    *("n_constant_features", "constant_predictions", "converged", "seconds", "fit_seconds"),
)
# what folds say, the column of a task, and how that comes from all folds
_CONSTANTS: tuple[tuple[str, str, Callable[[Sequence[int]], int]], ...] = (
    ("n_constant_candidates", "n_constant_candidates", sum),
    ("n_constant_features", "n_constant_features", max),
    ("constant_predictions", "n_constant_folds", sum),
)


@lru_cache
def _search_name(name: str) -> str:
    return f"search_{name}"


def prediction_table(
    fold: int, ids: Sequence[str], y: Any, arrays: Mapping[str, Any]
) -> dict[str, Sequence[Any]]:
    """Return the out-of-fold predictions for each test participant of one fold.

    Parameters
    ----------
    fold : int
        The fold.
    ids : sequence of str
        Of all participants in the table.
    y : ndarray of shape (n_participants,)
        The target: 0 and 1 if binary, else in its own unit.
    arrays : mapping
        ``rows``, the positions in the table of those left out, and as many values of
        ``predicted``, ``decision`` and, if there are any, ``probability``.
    """
    rows = arrays["rows"]
    probability = arrays.get("probability")
    return {
        "participant": [ids[row] for row in rows.tolist()],
        "fold": [fold] * len(rows),
        "y": y[rows].astype(np.float64),
        "predicted": arrays["predicted"],
        "decision": arrays["decision"],
        "probability": np.full(len(rows), np.nan) if probability is None else probability,
    }
