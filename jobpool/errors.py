"""Every error that jobpool raises on purpose, in one tree, by whose fault it is.

A message reads ``where: what is wrong; what to do next``. The command line prints it without a
traceback and ends with the exit code of the fault; a bug alone keeps its traceback. All arguments
go to the base class, so that an error survives pickling on its way back from a joblib worker.

An error that means something in one room only stands there, beside the code that raises it:

    cache      FilesChangedError
    checks     ProbeError, SilentPartnerError
    execution  ResultError, SurroundingsGoneError, UnreadableError
    learning   AnswerError, HelperError, HelperKilledError, NoCandidateError, NothingComparedError,
               PipelineError, TooFewError, TooFewGroupsError, TooFewTogetherError
    runners    MemberError
    scheduler  NoRoomError
"""

import difflib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class Fault(IntEnum):
    """Whose fault an error is, and the exit code that says so (2 is wrong usage: Click's)."""

    INPUT = 1  # what the user wrote or asked for
    POOL = 10  # the pool's files: damaged, missing, of a newer format, not to be trusted
    FILE_SYSTEM = 11  # full, not writable, or without locks that hold
    SCHEDULER = 12  # absent, silent, or it refused
    TASK = 13  # the computation: it cannot be done, was killed, or has no time left
    BUG = 14  # jobpool itself


def as_typed(*words: object) -> str:
    """Return a command as a person types it: each word quoted where a shell would change it.

    Examples
    --------
    >>> as_typed("jobpool", "status", "my pool")
    "jobpool status 'my pool'"
    """
    return shlex.join(map(str, words))


def quoted(word: object) -> str:
    """Return a word of a command as a person types it: in quotes where a shell would change it.

    Examples
    --------
    >>> print(f"jobpool status {quoted('my pool')}")
    jobpool status 'my pool'
    """
    return shlex.quote(str(word))


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
    """Base of all errors raised on purpose; each class names its fault and the usual next step."""

    fault: Fault
    advice: ClassVar[str]  # the next step where a message names none of its own

    @property
    def exit_code(self) -> int:
        """Return the exit code of a command that ends with this error."""
        return int(self.fault)

    @property
    def next_step(self) -> str:
        """Return what to do next: the last clause of the message, or the usual advice.

        A message that ends in the words of another program needs a next step behind them.
        """
        _, found, own = str(self).rpartition("; ")
        return own if found else self.advice

    @property
    def message(self) -> str:
        """Return where, what, and what to do next."""
        said = str(self)
        return said if self.next_step in said else f"{said}; {self.next_step}"


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

    fault = Fault.INPUT
    advice = "correct the experiment file"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = [f"  {problem}" for problem in self.problems]
        return "\n".join([f"{len(lines)} problems:", *lines])

    @property
    def next_step(self) -> str:
        """Return what to do next; each of several problems says it for itself."""
        return self.advice if len(self.problems) > 1 else super().next_step

    @property
    def message(self) -> str:
        """Return all problems, each with what to do next."""
        return str(self)


class PlacedError(JobpoolError):
    """An error of a file, a folder or a place in one: where, and what is wrong there."""

    def __init__(self, place: Path | str, what: str) -> None:
        super().__init__(place, what)
        self.place, self.what = place, what

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class DataError(PlacedError):
    """A data file does not hold what the experiment says it holds."""

    fault = Fault.INPUT
    advice = "correct the file, or what the experiment says of it"


class SelectionError(JobpoolError):
    """A ``--only`` or ``--skip`` names an axis or a value that the pool does not have."""

    fault = Fault.INPUT
    advice = "name an axis and values that the pool has"

    def __init__(self, text: str, what: str) -> None:
        super().__init__(text, what)
        self.text, self.what = text, what

    def __str__(self) -> str:
        return f"selection {self.text!r}: {self.what}"


class RequestError(PlacedError):
    """A request for something that does not exist, or that cannot be done."""

    fault = Fault.INPUT
    advice = "ask for something that exists"


