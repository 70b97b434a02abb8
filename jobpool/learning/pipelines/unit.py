"""The unit of a target: which estimators of the user's have parameters in it."""

from collections.abc import Iterator
from typing import Any

from sklearn.compose import TransformedTargetRegressor

# of scikit-learn: a penalty, a tube, a step or a noise that is compared with the target itself
_IN_UNIT = frozenset(
    {
        *("ElasticNet", "Lasso", "LassoLars", "MultiTaskElasticNet", "MultiTaskLasso"),
        *("LinearSVR", "NuSVR", "SVR", "MLPRegressor", "PassiveAggressiveRegressor"),
        *("SGDRegressor", "GaussianProcessRegressor"),
    }
)


def in_target_unit(estimator: Any) -> list[str]:
    """Return the classes, in an estimator, whose parameters are in the unit of the target.

    Where the target is scaled around them, the unit does not matter.

    Parameters
    ----------
    estimator : estimator
        Unfitted.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.svm import SVR
    >>> in_target_unit(make_pipeline(StandardScaler(), SVR())), in_target_unit(Ridge())
    (['SVR'], [])
    >>> in_target_unit(TransformedTargetRegressor(SVR(), transformer=StandardScaler()))
    []
    """
    parts = {"": estimator} | {
        str(name): value
        for name, value in estimator.get_params(deep=True).items()
        if hasattr(value, "get_params") and not isinstance(value, type)
    }
    return sorted(
        {
            found
            for path, part in parts.items()
            for found in _classes(part)
            if not any(_scales(parts[one]) for one in _around(path) if one in parts)
        }
    )


def _classes(part: Any) -> Iterator[str]:
    for one in type(part).__mro__:
        if one.__module__.startswith("sklearn.") and one.__name__ in _IN_UNIT:
            yield one.__name__
            return


def _around(path: str) -> Iterator[str]:
    """Yield the paths of all that a part is in."""
    while path:
        path = path.rpartition("__")[0]
        yield path


def _scales(part: Any) -> bool:
    return isinstance(part, TransformedTargetRegressor) and part.transformer is not None
