"""Every error that jobpool raises on purpose, in one tree.

Each says where, what, and what to do next; the command line prints it without a traceback and
ends with exit code 1. All arguments go to the base class, so that an error survives pickling on
its way back from a joblib worker.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known word nearest to `word`, or an empty string.

    Examples
    --------
    >>> nearest("pipelin", ["pipeline", "target"])
    "; did you mean 'pipeline'?"
    >>> nearest("zzz", ["pipeline"])
    ''
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def listing(values: Iterable[object], most: int = 12) -> str:
    """Return values as a readable list, cut after `most`.

    Examples
    --------
    >>> listing(["a", "b", "c"], most=2)
    'a, b, ... (3 in all)'
    """
    words = [str(value) for value in values]
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])}, ... ({len(words)} in all)"


class JobpoolError(Exception):
    """Base of all errors raised on purpose: the user can do something about each."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an experiment file: where, what, and what to do next."""

    file: Path
    key: str  # dotted path of the key, such as ``axes.parcellation``; empty for the whole file
    value: object
    advice: str  # what is wrong and the next step, one sentence or two

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else f"{self.file}"
        shown = "" if self.value is None else f" = {self.value!r}"
        return f"{place}{shown}: {self.advice}"


class ConfigError(JobpoolError):
    """An experiment file cannot be used; holds every problem found, not just the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = [f"  {problem}" for problem in self.problems]
        return "\n".join([f"{len(lines)} problems:", *lines])


class DataError(JobpoolError):
    """A data file does not hold what the experiment says it holds."""

    def __init__(self, file: Path | str, what: str) -> None:
        super().__init__(file, what)
        self.file, self.what = file, what

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


class SelectionError(JobpoolError):
    """A ``--only`` or ``--skip`` names an axis or a value that the pool does not have."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__(text, what)
        self.text, self.what = text, what

    def __str__(self) -> str:
        return f"selection {self.text!r}: {self.what}"


class PoolError(JobpoolError):
    """A pool cannot be opened, made, extended or read."""

    def __init__(self, pool: Path, what: str) -> None:
        super().__init__(pool, what)
        self.pool, self.what = pool, what

    def __str__(self) -> str:
        return f"{self.pool}: {self.what}"


class DamagedStateError(PoolError):
    """A state file does not hold what was last written to it."""

    def __init__(self, pool: Path, file: str, what: str) -> None:
        super().__init__(pool, what)
        self.args = (pool, file, what)
        self.file = file

    def __str__(self) -> str:
        return (
            f"{self.pool / self.file}: {self.what}; "
            f"stop the workers and run: jobpool doctor {self.pool} --repair"
        )


class BrokenLockError(PoolError):
    """Two processes wrote the same state file at once: the lock does not lock here."""

    def __init__(self, pool: Path, file: str, file_system: str) -> None:
        super().__init__(pool, file)
        self.args = (pool, file, file_system)
        self.file, self.file_system = file, file_system

    def __str__(self) -> str:
        return (
            f"{self.pool / self.file} changed while this worker held its lock: locks do not hold "
            f"on this {self.file_system} file system; stop the workers and run: "
            f"jobpool doctor {self.pool} --nodes 2"
        )


class IllegalMoveError(JobpoolError):
    """A task cannot go from one state to another."""

    def __init__(self, task: object, before: str, after: str) -> None:
        super().__init__(task, before, after)
        self.task, self.before, self.after = task, before, after

    def __str__(self) -> str:
        return f"task {self.task} cannot go from {self.before} to {self.after}"


class StorageError(JobpoolError):
    """The shared disk cannot be written: full, over quota, or broken."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return (
            f"{self.file}: cannot write: {self.reason}; free space or quota, then submit workers "
            "again: no task is lost"
        )


class OutOfTimeError(JobpoolError):
    """The job may be killed before something is finished; what was computed is kept."""

    def __init__(self, what: str, n_left: int) -> None:
        super().__init__(what, n_left)
        self.what, self.n_left = what, n_left

    def __str__(self) -> str:
        left = f"no time is left to {self.what} ({self.n_left} pieces of work remain)"
        return f"{left}; start again: what was computed is kept"


class SlurmError(JobpoolError):
    """SLURM did not do what it was asked."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class SlurmMissingError(SlurmError):
    """SLURM's programs are not on this machine."""
