"""The evaluation of one outer fold: fit on its training part, score on its test part."""

from jobpool.learning.checkpoint import Checkpoint
from jobpool.learning.fits import fit, fold_result
from jobpool.learning.search import FoldData, Recipe
from jobpool.task import Json


def evaluate_fold(
    recipe: Recipe, data: FoldData, cores: int, checkpoint: Checkpoint
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
        kept = fold_result(recipe, data.fold, data.y[data.test], fitted)
        checkpoint.put(data.name, kept)
    return kept
