"""Pipelines from outside: ``pipeline: mylab.models:ridge`` names a factory that can be imported.

    def ridge(kind, seed):
        model = Ridge() if kind == "regression" else RidgeClassifier()
        return model, {"alpha": ("log", 1e-3, 1e3), "fit_intercept": [True, False]}

It is called with ``regression`` or ``binary``, and returns an unfitted scikit-learn estimator and
its space, or None if it cannot learn that kind. A list holds choices; a tuple is a range:
``("uniform", low, high)``, ``("log", low, high)`` or, in whole numbers, ``("int", low, high)``.
"""

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from jobpool.errors import Fault, JobpoolError, listing, nearest
from jobpool.learning.pipelines.apart import apart, user_module
from jobpool.learning.pipelines.base import Candidate, Dimension, Kind, Pipeline, Settings
from jobpool.learning.pipelines.seeds import unseeded
from jobpool.learning.pipelines.sources import code_of
from jobpool.learning.pipelines.unit import in_target_unit

_MOST_EXACT = 2**53  # whole numbers are drawn as floating point numbers
_FORMS = ("uniform", "log", "int")
_METHODS = ("fit", "predict", "get_params", "set_params")
_SHAPE = "return (estimator, space), the space a dict, or None for a kind that it cannot learn"


class PipelineError(JobpoolError):
    """A factory of pipelines cannot be used."""

    fault = Fault.INPUT
    advice = "correct the factory"

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, what)
        self.name, self.what = name, what

    def __str__(self) -> str:
        return f"pipeline {self.name!r}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """Makes estimators as a factory says; goes to other processes by the factory's name."""

    name: str

    @property
    def function(self) -> Callable[[str, int], Any]:
        """Return the factory itself; it goes to other processes by its name.

        Raises
        ------
        PipelineError
            If it cannot be imported.
        """
        return _import(self.name)[1]

    def apart(self, seed: int) -> AbstractContextManager[None]:
        """Return a context for all calls of its code and of its estimators.

        Raises
        ------
        PipelineError
            If it cannot be imported.
        """
        return apart(_import(self.name)[0], seed)

    def __call__(self, kind: Kind, candidate: Candidate, settings: Settings, seed: int) -> Any:  # noqa: ARG002
        """Return the estimator with the parameters of a candidate.

        Raises
        ------
        PipelineError
            If the factory fails, or returns something else.
        """
        made = self.build(kind, seed)
        if made is None:
            raise PipelineError(self.name, f"it learns no {kind} target; leave these targets out")
        return _own(made[0]).set_params(**candidate)

    def build(self, kind: Kind, seed: int) -> tuple[Any, Mapping[str, Any]] | None:
        """Return the estimator and its space as the factory gives them, or None.

        Raises
        ------
        PipelineError
            If the factory fails, or returns something else.
        """
        call = f"called as ({kind.value!r}, {seed})"
        try:
            made = self.function(kind.value, seed % 2**32)  # what scikit-learn takes as a seed
        except Exception as error:  # whatever the user's code raises
            what = f"{call} it raised {type(error).__name__}: {error}; correct the factory"
            raise PipelineError(self.name, what) from error
        if made is None:
            return None
        if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], Mapping)):
            raise PipelineError(self.name, f"{call} it returned {_shown(made)}; {_SHAPE}")
        self._check_estimator(made[0], kind)
        return made

    def _check_estimator(self, estimator: Any, kind: Kind) -> None:
        lacking = [method for method in _METHODS if not hasattr(estimator, method)]
        if lacking or isinstance(estimator, type):
            what = f"{_shown(estimator)} is no scikit-learn estimator; return an unfitted one"
            raise PipelineError(self.name, what)
        ranks = hasattr(estimator, "decision_function") or hasattr(estimator, "predict_proba")
        if kind is Kind.BINARY and not ranks:
            what = (
                f"{_shown(estimator)} has neither decision_function nor predict_proba, which ROC "
                "AUC needs; return a classifier that has one, or None for binary targets"
            )
            raise PipelineError(self.name, what)


def load_pipeline(name: str) -> Pipeline:
    """Return the pipeline that a factory makes; it is called once for each kind of target.

    Parameters
    ----------
    name : str
        ``module:function``.

    Raises
    ------
    PipelineError
        If it cannot be imported, or does not return what a factory returns.
    """
    factory = Factory(name=name)
    spaces: dict[Kind, tuple[Dimension, ...]] = {}
    cautions: list[str] = []
    for kind in Kind:
        with factory.apart(0):
            made, again = factory.build(kind, 0), factory.build(kind, 0)
            if made is not None and again is not None:
                spaces[kind] = _read_space(name, *made)
                cautions += _cautions(name, made, again)
                cautions += _on_unit(name, made[0]) if kind is Kind.REGRESSION else ()
    if not spaces:
        raise PipelineError(name, f"it returned None for every kind of target; {_SHAPE}")
    with factory.apart(0):  # to find a module may import the package that it is in
        code = code_of(name)
    told = tuple(dict.fromkeys(cautions))
    return Pipeline(name=name, spaces=spaces, make=factory, cautions=told, code=code)


