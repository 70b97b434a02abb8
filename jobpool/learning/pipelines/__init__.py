"""Pipelines: how a target is learned from features, and in which space parameters are searched.

The spaces are those of the published study.
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
