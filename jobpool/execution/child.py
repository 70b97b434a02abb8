"""The process that runs tasks: started by a worker, and killed where needed.

    python -m jobpool.execution.child POOL CORES TRUST ANSWERS

Reads one JSON request a line from standard input, writes one JSON answer a line to the open file
numbered ANSWERS, and ends when its standard input does. TRUST lists the users whose pools may be
run, with commas between them. Its guard, a small process, ensures that neither of them, nor any
process that a task started, outlives the worker.
"""

import json
import math
import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobpool.disk.causes import failure_cause
from jobpool.errors import JobpoolError
from jobpool.execution.processes import guard
from jobpool.task import Json
from jobpool.units import MB

if TYPE_CHECKING:
    from jobpool.runners.base import Runner


def main(arguments: list[str]) -> int:
    """Answer requests until there are no more, and return the exit code."""
    folder, cores, answers = Path(arguments[0]), int(arguments[1]), int(arguments[3])
    trusted = arguments[2].split(",")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # a whole job may receive it: the worker decides
    guard()
    from jobpool.pool import Pool  # heavy: not for the guard
    from jobpool.runners import make_runner
    from jobpool.runners.base import SupportsCheck
    from jobpool.table.settings import check_owner

    with os.fdopen(answers, "w", encoding="utf-8") as stream:
        try:
            # the files may have changed since the worker checked
            check_owner(folder, trusted)
            pool = Pool(folder)
            runner = make_runner(pool.experiment(), folder)
            if isinstance(runner, SupportsCheck):
                runner.check()
        except JobpoolError as error:
            _send(stream, {"error": error.message, "exit_code": error.exit_code})
            return error.exit_code
        _send(stream, {"ready": True, "pid": os.getpid()})
        for line in sys.stdin:
            _send(stream, _answer(runner, folder, cores, json.loads(line)))
    return 0


def _send(stream: Any, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


def _answer(runner: "Runner", pool: Path, cores: int, request: dict[str, Any]) -> dict[str, Any]:
    from jobpool.runners.base import RunContext

    context = RunContext(
        cores=cores,
        memory_mb=request["memory_mb"],
        deadline=request["deadline"],
        cache=pool / "cache",
        checkpoint=pool / "checkpoints" / request.get("checkpoint", request["task"]),
        writer=request.get("writer", ""),
    )
    _reset_peak()
    before = _used()
    try:
        answer: dict[str, Any] = {"result": _finite(runner.run(dict(request["point"]), context))}
        json.dumps(answer)  # a result that JSON cannot hold is the task's error
    except Exception as error:
        line = traceback.format_exception_only(error)[-1].strip()
        answer = {
            "error": line,
            "traceback": "".join(traceback.format_exception(_without_own_frame(error))),
            "cause": failure_cause(error, pool),
            "helper_killed": _helper_killed(error),
        }
    after = _used()
    answer["usage"] = {key: round(after[key] - before[key], 3) for key in after}
    answer["usage"]["peak_memory_mb"] = _peak_mb()
    return answer


def _without_own_frame(error: Exception) -> Exception:
    """Return the error with a traceback that begins where the runner was called."""
    own = error.__traceback__
    return error.with_traceback(own.tb_next if own is not None else None)


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, the one that it was raised from, and so on."""
    for _ in range(20):  # it may have been raised from itself
        if error is not None:
            yield error
            error = error.__cause__


def _helper_killed(error: Exception) -> bool:
    """Say whether a helper process of the task was killed at once, as the kernel does."""
    for reason in _reasons(error):
        if isinstance(reason, BrokenExecutor):  # joblib names the signals, Python's own does not
            signals = set(re.findall(r"SIG[A-Z]+", str(reason)))
            return not signals or "SIGKILL" in signals
    return False


def _finite(value: Any) -> Json:
    """Return what JSON can hold for `value`: a NaN or an infinity becomes null."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    found: Json = value
    return found


def _used() -> dict[str, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    io = _proc_numbers("/proc/self/io")
    return {
        "cpu_s": own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime + _helpers_cpu_s(),
        "read_mb": io.get("rchar", 0) / MB,
        "written_mb": io.get("wchar", 0) / MB,
    }


def _helpers_cpu_s() -> float:
    """Return the CPU time of the processes that this one started and that still live."""
    ticks = 0
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for pid in file.read_text(encoding="ascii").split():
                with suppress(OSError):  # it ended meanwhile, and counts among those that did
                    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
                    fields = stat.rpartition(")")[2].split()
                    ticks += int(fields[11]) + int(fields[12])  # utime and stime, see proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _reset_peak() -> None:
    with suppress(OSError):  # Linux alone can; elsewhere the parent's samples must do
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    return _proc_numbers("/proc/self/status").get("VmHWM", 0) / 1024


def _proc_numbers(path: str) -> dict[str, int]:
    numbers = {}
    with suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            name, _, rest = line.partition(":")
            word = rest.split()[:1]
            if word and word[0].isdigit():
                numbers[name] = int(word[0])
    return numbers


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BrokenPipeError:  # the worker died
        code = 1
    sys.stderr.flush()
    os._exit(code)  # nothing to clean up: do not wait for helper processes
