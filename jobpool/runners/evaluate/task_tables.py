"""What a task is made of, as tables that other programs read: its candidates and its splits."""

from collections.abc import Mapping, Sequence

from jobpool.brain.arrays import Array
from jobpool.errors import RequestError
from jobpool.learning.search import Recipe
from jobpool.learning.splits import Splits
from jobpool.task import Value

Columns = dict[str, list[Value | None]]


def candidate_table(recipes: Mapping[str, Recipe]) -> Columns:
    """Return the candidates that each pipeline of a task tries, with their number in the search.

    Raises
    ------
    RequestError
        If candidates depend on the scores of earlier ones.
    """
    rows: list[dict[str, Value | None]] = []
    for name, recipe in recipes.items():
        if recipe.method == "tpe":
            what = "search: tpe asks for candidates by the scores of those before; none are known "
            raise RequestError(name, what + "beforehand")
        rows += [
            {"pipeline": name, "candidate": number, **one}
            for number, one in enumerate(recipe.candidates())
        ]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def split_table(splits: Splits, ids: Sequence[str], groups: Sequence[str]) -> Columns:
    """Return who is in which part: one row for each participant, in the order of the table.

    Parameters
    ----------
    splits : Splits
        Of a target.
    ids, groups : sequence of str
        Of all participants.
    """
    columns: Columns = {
        "participant": [*ids],
        "group": [*groups],
        "outer_fold": _known(splits.outer),
    }
    for fold in range(splits.n_outer):
        columns[f"inner_fold_{fold}"] = _known(splits.inner[fold])
        columns[f"held_out_{fold}"] = _known(splits.holdout[fold])
    return columns


def _known(values: Array) -> list[Value | None]:
    """Return numbers from 0, and None for those that are in no such part."""
    return [int(one) if one >= 0 else None for one in values.tolist()]
