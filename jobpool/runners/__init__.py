"""Runners by name: what each is made of, imported when it is asked for.

base       what a runner is: two methods, and one for each further ability
function   call a Python function with the values of a task
evaluate/  evaluate pipelines on parcellated brain maps

Importing a runner may take seconds. The code that reads its results, perhaps in several processes,
and the forms of axis values that it adds stand in modules of their own, which load less.

Called by everything that reads a study or its results; only the child of a worker runs tasks.
"""

import importlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobpool.errors import ConfigError, Problem, SelectionError, listing
from jobpool.experiment.axes import ValueForm
from jobpool.experiment.config import Experiment, InPool, read_experiment
from jobpool.experiment.surroundings import search_own_code, variables_set
from jobpool.pool import Pool
from jobpool.runners.base import Results, Runner
from jobpool.table.grid import Grid
from jobpool.table.selection import select


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts of a runner are defined, each as ``module:name``."""

    runner: str  # made from an experiment and, once there is one, the pool
    results: str  # made from nothing
    forms: str | None = None  # a mapping of `ValueForm` by name


RUNNERS: Mapping[str, Parts] = {
    "evaluate": Parts(
        runner="jobpool.runners.evaluate.runner:Evaluate",
        results="jobpool.runners.evaluate.results:EvaluateResults",
        forms="jobpool.runners.evaluate.value_forms:FORMS",
    ),
    "function": Parts(
        runner="jobpool.runners.function:Function",
        results="jobpool.runners.function:FunctionResults",
    ),
}


def make_runner(experiment: Experiment, pool: Path | None = None) -> Runner:
    """Return the runner that `experiment` names; from now on its own code can be imported here.

    Parameters
    ----------
    experiment : Experiment
        Its `runner` is a key of `RUNNERS`.
    pool : Path, optional
        The pool the tasks come from; None before it is made.

    Raises
    ------
    ConfigError
        With every problem of the runner's section and axes.
    """
    search_own_code(experiment.folder, experiment.path)
    runner: Runner = _load(RUNNERS[experiment.runner].runner)(experiment, pool)
    return runner


def runner_of(pool: Pool, trusted: Collection[str] = ()) -> Runner:
    """Return the runner of a pool, which may run code that the pool's author chose.

    Parameters
    ----------
    pool : Pool
        It is read anew.
    trusted : collection of str
        Users whose pools may be run, beside one's own.

    Raises
    ------
    PoolError
        If the pool is another user's.
    """
    return make_runner(pool.trusting(trusted).experiment(), pool.folder)


def load_study(
    file: Path,
    folder: Path | None = None,
    pool: InPool | None = None,
) -> tuple[Experiment, Runner, Grid]:
    """Return the experiment in a file, its runner and its tasks, completely checked.

    Parameters
    ----------
    file : Path
        The experiment file (YAML).
    folder : Path, optional
        Where its relative paths start: by default the folder of `file`.
    pool : InPool, optional
        What a pool has that is being extended.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    experiment, found = read_experiment(
        file,
        folder=folder,
        runners=tuple(RUNNERS),
        forms=forms_of,
        pool=pool or InPool(),
    )
    problems = list(found)
    if experiment.runner in RUNNERS:
        try:
            with variables_set(experiment.environment):
                runner = make_runner(experiment)
            if all(axis.values for axis in experiment.axes):
                grid = runner.task_grid()
                problems += _problems_of_selections(experiment, grid)
        except ConfigError as error:
            keys = {problem.key for problem in problems}
            problems += [problem for problem in error.problems if problem.key not in keys]
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


def make_results(runner: str) -> Results:
    """Return the reader of the results of this runner.

    Raises
    ------
    ValueError
        If no runner has this name.
    """
    if runner not in RUNNERS:
        raise ValueError(f"no runner is called {runner!r}; known: {listing(RUNNERS)}")
    results: Results = _load(RUNNERS[runner].results)()
    return results


def forms_of(runner: str) -> Mapping[str, ValueForm]:
    """Return the forms of axis values that a runner adds to those that every experiment has."""
    where = RUNNERS[runner].forms if runner in RUNNERS else None
    if where is None:
        return {}
    forms: Mapping[str, ValueForm] = _load(where)
    return forms


def _load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
