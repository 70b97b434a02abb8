"""Settings of a process that any code may change: those of own pipelines, apart from jobpool's.

    scikit-learn    what `sklearn.set_config` sets
    numpy, scipy    how floating-point errors are treated
    warnings        the filters
    environment     variables, the current folder and the locale
    random          the global generators of Python and NumPy

A module of the user's that sets one of these means its own estimators. What it sets while it is
imported is kept with the module and holds in each of its calls; what a call sets ends with it, so
that neither jobpool nor another candidate sees it. Nothing is kept on disk.
"""

import importlib
import locale
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import sklearn
from scipy import special
from sklearn.utils import check_random_state

_KEPT = "__jobpool_settings__"  # in a module of the user's: what it set while it was imported
_GLOBAL_NUMPY = check_random_state(None)  # the generator behind the functions of `numpy.random`


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return None


def _enter(folder: Path | None) -> None:
    with suppress(OSError):  # it was removed
        if folder is not None:
            os.chdir(folder)


def _filter_warnings(filters: list[Any]) -> None:
    warnings.resetwarnings()  # makes Python forget what it showed by the other ones
    warnings.filters[:] = filters  # type: ignore[index] # a list, by its documentation


def _set_environment(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


# how each is read, and set
_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "scikit-learn": (sklearn.get_config, lambda one: sklearn.set_config(**one)),
    "numpy": (np.geterr, lambda one: np.seterr(**one)),
    "numpy's own call": (np.geterrcall, np.seterrcall),
    "scipy": (special.geterr, lambda one: special.seterr(**one)),
    "warnings": (lambda: list(warnings.filters), _filter_warnings),
    "environment": (lambda: dict(os.environ), _set_environment),
    "folder": (_folder, _enter),
    "locale": (
        lambda: locale.setlocale(locale.LC_ALL),
        lambda one: locale.setlocale(locale.LC_ALL, one),
    ),
}


# what a number of jobpool could depend on
_DEFAULTS: Mapping[str, Any] = {
    "scikit-learn": {
        "assume_finite": False,
        "transform_output": "default",
        "array_api_dispatch": False,
        "enable_metadata_routing": False,
        "skip_parameter_validation": False,
    },
    "numpy": {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    "scipy": {name: "raise" if name == "memory" else "ignore" for name in special.geterr()},
}


def _now() -> dict[str, Any]:
    return {name: read() for name, (read, _) in _SETTINGS.items()}


def _hold(wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        read, write = _SETTINGS[name]
        if read() != value:
            write(value)


@contextmanager
def apart(module: ModuleType | None = None, seed: int = 0) -> Iterator[None]:
    """Run code of the user's under its own settings, and leave those of jobpool as they were.

    Parameters
    ----------
    module : module, optional
        From `user_module`: what it set holds again.
    seed : int
        Of the global generators: code that draws from them draws the same in every process.

    Examples
    --------
    >>> with apart():
    ...     before = np.seterr(all="raise")
    >>> np.geterr() == before
    True
    """
    ours = _now()
    states = random.getstate(), _GLOBAL_NUMPY.get_state()
    try:
        _hold({} if module is None else vars(module).get(_KEPT, {}))
        random.seed(seed)
        _GLOBAL_NUMPY.seed(seed % 2**32)
        yield
    finally:
        _hold(ours)
        random.setstate(states[0])
        _GLOBAL_NUMPY.set_state(states[1])


@contextmanager
def jobpools_settings() -> Iterator[None]:
    """Compute under the settings that libraries have by default, whatever the process has set."""
    before = _now()
    try:
        _hold(_DEFAULTS)
        yield
    finally:
        _hold(before)


def user_module(name: str) -> ModuleType:
    """Import a module of the user's; what it sets is kept with it.

    It starts from what the package around it has set.
    """
    known = sys.modules.get(name)
    if known is not None and hasattr(known, _KEPT):
        return known
    package, _, _ = name.rpartition(".")
    around = user_module(package) if package else None
    ours = _now()
    with apart(around):
        module = importlib.import_module(name)
        found = _now()
    changed = {one: value for one, value in found.items() if value != ours[one]}
    setattr(module, _KEPT, changed)
    return module
