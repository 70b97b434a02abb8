"""A study that never was, as a plain table: scores rise with size and level off, plus noise."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PIPELINES = ("elastic", "svm", "lgbm")
SPREAD = "random_50_to_500"
SET_SIZES = (50, 100, 200, 300, 400, 500, 1000)
COUNTS = (3, 5, 8, 10)
# what a type and a pipeline add to the quality of a parcellation
TYPES = {"hard": 0.03, "random": 0.0, "soft": 0.02}
_HANDICAP = {"elastic": 0.02, "svm": 0.0, "lgbm": 0.05}
_STRATEGIES = {"voted": 0.05, "stacked": 0.06, "grid": -0.06}


def a_study(
    n_parcellations: int = 24,
    n_targets: int = 3,
    ensembles: bool = True,
    seed: int = 1,
) -> pd.DataFrame:
    """Return a small study: parcellations of 7 to 6,000 parcels, three pipelines."""
    singles = single_parcellations(n_parcellations)
    sets = ensemble_parcellations((100, 300), (3, 5), 1) if ensembles else singles.iloc[:0]
    return _scored(pd.concat([singles, sets], ignore_index=True), n_targets, seed)


def published_shape(seed: int = 1) -> pd.DataFrame:
    """Return a study of 220 parcellations, 192 ensembles, three pipelines and 45 targets."""
    every = [single_parcellations(220), ensemble_parcellations(SET_SIZES, COUNTS, 2, spread=True)]
    return _scored(pd.concat(every, ignore_index=True), 45, seed)


def single_parcellations(number: int) -> pd.DataFrame:
    """Return parcellations of 7 to 6,000 parcels; every second one is random, of a round size.

    There are more small ones than large ones: so mean ranks fall nearly as a power of size.
    """
    sizes = ((np.linspace(232, 35, number) / 400) ** (-1 / 0.28)).round().astype(int)
    random = np.arange(number) % 2 == 1
    # grown parcellations come in round sizes, several of each
    digits = 10.0 ** np.floor(np.log10(sizes))
    sizes = np.where(random, (np.floor(sizes / digits) * digits).astype(int), sizes)
    kinds = np.where(random, "random", np.where(np.arange(number) % 6 == 0, "soft", "hard"))
    names = [f"{kind}_{size}_{i}" for i, (kind, size) in enumerate(zip(kinds, sizes, strict=True))]
    return pd.DataFrame(
        {
            "parcellation": names,
            "size": sizes,
            "type": kinds,
            "strategy": "single",
            "set": "",
            "members": 1,
        }
    )


def ensemble_parcellations(
    sizes: Sequence[int], counts: Sequence[int], seeds: int, spread: bool = False
) -> pd.DataFrame:
    """Return the ensembles over sets of random parcellations, one set per size and seed."""
    sets = {f"random_{size}": size for size in sizes} | ({SPREAD: 275} if spread else {})
    rows = [
        {
            "parcellation": f"{strategy}_{name}_x{count}_{seed}",
            "size": size * count,
            "type": "ensemble",
            "strategy": strategy,
            "set": f"{name}_{seed}",
            "members": count,
        }
        for strategy in _STRATEGIES
        for name, size in sets.items()
        for count in counts
        for seed in range(1, seeds + 1)
    ]
    return pd.DataFrame(rows)


def _scored(parcellations: pd.DataFrame, n_targets: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    targets = pd.DataFrame({"target": [f"target_{i + 1:02d}" for i in range(n_targets)]})
    targets["base"] = rng.uniform(0.02, 0.1, n_targets)
    targets["gain"] = rng.uniform(0.05, 0.3, n_targets)
    table = parcellations.merge(pd.DataFrame({"pipeline": PIPELINES}), how="cross")
    table = table.merge(targets, how="cross")
    noise = rng.normal(0, 0.1, len(table))
    table["score"] = table["base"] + table["gain"] * (_quality(table) + noise)
    seconds = 3 * table["members"] * table["size"] ** 0.8 * (1 + (table["pipeline"] == "svm"))
    table["seconds"] = (seconds * rng.uniform(0.8, 1.25, len(table))).round(1)
    memory = 300 + 0.4 * table["size"] * rng.uniform(0.9, 1.1, len(table))
    table["memory_mb"] = memory.round(1)
    table["task"] = [f"t{i:06d}" for i in range(len(table))]
    return table.drop(columns=["base", "gain"])


def _quality(table: pd.DataFrame) -> NDArray[np.float64]:
    parcels = table["size"].to_numpy() / table["members"].to_numpy() ** 0.4
    rise = 1 - (parcels / 7) ** -0.2 - 0.03 * np.log2(np.maximum(parcels / 4000, 1))
    added = table["type"].map(TYPES).fillna(0) + table["strategy"].map(_STRATEGIES).fillna(0)
    handicap = table["pipeline"].map(_HANDICAP)
    return np.asarray(rise + added.to_numpy() - handicap.to_numpy(), np.float64)
