"""Where the code of tasks is, and what variables they see: `path` and `environment`.

    path: [lib, /data/shared/code]    # searched for modules before all that is installed
    environment: {LAB_MODE: fast}     # variables of the task process and of all that it starts

The folder of the experiment file is searched by itself, behind all that is installed: a file there
that is called like an installed module never takes its place. A folder that every user of the
machine may write to, such as ``/tmp``, is not: its files are anyone's. What is read here is kept in
``pool.json``, where a worker finds it before it starts the process of its tasks.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from jobpool.experiment.reader import Reader

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_path(reader: Reader, folder: Path, *, must_exist: bool) -> tuple[str, ...]:
    """Return the places under `path`, absolute; a relative one starts at `folder`.

    Parameters
    ----------
    reader : Reader
        Of the whole file.
    folder : Path
        Where relative paths start.
    must_exist : bool
        Whether a missing place is a problem: a pool that only is read needs none of them.
    """
    found = []
    for text in reader.texts("path"):
        try:
            place = folder / Path(text).expanduser()
        except RuntimeError:
            reader.problem("path", text, "there is no such user; write the whole path")
            continue
        if must_exist and not place.exists():
            reader.problem("path", text, f"no such folder: {place}; correct it, or leave it out")
        if os.pathsep in text:
            advice = f"holds {os.pathsep!r}, which PYTHONPATH divides at; write a list of folders"
            reader.problem("path", text, advice)
        found.append(str(place))
    return tuple(found)


def read_environment(reader: Reader) -> tuple[str, ...]:
    """Return the variables under `environment`, each as ``NAME=value``."""
    found = []
    inner = reader.child("environment")
    for name in inner.names():
        value = inner.raw(name)
        if isinstance(value, bool) or not isinstance(value, str | int):
            inner.problem(name, value, "must be text or a whole number; put quotes around it")
        elif not _NAME.fullmatch(name):
            advice = "is no name of a variable; write letters, digits and _, a letter first"
            inner.problem(name, value, advice)
        elif "\0" in str(value):
            inner.problem(name, value, "holds a NUL character, which no variable can hold")
        else:
            found.append(f"{name}={value}")
    return tuple(found)


def task_environment(
    path: Sequence[str], environment: Sequence[str], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a process that runs tasks.

    Parameters
    ----------
    path, environment : sequence of str
        As a pool keeps them.
    given : mapping
        What the process would have without: ``$NAME`` in a value stands for a variable of it.

    Examples
    --------
    >>> task_environment(["/lib"], ["A=$B/x"], {"B": "b", "PYTHONPATH": "/own"})
    {'B': 'b', 'PYTHONPATH': '/lib:/own', 'A': 'b/x'}
    """
    own = dict(text.split("=", 1) for text in environment)
    found = {**given, **{name: _filled(value, given) for name, value in own.items()}}
    if path:
        places = [*path, *filter(None, [found.get("PYTHONPATH")])]
        found["PYTHONPATH"] = os.pathsep.join(places)
    return found


def _filled(value: str, given: Mapping[str, str]) -> str:
    """Return a value in which ``$NAME`` and ``${NAME}`` stand for variables that are given."""

    def variable(found: re.Match[str]) -> str:
        return given.get(found[1] or found[2], found[0])

    return re.sub(rf"\$(?:({_NAME.pattern})|\{{({_NAME.pattern})\}})", variable, value)


def search_own_code(folder: Path, path: Sequence[str], places: list[str] = sys.path) -> None:
    """Let this process import from `path` first, and from the experiment's folder last.

    Examples
    --------
    >>> places = ["/python"]
    >>> search_own_code(Path("/usr"), ["/lib"], places)
    >>> places
    ['/lib', '/python', '/usr']
    """
    places[:0] = [place for place in path if place not in places]
    if str(folder) not in places and not _is_open_to_all(folder):
        places.append(str(folder))


def _is_open_to_all(folder: Path) -> bool:
    with suppress(OSError):  # a folder that is gone has no modules
        return bool(folder.stat().st_mode & stat.S_IWOTH)
    return False


@contextmanager
def variables_set(
    environment: Sequence[str], variables: MutableMapping[str, str] = os.environ
) -> Iterator[None]:
    """Set variables of this process for as long as the experiment's code is tried."""
    before = dict(variables)
    variables.update(task_environment((), environment, before))
    try:
        yield
    finally:
        for text in environment:
            name = text.partition("=")[0]
            variables.pop(name, None)
            if name in before:
                variables[name] = before[name]
