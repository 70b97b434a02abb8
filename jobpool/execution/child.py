"""The process that runs tasks: started by a worker, and killed where needed.

    python -m jobpool.execution.child POOL CORES FILES REQUESTS ANSWERS PAGE

Takes one request after the other through the channel whose three open descriptors it is told (see
`jobpool.execution.channel`), sends one answer to each, and ends when there are no more. The
open file numbered FILES has what the worker read and checked of the files that say which code
runs; without a number they are read here, if they are this user's own. Its guard, a small process,
ensures that neither of them, nor any process that a task started, outlives the worker.

Whatever way out the code of a task takes, an exception of any kind or a copy of this process that
runs on, it is an answer about that task, or the end of the copy. What a task leaves behind is put
back, or named in the answer (see `jobpool.execution.leftovers`).
"""

import faulthandler
import json
import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobpool.disk.causes import failure_cause, reasons
from jobpool.errors import Fault, JobpoolError, StartError
from jobpool.execution.answers import error_text, result_text
from jobpool.execution.channel import READY, TaskEnd
from jobpool.execution.leftovers import NOTHING, Kept, ProcessState, end_helpers
from jobpool.execution.processes import guard, kernel_number
from jobpool.task import Cause, Json
from jobpool.units import MB

if TYPE_CHECKING:
    from jobpool.runners.base import Runner

# a program of the task ended by one of the signals that a whole job gets
_SIGNALLED = re.compile(r"\b(SIG(TERM|INT|HUP|USR[12]))\b")
_OWN_FRAMES = 1  # of a traceback: those before the runner was called


def main(arguments: list[str]) -> int:
    """Answer requests until there are no more, and return the exit code."""
    folder, cores = Path(arguments[0]), int(arguments[1])
    handed = arguments[2]
    channel = TaskEnd(*map(int, arguments[3:6]))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # a whole job may receive it: the worker decides
    worker = os.getppid()
    guard()
    own, parent = os.getpid(), os.getppid()
    faulthandler.enable()  # a crash leaves in the log where it was
    try:
        try:
            runner = _runner_of(folder, handed)
        finally:
            _end_copy(own)
        if not channel.is_whole():
            raise StartError("the code of the tasks closes descriptors of its process at its start")
    except BaseException as error:  # whatever the code of the tasks raises when it is imported
        fault = _tell_start(error)
        said = error.message if isinstance(error, JobpoolError) else error_text(error, 0)[0]
        channel.send(READY, _json({"error": said, "exit_code": int(fault)}))
        return int(fault)
    state = ProcessState(own, None if parent == worker else parent)
    tasks = Tasks(runner, folder, cores, state, channel, _kept_by(runner))
    channel.send(READY, _json({"ready": True, "pid": own}))
    while (request := channel.receive()) is not None:
        answer = tasks.answer(request)
        _end_copy(own)  # made by what looks at a result, such as its `tolist`
        channel.send(request["number"], answer)
    return 0


def _runner_of(folder: Path, handed: str) -> "Runner":
    from jobpool.pool import Pool  # heavy: not for the guard
    from jobpool.runners import make_runner
    from jobpool.runners.base import SupportsCheck
    from jobpool.table.code_files import CodeFiles, handed_over

    files = handed_over(folder, int(handed)) if handed else CodeFiles(folder, ())
    pool = Pool(folder, files=files)
    runner = make_runner(pool.experiment(), folder)
    if isinstance(runner, SupportsCheck):
        runner.check()
    return runner


def _tell_start(error: BaseException) -> Fault:
    """Return whose fault it is that no task can be run; its traceback goes to the log."""
    if isinstance(error, JobpoolError):
        return error.fault
    traceback.print_exception(error)
    return Fault.TASK


