"""Seeds: where an estimator of the user's draws random numbers without one."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from sklearn.ensemble import BaseEnsemble

_SEED = "random_state"
_CYCLIC = ("selection", frozenset({"cyclic"}))
_DIRECT = frozenset({"auto", "svd", "cholesky", "lsqr", "sparse_cg", "lbfgs"})
_UNSHUFFLED = ("shuffle", frozenset({False}))
_UNASKED = frozenset({False, "deprecated"})
_ONCE = ("n_restarts_optimizer", frozenset({0}))
# scikit-learn's that draw with some values of a parameter only: here are those without
_WITHOUT: Mapping[str, tuple[str, frozenset[Any]]] = {
    "Ridge": ("solver", _DIRECT),
    "RidgeClassifier": ("solver", _DIRECT),
    "LogisticRegression": ("solver", frozenset({"lbfgs", "newton-cg", "newton-cholesky"})),
    **dict.fromkeys(("ElasticNet", "ElasticNetCV", "LassoCV"), _CYCLIC),
    **dict.fromkeys(("MultiTaskElasticNetCV", "MultiTaskLassoCV"), _CYCLIC),
    **dict.fromkeys(("SVC", "NuSVC"), ("probability", _UNASKED)),
    **dict.fromkeys(("KFold", "StratifiedKFold", "StratifiedGroupKFold"), _UNSHUFFLED),
    **dict.fromkeys(("GaussianProcessRegressor", "GaussianProcessClassifier"), _ONCE),
    "Lars": ("jitter", frozenset({None})),
    "DummyClassifier": ("strategy", frozenset({"prior", "most_frequent", "constant"})),
    "PCA": ("svd_solver", frozenset({"full", "covariance_eigh"})),
}
_SEED_THEMSELVES = ("lightgbm.", "xgboost.", "catboost.")  # with a number of their own


def unseeded(estimator: Any, space: Container[str] = ()) -> list[str]:
    """Return the parameters that are seeds and are None, of the estimator and of all in it.

    A seed that is not used does not count, nor does one that an ensemble of scikit-learn with a
    seed sets in its members.

    Parameters
    ----------
    estimator : estimator
        Unfitted.
    space : container of str
        Parameters that are searched.

    Examples
    --------
    >>> from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
    >>> from sklearn.linear_model import Ridge
    >>> unseeded(BaggingRegressor(RandomForestRegressor()))
    ['random_state', 'estimator__random_state']
    >>> unseeded(BaggingRegressor(RandomForestRegressor(), random_state=1)), unseeded(Ridge())
    ([], [])
    """
    parts = {"": estimator, **_parts(estimator)}
    return [
        name
        for path, part in sorted(parts.items())
        if (name := f"{path}__{_SEED}".removeprefix("__")) not in space
        and _seed(part, 0) is None
        and _draws(part, path, space)
        and not any(_seeds_members(parts[above]) for above in _above(path) if above in parts)
    ]


def _parts(estimator: Any) -> dict[str, Any]:
    return {
        str(name): value
        for name, value in estimator.get_params(deep=True).items()
        if hasattr(value, _SEED) and not isinstance(value, type)
    }


def _seed(part: Any, otherwise: Any = None) -> Any:
    """Return the seed of an estimator by its parameters: some have an attribute that is none."""
    if hasattr(part, "get_params"):
        return part.get_params(deep=False).get(_SEED, otherwise)
    return getattr(part, _SEED, otherwise)


def _above(path: str) -> Iterator[str]:
    """Yield the paths of all that a part is in; the whole has none."""
    while path:
        path = path.rpartition("__")[0]
        yield path


def _draws(part: Any, path: str, space: Container[str]) -> bool:
    kinds = type(part).__mro__
    if any(one.__module__.startswith(_SEED_THEMSELVES) for one in kinds):
        return False
    for one in kinds:
        if one.__module__.startswith("sklearn.") and one.__name__ in _WITHOUT:
            parameter, values = _WITHOUT[one.__name__]
            searched = f"{path}__{parameter}".removeprefix("__") in space
            return searched or getattr(part, parameter, None) not in values
    return True


def _seeds_members(part: Any) -> bool:
    return isinstance(part, BaseEnsemble) and _seed(part) is not None
