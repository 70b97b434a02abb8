"""Runner ``function``: call a Python function with the point of the task.

    runner: function
    function:
      call: mylab.jobs:simulate    # simulate(site=..., seed=...) returns a dict or a number

The module lies beside the experiment file or in a folder under ``path``, or is installed. What the
function returns is the task's result.
"""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobpool.errors import ConfigError, Problem, listing
from jobpool.experiment.config import Experiment
from jobpool.experiment.reader import Reader
from jobpool.runners.base import RunContext
from jobpool.table.grid import Grid, full_product
from jobpool.task import Json, Value


class FunctionResults:
    """Reads what functions returned."""

    def rows(self, result: Mapping[str, Json], by: str) -> list[dict[str, Value | None]]:  # noqa: ARG002
        """Return the plain values of a result; nested ones become text."""
        plain = str | int | float | bool | None
        return [{key: v if isinstance(v, plain) else str(v) for key, v in result.items()}]

    def metrics(self, result: Mapping[str, Json]) -> tuple[str, ...]:
        """Return the names of all numbers."""
        return tuple(key for key, value in result.items() if type(value) in {int, float})


class Function:
    """Runs ``call(**point)``; the axes may be any."""

    def __init__(self, experiment: Experiment, pool: Path | None) -> None:
        reader = Reader(experiment.file, experiment.section, "function")
        self._experiment = experiment
        self._name = reader.text("call")
        self._function: Any = None
        reader.finish()
        if pool is None:  # a new study; collecting an old one must not need its code
            self.check()

    def task_grid(self) -> Grid:
        """Return every combination of the axes."""
        return full_product(self._experiment.axes)

    def check(self) -> None:
        """Import the function, and check that it takes the axes as arguments."""
        advice = None
        try:
            self._function = _import(self._name)
        except (Exception, SystemExit) as error:  # whatever the user's module raises
            advice = f"cannot be imported: {error or type(error).__name__}; write module:function, "
            advice += "and install the module, put it beside the experiment file, or name its "
            advice += "folder under path:"
        else:
            advice = _why_not_called(self._function, [axis.name for axis in self._experiment.axes])
        if advice:
            problem = Problem(self._experiment.file, "function.call", self._name, advice)
            raise ConfigError((problem,))

    def run(self, point: Mapping[str, Value], context: RunContext) -> dict[str, Json]:  # noqa: ARG002
        """Return what the function returns; a single value becomes ``{"value": ...}``."""
        found = self._function(**point)
        return found if isinstance(found, dict) else {"value": found}


def _import(name: str) -> Any:
    module, separator, function = name.partition(":")
    if not separator:
        raise ValueError(f"{name!r} has no colon")
    return getattr(importlib.import_module(module), function)


def _why_not_called(function: Any, names: list[str]) -> str | None:
    if not callable(function):
        return f"is no function but {function!r}; write module:function"
    try:
        inspect.signature(function).bind(**dict.fromkeys(names))
    except ValueError:  # a built-in without a signature
        return None
    except TypeError as error:
        what = f"cannot be called with the axes {listing(names)}: {error}"
        return f"{what}; name its arguments like the axes"
    return None
