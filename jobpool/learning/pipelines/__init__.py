"""Pipelines: how a target is learned from features, and in which space parameters are searched.

    base        what a pipeline is: space of candidates, plain estimator, solver
    scaling     features scaled by the training part of a split
    plain       the solver that fits the plain estimator for each candidate
    elastic     the elastic net; its binary solver is in `logistic`
    logistic    logistic regression with an elastic net, by an interior point method
    svm         support vectors
    lgbm        LightGBM
    factory     pipelines from the user's own module
    answers     what their estimators answer, as predictions
    apart       their settings of the process, apart from jobpool's
    seeds       where they draw without a seed
    unit        which of them have parameters in the unit of the target

The spaces are those of the published study. Callers find a pipeline by name here, and take the
records from `base`.
"""

from collections.abc import Mapping

from jobpool.errors import listing, nearest
from jobpool.learning.pipelines.base import Pipeline
from jobpool.learning.pipelines.elastic import ELASTIC
from jobpool.learning.pipelines.factory import PipelineError, load_pipeline
from jobpool.learning.pipelines.lgbm import LGBM
from jobpool.learning.pipelines.svm import SVM

PIPELINES: Mapping[str, Pipeline] = {one.name: one for one in (ELASTIC, SVM, LGBM)}


def find_pipeline(name: str) -> Pipeline:
    """Return a pipeline by its name, or by the name of a factory: ``module:function``.

    Raises
    ------
    PipelineError
        If there is none, or the factory cannot be used.
    """
    if ":" in name:
        return load_pipeline(name)
    if name not in PIPELINES:
        what = f"unknown pipeline; write one of: {listing(PIPELINES)}, or module:function"
        raise PipelineError(name, what + nearest(name, PIPELINES))
    return PIPELINES[name]