class PoolError(PlacedError):
    """Files of a pool are damaged, missing, of a newer format, or not to be trusted."""

    fault = Fault.POOL
    advice = "see what is wrong with: jobpool doctor POOL"


class PoolGoneError(PoolError):
    """The pool's folder is not there any more, while a process works on it."""

    advice = "start workers where it is now: what ran here runs there again"

    def __init__(self, pool: Path) -> None:
        what = "is not there any more: it was moved or deleted"
        super().__init__(pool, f"{what}; {self.advice}")
        self.args = (pool,)


class DamagedStateError(PoolError):
    """A state file does not hold what was last written to it."""

    def __init__(self, pool: Path, file: str, what: str) -> None:
        super().__init__(pool, what)
        self.args = (pool, file, what)
        self.pool, self.file = pool, file

    def __str__(self) -> str:
        return (
            f"{self.pool / self.file}: {self.what}; "
            f"stop the workers and run: jobpool doctor {quoted(self.pool)} --repair"
        )


class AccessError(PlacedError):
    """A place cannot be read, written or made by this user."""

    fault = Fault.FILE_SYSTEM
    advice = "ask its owner, or choose a place where you may write"


class BrokenLockError(JobpoolError):
    """Two processes wrote the same state file at once: the lock does not lock here."""

    fault = Fault.FILE_SYSTEM
    advice = "stop the workers and run: jobpool doctor POOL --nodes 2"

    def __init__(self, pool: Path, file: str, file_system: str) -> None:
        super().__init__(pool, file, file_system)
        self.pool, self.file, self.file_system = pool, file, file_system

    def __str__(self) -> str:
        return (
            f"{self.pool / self.file} changed while this worker held its lock: locks do not hold "
            f"on this {self.file_system} file system; stop the workers and run: "
            f"jobpool doctor {quoted(self.pool)} --nodes 2"
        )


class StorageError(JobpoolError):
    """The shared disk cannot be used: full, over quota, broken, away, or without credentials."""

    fault = Fault.FILE_SYSTEM
    advice = "free space or quota, then submit workers again: no task is lost"

    def __init__(self, file: Path, reason: str, remedy: str = "free space or quota") -> None:
        super().__init__(file, reason, remedy)
        self.file, self.reason, self.remedy = file, reason, remedy

    def __str__(self) -> str:
        then = "then submit workers again: no task is lost"
        return f"{self.file}: cannot write: {self.reason}; {self.remedy}, {then}"


class SchedulerError(JobpoolError):
    """The scheduler did not do what it was asked to do."""

    fault = Fault.SCHEDULER
    advice = "try again when it answers"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class SchedulerMissingError(SchedulerError):
    """The programs of the scheduler are not on this machine."""


class StartError(JobpoolError):
    """The child that runs the tasks could not start: no task was touched."""

    fault = Fault.TASK
    advice = "read the worker's log"

    def __init__(self, what: str, fault: Fault = Fault.TASK) -> None:
        super().__init__(what, fault)
        self.what, self.fault = what, fault  # the fault of what ended the child

    def __str__(self) -> str:
        return self.what


class OutOfTimeError(JobpoolError):
    """The job may be killed before something is finished; what was computed is kept."""

    fault = Fault.TASK
    advice = "start again: what was computed is kept"

    def __init__(self, what: str, n_left: int) -> None:
        super().__init__(what, n_left)
        self.what, self.n_left = what, n_left

    def __str__(self) -> str:
        left = f"no time is left to {self.what} ({self.n_left} pieces of work remain)"
        return f"{left}; {self.advice}"


class IllegalTransitionError(JobpoolError):
    """A task cannot go from one state to another."""

    fault = Fault.BUG
    advice = "report this with the traceback"

    def __init__(self, task: object, before: str, after: str) -> None:
        super().__init__(task, before, after)
        self.task, self.before, self.after = task, before, after

    def __str__(self) -> str:
        return f"task {self.task} cannot go from {self.before} to {self.after}"
