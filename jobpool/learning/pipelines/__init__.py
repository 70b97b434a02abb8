"""Pipelines: how a target is learned from features, and in which space parameters are searched.

The spaces are those of the published study.
"""

from collections.abc import Mapping

from jobpool.learning.pipelines.base import Pipeline
from jobpool.learning.pipelines.elastic import ELASTIC

PIPELINES: Mapping[str, Pipeline] = {one.name: one for one in (ELASTIC,)}
