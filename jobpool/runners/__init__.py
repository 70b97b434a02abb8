"""Runners by name. Each is imported when it is asked for: some load scikit-learn."""

import importlib
from collections.abc import Mapping
from pathlib import Path

from jobpool.experiment import Experiment
from jobpool.runners.base import Runner

RUNNERS: Mapping[str, str] = {
    "evaluate": "jobpool.runners.evaluate:Evaluate",
    "function": "jobpool.runners.function:Function",
}


def make_runner(experiment: Experiment, pool: Path | None = None) -> Runner:
    """Return the runner that `experiment` names.

    Parameters
    ----------
    experiment : Experiment
        Its `runner` is a key of `RUNNERS`.
    pool : Path, optional
        The pool the tasks come from; None while there is none yet.

    Raises
    ------
    ConfigError
        With every problem of the runner's section and axes.
    """
    module, _, name = RUNNERS[experiment.runner].partition(":")
    runner: Runner = getattr(importlib.import_module(module), name)(experiment, pool)
    return runner
