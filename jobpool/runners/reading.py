"""What the results of a runner mean, without all that it takes to run its tasks.

Importing a runner may take seconds, in each of the processes that read results side by side.
"""

import importlib
from collections.abc import Mapping

from jobpool.errors import listing
from jobpool.runners.base import Results

RESULTS: Mapping[str, str] = {
    "evaluate": "jobpool.learning.results:EvaluateResults",
    "function": "jobpool.runners.function:FunctionResults",
}


def make_results(runner: str) -> Results:
    """Return what reads the results of the runner of this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if runner not in RESULTS:
        raise ValueError(f"no runner is called {runner!r}; known: {listing(RESULTS)}")
    module, _, name = RESULTS[runner].partition(":")
    results: Results = getattr(importlib.import_module(module), name)()
    return results