@dataclass(frozen=True, slots=True)
class Tasks:
    """Runs tasks with one runner, one after the other."""

    runner: "Runner"
    pool: Path
    cores: int
    state: ProcessState
    channel: TaskEnd
    kept: Callable[[], Kept]  # what the runner keeps running

    def answer(self, request: dict[str, Any]) -> bytes:
        """Run a task, and return how it ended, what it used, and what it left, as JSON."""
        kept = self.kept()
        self.state.free_memory()
        _reset_peak()
        before = _used(kept.processes)
        result, error = run_request(self.runner, self.pool, self.cores, request)
        hears_stop = self.state.hears_stop()
        self.state.hush()
        running = self.state.processes()
        after = _used(running)
        usage = {key: round(after[key] - before[key], 3) for key in after}
        usage["peak_memory_mb"] = _peak_mb()
        kept = NOTHING if error is not None else self.kept()
        end_helpers(kept)
        left = [*self.state.left(kept), *self._lost_channel()]
        facts: dict[str, Json] = {"usage": dict(usage), "left": "; ".join(left)}
        if error is not None:
            failure = _failure(error, self.pool)
            told = f"{failure['error']} {failure['traceback']}"
            may_be_stopped = hears_stop or _SIGNALLED.search(told) is not None
            return _json(facts | failure | {"may_be_stopped": may_be_stopped})
        return b'{"result":%s,%s' % (result.encode("ascii"), _json(facts)[1:])

    def _lost_channel(self) -> Iterator[str]:
        if not self.channel.is_whole():
            yield "closed descriptors of its process"


def run_request(
    runner: "Runner", pool: Path, cores: int, request: dict[str, Any]
) -> tuple[str, BaseException | None]:
    """Return the result of a task as JSON, or what was raised: anything may be."""
    from jobpool.runners.base import RunContext

    context = RunContext(
        cores=cores,
        memory_mb=request["memory_mb"],
        deadline=request["deadline"],
        cache=pool / "cache",
        checkpoint=pool / "checkpoints" / request.get("checkpoint", request["task"]),
        writer=request.get("writer", ""),
    )
    own = os.getpid()
    try:
        try:
            found = runner.run(dict(request["point"]), context)
        finally:
            _end_copy(own)
        return result_text(found), None
    except BaseException as error:
        return "", error


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts).encode("ascii")


def _end_copy(own: int) -> None:
    """End this process if it is a copy, made by a fork in the code of a task, that came back."""
    if os.getpid() == own:
        return
    error = sys.exc_info()[1]
    code = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(code & 0xFF)


def _kept_by(runner: "Runner") -> Callable[[], Kept]:
    """Return what says what a runner keeps running, idle, for its next task."""
    from jobpool.runners.base import SupportsHelpers

    if isinstance(runner, SupportsHelpers):
        return lambda: Kept(*runner.helpers())
    return lambda: NOTHING


def _failure(error: BaseException, pool: Path) -> dict[str, Json]:
    """Return what an error means for the task, in words and as a cause."""
    line, whole = error_text(error, _OWN_FRAMES)
    return {
        "error": line,
        "traceback": whole,
        **_meaning(error, pool),
    }


def _meaning(error: BaseException, pool: Path) -> dict[str, Json]:
    try:
        return {"cause": failure_cause(error, pool), "helper_killed": _helper_killed(error)}
    except BaseException:  # the error is made so that its text cannot be had
        return {"cause": Cause.ERROR}


def _helper_killed(error: BaseException) -> bool:
    """Say whether a helper process of the task was killed at once, as the kernel does."""
    for reason in reasons(error):
        if isinstance(reason, BrokenExecutor):  # joblib names the signals, Python's own does not
            signals = set(re.findall(r"SIG[A-Z]+", str(reason)))
            return not signals or "SIGKILL" in signals
    return False


def _used(helpers: Collection[int]) -> dict[str, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime + _cpu_s(helpers),
        "read_mb": kernel_number("/proc/self/io", b"rchar:") / MB,
        "written_mb": kernel_number("/proc/self/io", b"wchar:") / MB,
    }


def _cpu_s(pids: Collection[int]) -> float:
    """Return the CPU time of processes that this one started and that still live."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):  # it ended meanwhile, and counts among those that did
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime, see proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _reset_peak() -> None:
    with suppress(OSError):  # Linux alone can; elsewhere the parent's samples must do
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    return kernel_number("/proc/self/status", b"VmHWM:") / 1024


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BrokenPipeError:  # the worker died
        code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # nothing to clean up: do not wait for helper processes
