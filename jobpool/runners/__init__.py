"""Runners by name. Each is imported when it is asked for: some load scikit-learn."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobpool.errors import ConfigError, Problem, SelectionError
from jobpool.experiment import Experiment, read_experiment
from jobpool.grid import Grid
from jobpool.runners.base import Runner
from jobpool.selection import select

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


def load_study(file: Path, folder: Path | None = None) -> tuple[Experiment, Runner, Grid]:
    """Return the experiment in a file, its runner and its tasks, all completely checked.

    Parameters
    ----------
    file : Path
        The experiment file (YAML).
    folder : Path, optional
        Where its relative paths start: by default the folder of `file`.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    experiment, found = read_experiment(file, folder=folder, runners=tuple(RUNNERS))
    problems = list(found)
    if experiment.runner in RUNNERS:
        try:
            runner = make_runner(experiment)
            if all(axis.values for axis in experiment.axes):
                grid = runner.lay_out()
                problems += _problems_of_selections(experiment, grid)
        except ConfigError as error:
            known = {problem.key for problem in problems}
            problems += [problem for problem in error.problems if problem.key not in known]
    if problems:
        raise ConfigError(tuple(problems))
    return experiment, runner, grid


def _problems_of_selections(experiment: Experiment, grid: Grid) -> Iterator[Problem]:
    selections = [(f"passes.{one.name}", one.only, one.skip) for one in experiment.passes]
    selections += [(f"needs.{i}", one.only, ()) for i, one in enumerate(experiment.needs)]
    for key, only, skip in selections:
        try:
            select(grid, only, skip)
        except SelectionError as error:
            yield Problem(experiment.file, key, error.text, error.what)
