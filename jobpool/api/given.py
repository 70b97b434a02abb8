"""What a caller passes as Python values: selections, experiments, times; the umask is kept."""

import datetime
import inspect
import math
import operator
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import yaml

from jobpool.disk.causes import access_error
from jobpool.errors import ConfigError, Problem, RequestError, SelectionError
from jobpool.experiment.scalars import Dumper
from jobpool.task import Value
from jobpool.units import parse_duration

Given = ParamSpec("Given")
Returned = TypeVar("Returned")
Selection = str | Sequence[str] | Mapping[str, Value | Sequence[Value]] | None

_OPERATORS = (">=", "<=", "!=", ">", "<")
_SHOWN = Path("config")  # stands for the file in messages about a dict
# of these types, not of one derived from them: YAML holds no member of an enumeration
_SCALARS = (bool, int, float, str, datetime.date, datetime.datetime)


def conditions(given: Selection) -> tuple[str, ...]:
    """Return a selection as the texts that ``--only`` and ``--skip`` take.

    Parameters
    ----------
    given : str, sequence of str, mapping or None
        One condition, several, or values by axis; None for no condition.

    Raises
    ------
    SelectionError
        If it is none of these, or has a value that no axis can have.

    Examples
    --------
    >>> conditions("pipeline=svm"), conditions(["pipeline=svm", "fold!=0"])
    (('pipeline=svm',), ('pipeline=svm', 'fold!=0'))
    >>> conditions({"pipeline": ["svm", "lgbm"], "fold": 0, "parcels": ">=400"})
    ('pipeline=svm,lgbm', 'fold=0', 'parcels>=400')
    """
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Mapping):
        return tuple(_condition(str(name), value) for name, value in given.items())
    texts = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in texts:
        if not isinstance(one, str):
            raise SelectionError(str(one), "is not text; write NAME=VALUE, or a dict of values")
    return texts


def _condition(name: str, value: Value | Sequence[Value]) -> str:
    if isinstance(value, str) and value.startswith(_OPERATORS):
        return f"{name}{value}"
    plain = _plain_numbers(value)
    is_one = isinstance(plain, str) or not isinstance(plain, Iterable)
    values = [plain] if is_one else list(map(_plain_numbers, plain))
    if not values:
        raise SelectionError(f"{name}=", "no value is given; leave the name out to select all")
    for one in values:
        if not isinstance(one, str | int | float):
            raise SelectionError(f"{name}={one}", f"{one!r} is no value that an axis can have")
    return f"{name}={','.join(map(str, values))}"


def task_ids(given: Sequence[object]) -> tuple[str, ...]:
    """Return the ids of tasks, or how they begin.

    Raises
    ------
    RequestError
        If one is no text.
    """
    for one in given:
        if not isinstance(one, str):
            what = f"{type(one).__name__} is no id; give ids one after the other, such as task.id"
            raise RequestError("task", what)
    return tuple(map(str, given))


def _plain_numbers(value: Any) -> Any:
    """Return Python's own numbers and lists for those of NumPy and pandas."""
    return value.tolist() if hasattr(value, "tolist") else value


@contextmanager
def config_file(config: str | Path | Mapping[str, Any], name: str) -> Iterator[tuple[Path, Path]]:
    """Yield the file of an experiment, and the folder where its relative paths start.

    Parameters
    ----------
    config : str, Path or mapping
        A file, or what would stand in it; a mapping is written to a file that goes away again.
    name : str
        What an experiment in a mapping is called if it does not say.

    Raises
    ------
    ConfigError
        If the mapping holds what no file can; and for all problems found inside the ``with``
        block, which name the mapping instead of the file.
    """
    if not isinstance(config, Mapping):
        yield Path(config), Path(config).parent
        return
    text = yaml_text({"name": name, **config})
    with tempfile.TemporaryDirectory(prefix="jobpool-") as folder:
        file = Path(folder) / "experiment.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            yield file, Path.cwd()
        except ConfigError as error:
            shown = (replace(one, file=_SHOWN) for one in error.problems if one.file == file)
            others = (one for one in error.problems if one.file != file)
            raise ConfigError((*shown, *others)) from None


def yaml_text(config: Mapping[str, Any]) -> str:
    """Return a mapping as the text of an experiment file.

    Tuples, ranges, arrays and paths become what YAML has for them, and a function its
    ``module:name``.

    Raises
    ------
    ConfigError
        With every value that has no such form.

    Examples
    --------
    >>> print(yaml_text({"axes": {"seed": range(3)}, "function": {"call": inspect.cleandoc}}))
    axes:
      seed: [0, 1, 2]
    function: {call: 'inspect:cleandoc'}
    <BLANKLINE>
    """
    problems: list[Problem] = []
    plain = _plain(config, "", problems)
    if problems:
        raise ConfigError(tuple(problems))
    return yaml.dump(
        plain,
        Dumper=Dumper,
        sort_keys=False,
        default_flow_style=None,
        allow_unicode=True,
        width=100,
    )


def _plain(value: Any, key: str, problems: list[Problem]) -> Any:
    value = _plain_numbers(value)
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{key}.{k}".strip("."), problems) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(one, f"{key}.{i}".strip("."), problems) for i, one in enumerate(value)]
    if inspect.isroutine(value) and value.__module__ != "__main__":
        return f"{value.__module__}:{value.__qualname__}"
    advice = "must be text, a number, a list or a mapping"
    if inspect.isroutine(value):
        advice = "is defined in a notebook or script, where workers cannot import it; "
        advice += "put it into a module beside it"
    problems.append(Problem(_SHOWN, key, value, advice))
    return None


def seconds(given: str | float) -> float:
    """Return a length of time in seconds.

    Raises
    ------
    RequestError
        If it is none: negative, or not finite.

    Examples
    --------
    >>> seconds("1h30m"), seconds(2)
    (5400.0, 2.0)
    """
    try:
        found = parse_duration(given) if isinstance(given, str) else float(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError("wait", str(error)) from error
    if not 0 <= found < math.inf:  # NaN is neither
        raise RequestError("wait", f"{given!r} is not a length of time; write seconds, or 90s")
    return found


def at_least_one(name: str, given: int) -> int:
    """Return how many workers, cores or jobs are asked for.

    Raises
    ------
    RequestError
        If it is no whole number, or less than one.

    Examples
    --------
    >>> at_least_one("workers", 2)
    2
    """
    try:
        number = operator.index(given)
    except TypeError:
        number = 0
    if number < 1:
        raise RequestError(f"{name}={given!r}", "must be a whole number of at least 1")
    return number


@contextmanager
def umask_kept() -> Iterator[None]:
    """Give this process its umask back at the end: the caller makes files of its own."""
    before = os.umask(0o077)
    os.umask(before)
    try:
        yield
    finally:
        os.umask(before)


def own_errors(call: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Return `call` with jobpool's own error for a place that may not be read or written."""

    @wraps(call)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            found = access_error(error)
            if found is error:
                raise
            raise found from error

    return called