Made = tuple[Any, Mapping[str, Any]]  # an estimator and its space


def _cautions(name: str, made: Made, again: Made) -> Iterator[str]:
    """Yield what a user should know of what a factory made twice with the same seed."""
    if seeds := unseeded(*made):
        what = (
            f"draws without a seed ({listing(seeds)} is None); pass on the seed that the factory "
        )
        yield f"{name} {what}is called with, so that any program can repeat its scores"
    first, second = (as_text(one.get_params(deep=True)) for one, _ in (made, again))
    if first != second:
        yield (
            f"{name} makes another estimator each time it is called with the same seed; make it "
            "depend on the seed alone, as each candidate and each process calls it again"
        )


def _on_unit(name: str, estimator: Any) -> Iterator[str]:
    if classes := in_target_unit(estimator):
        yield (
            f"{name} gets the target in its own unit, which decides with {listing(classes)}; wrap "
            "it in TransformedTargetRegressor(..., transformer=StandardScaler())"
        )


def _own(estimator: Any) -> Any:
    """Return a copy: a factory may give the same estimator each time."""
    try:
        return copy.deepcopy(estimator)
    except Exception:  # it holds what cannot be copied, such as an open file
        return estimator


def _import(name: str) -> tuple[ModuleType, Callable[[str, int], Any]]:
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise PipelineError(name, "names no factory; write module:function")
    try:
        module = user_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        what = f"cannot be imported: {error or type(error).__name__}; write module:function, and "
        what += "install it, put it beside the experiment file, or name its folder under path:"
        raise PipelineError(name, what) from error
    if not hasattr(module, attribute):
        what = f"{module_name} has no {attribute}{nearest(attribute, vars(module))}"
        raise PipelineError(name, f"{what}; write a function that it defines")
    function = getattr(module, attribute)
    if not callable(function):
        raise PipelineError(name, f"is no function but {_shown(function)}; write module:function")
    return module, function


def _read_space(name: str, estimator: Any, space: Mapping[str, Any]) -> tuple[Dimension, ...]:
    known = [str(parameter) for parameter in estimator.get_params()]
    for parameter in space:
        if parameter not in known:
            what = f"its estimator has no parameter {parameter!r}{nearest(str(parameter), known)}"
            raise PipelineError(name, f"{what}; write one of: {listing(known)}")
    try:
        return tuple(_read_dimension(parameter, form) for parameter, form in space.items())
    except ValueError as error:
        raise PipelineError(name, str(error)) from error


def _read_dimension(parameter: str, form: Any) -> Dimension:
    """Return a dimension; a `ValueError` says what is wrong with it."""
    if isinstance(form, list) and form:
        strange = [one for one in form if not _is_plain(one)]
        if strange:
            raise ValueError(
                f"{parameter} has the choice {_shown(strange[0])}, which JSON cannot hold; give "
                "numbers, texts, True, False or None"
            )
        return Dimension(name=parameter, choices=tuple(form))
    if not (isinstance(form, tuple) and len(form) == 3 and form[0] in _FORMS):
        raise ValueError(
            f"{parameter} is {_shown(form)}; give a list of choices, or a tuple such as "
            "('uniform', 0, 1), ('log', 1e-3, 1e3) or ('int', 1, 10)"
        )
    shape, low, high = form
    for bound in (low, high):
        if not _is_number(bound) or (shape == "int" and not isinstance(bound, int)):
            needed = "whole numbers" if shape == "int" else "finite numbers"
            raise ValueError(f"{parameter} goes from {low!r} to {high!r}; give {needed}")
    if shape == "int" and max(abs(low), abs(high)) > _MOST_EXACT:
        raise ValueError(f"{parameter} goes from {low!r} to {high!r}; give numbers up to 2**53")
    if not low < high:
        raise ValueError(f"{parameter} goes from {low!r} to {high!r}; give the lower one first")
    if shape == "log" and low <= 0:
        raise ValueError(f"{parameter} starts at {low!r}; a log scale needs more than 0")
    return Dimension(name=parameter, low=low, high=high, log=shape == "log", whole=shape == "int")


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool) or _is_number(value)


def as_text(value: object) -> str:
    """Return a value as text that is the same in every process."""
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _shown(value: object) -> str:
    """Return a value as text, short enough for one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
