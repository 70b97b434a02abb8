"""Results of tasks as JSON: put the folds of one task together, and flatten them into a row."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, cast

from jobpool.task import Json, Value


def merge_results(parts: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return what one task over all folds returns, from tasks over some of them each.

    Seconds add up; where versions or ROI values differ between parts, all that were used are given.
    """
    merged: dict[str, Any] = dict(parts[0])
    folds = [fold for part in parts for fold in cast("list[Any]", part["folds"])]
    merged["folds"] = sorted(folds, key=lambda fold: int(fold["fold"]))
    seconds = [cast("dict[str, float]", part["seconds"]) for part in parts]
    merged["seconds"] = {
        name: round(sum(one.get(name, 0.0) for one in seconds), 3) for name in seconds[0]
    }
    versions = [cast("dict[str, str]", part["versions"]) for part in parts]
    merged["versions"] = {
        name: ", ".join(sorted({one.get(name, "unknown") for one in versions}))
        for name in versions[0]
    }
    merged["roi_values"] = ", ".join(sorted({str(part.get("roi_values", "")) for part in parts}))
    return merged


def result_row(result: Mapping[str, Json]) -> dict[str, Value | None]:
    """Return a result as one row: means over folds first, then counts, then each fold.

    Scores have the units of `reported_scores`; seconds are wall time.
    """
    whole: dict[str, Any] = dict(result)
    folds: list[dict[str, Any]] = whole["folds"]
    row: dict[str, Value | None] = {}
    for name in folds[0]["scores"]:
        row[name] = _mean([fold["scores"][name] for fold in folds])
    for name in folds[0]["search_score"]:
        row[f"search_{name}"] = _mean([fold["search_score"][name] for fold in folds])
    row |= {
        "n_used": whole["participants"]["used"],
        "n_dropped": whole["participants"]["in_table"] - whole["participants"]["used"],
        "n_features": whole["n_features"],
        "n_empty_parcels": whole["n_empty_parcels"],
        "n_non_finite": whole.get("n_non_finite", 0),
        "n_candidates": whole["n_candidates"],
        "n_unconverged": sum(fold["n_unconverged"] for fold in folds),
        "seed": whole["seed"],
        "roi_values": whole.get("roi_values", ""),
        "seconds": whole["seconds"]["total"],
    }
    for fold in folds:
        number = fold["fold"]
        row |= {f"{name}_fold{number}": score for name, score in fold["scores"].items()}
        row |= {f"{name}_fold{number}": value for name, value in fold["chosen"].items()}
        row |= {f"n_test_fold{number}": fold["n_test"]}
    return row


def _mean(scores: Sequence[float | None]) -> float | None:
    """Return the mean; None if a fold has no score, as where a solver overflowed."""
    known = [score for score in scores if score is not None]
    return fmean(known) if len(known) == len(scores) else None
