"""Work spread over the cores of a job by joblib; with one core, no process is started.

Large arrays are memory-mapped by the processes, from a node-local folder (joblib takes /dev/shm
where it has room). Each process has single-threaded linear algebra. The processes end with the one
that started them, also when that is killed; idle, they would otherwise stay for five minutes.
"""

import ctypes
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from jobpool.errors import Fault, JobpoolError

_PR_SET_PDEATHSIG = 1
_REUSABLE = "joblib.externals.loky.reusable_executor"
_THREADS = ("_executor_manager_thread", "_thread")  # that hands out work, and that sends it
Unit = TypeVar("Unit")
Result = TypeVar("Result")


class HelperKilledError(JobpoolError):
    """A helper process of a task was killed: by the kernel for memory, or by a person."""

    fault = Fault.TASK
    advice = "if it needed more memory than the job has, run it with fewer cores or more memory"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"a helper process of the task was killed ({self.what}); {self.advice}"


class HelperError(JobpoolError):
    """An error in a helper process that cannot be sent as it is: its text."""

    fault = Fault.TASK
    advice = "correct what its traceback names"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text.strip().splitlines()[-1] + "\n\nIn a helper process:\n" + self.text


def in_processes(
    work: Callable[[Unit], Result], units: Sequence[Unit], cores: int
) -> Iterator[tuple[int, Result]]:
    """Yield the position and the result of each unit as it is done, in any order.

    Parameters
    ----------
    work : callable
        A function of a module: it is called in other processes if there are several cores.
    units : sequence
        What it is called with.
    cores : int
        With one, everything happens here, in order.

    Raises
    ------
    HelperKilledError
        If a process was killed while it worked.
    """
    if cores == 1 or len(units) == 1:
        for position, unit in enumerate(units):
            yield position, work(unit)
        return
    try:
        with parallel_config(
            backend="loky",
            n_jobs=cores,
            inner_max_num_threads=1,
            initializer=_end_with_parent,
            initargs=(os.getpid(),),
        ):
            parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
            numbered = partial(_numbered, work)
            yield from parallel(delayed(numbered)(*pair) for pair in enumerate(units))
    except TerminatedWorkerError as error:
        raise HelperKilledError(str(error).partition("{")[2].partition("}")[0]) from error


def idle_helpers() -> tuple[set[int], set[int]]:
    """Return the processes that wait here for more work, and the threads that belong to them."""
    executor: Any = getattr(sys.modules.get(_REUSABLE), "_executor", None)
    owners = (executor, getattr(executor, "_call_queue", None))
    threads = [getattr(owner, name, None) for owner, name in zip(owners, _THREADS, strict=True)]
    processes = getattr(executor, "_processes", None) or {}
    return set(processes), {thread.ident for thread in threads if thread and thread.ident}


def in_threads(work: Callable[[Unit], Result], units: Sequence[Unit], cores: int) -> list[Result]:
    """Return the result of each unit, computed by threads: for NumPy, which lets go of the lock."""
    if cores == 1 or len(units) < 2:
        return [work(unit) for unit in units]
    threads = Parallel(n_jobs=min(cores, len(units)), backend="threading")
    found: list[Result] = threads(delayed(work)(unit) for unit in units)
    return found


def _numbered(work: Callable[[Any], Any], position: int, unit: Any) -> tuple[int, Any]:
    try:
        return position, work(unit)
    except Exception as error:
        if _survives(error):
            raise
        raise HelperError("".join(traceback.format_exception(error))) from None


def _survives(error: Exception) -> bool:
    """Say whether an error can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died meanwhile
        os._exit(1)
