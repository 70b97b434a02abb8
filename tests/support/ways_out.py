"""Ways in which the code of a task ends, or leaves its process; `take` takes the named one."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class OddError(BaseException):
    """An exception that is no `Exception`."""


class UntoldError(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


class ExitingError(Exception):
    """An exception whose text ends the program."""

    def __str__(self) -> str:
        raise SystemExit(3)


def raises(error: BaseException) -> Callable[[], object]:
    def way() -> object:
        raise error

    return way


def noted() -> object:
    error = ValueError("site 7 is empty")
    error.add_note("seen in the second pass")
    raise error


def long_error() -> object:
    raise ValueError("x" * 5_000_000)


def exit_with_thread() -> object:
    threading.Thread(target=time.sleep, args=(300,)).start()
    sys.exit("no scans for this site")


def own_descriptors() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2]


def put_file_over_all() -> object:
    """Put a file of the task in the place of each descriptor."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        for number in own_descriptors():
            os.dup2(file.fileno(), number)
    return {"file": file.name}


def write_to_all() -> object:
    for number in own_descriptors():
        try:
            os.write(number, b"a line of a program\n")
        except OSError:
            continue
    return {"ok": 1}


def begin_an_answer() -> object:
    """Write a head that promises more than a whole answer may have."""
    for number in own_descriptors():
        try:
            os.write(number, b"JPch" + (1).to_bytes(4, "big") + (1 << 40).to_bytes(8, "big"))
        except OSError:
            continue
    return {"ok": 1}


def fork_that_returns() -> object:
    os.fork()
    return {"ok": 1}


def fork_that_raises() -> object:
    if os.fork() == 0:
        sys.exit(3)
    return {"code": os.waitstatus_to_exitcode(os.wait()[1])}  # of this task's child, no other's


class ForkingList:
    """What forks when it is looked at."""

    def tolist(self) -> list[int]:
        os.fork()
        return [1]


def nested(depth: int) -> object:
    found: dict[str, Any] = {}
    inner = found
    for _ in range(depth):
        inner["a"] = {}
        inner = inner["a"]
    return found


def circle() -> object:
    found: dict[str, object] = {}
    found["itself"] = found
    return found


def exhaust_descriptors() -> object:
    try:
        while True:
            os.dup(0)
    except OSError:
        return {"ok": 1}


def crash() -> object:
    return ctypes.string_at(0)


def become_another_program() -> object:
    os.execv("/bin/true", ["true"])


def kill_guard() -> object:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    return {}


def ok() -> object:
    return {"ok": 1}


WAYS: Mapping[str, Callable[[], object]] = {
    "exit_text": raises(SystemExit("config of site 7 has no field 'TR'")),
    "exit_zero": raises(SystemExit(0)),
    "exit_with_thread": exit_with_thread,
    "keyboard": raises(KeyboardInterrupt("asked to stop")),
    "odd": raises(OddError("strange")),
    "untold": raises(UntoldError()),
    "exiting": raises(ExitingError()),
    "noted": noted,
    "long_error": long_error,
    "at_once": lambda: os._exit(0),
    "realtime": lambda: os.kill(os.getpid(), 42),
    "crash": crash,
    "another_program": become_another_program,
    "kill_guard": kill_guard,
    "close_all": lambda: os.closerange(3, 70_000),
    "close_standard": lambda: os.closerange(0, 3),
    "file_over_all": put_file_over_all,
    "write_to_all": write_to_all,
    "begin_an_answer": begin_an_answer,
    "fork_returns": fork_that_returns,
    "fork_raises": fork_that_raises,
    "fork_later": lambda: {"list": ForkingList()},
    "deep": lambda: nested(3000),
    "circle": circle,
    "generator": lambda: (i for i in range(3)),
    "in_a_list": lambda: {"folds": [{"parcels": {1, 2}}]},
    "same_keys": lambda: {1: "a", "1": "b"},
    "digits": lambda: {"n": 10**5000},
    "surrogate": lambda: {"name": "caf\udce9"},
    "too_large": lambda: {"text": "x" * 70_000_000},
    "large": lambda: {"text": "x" * 20_000_000},
    "no_descriptor": exhaust_descriptors,
    "reads_input": lambda: input("continue? "),
    "program_reads_input": lambda: subprocess.check_output(["cat"], text=True),
    **{f"ok{number}": ok for number in range(6)},
}


def take(way: str) -> Any:
    found = WAYS[way]()
    return found if isinstance(found, dict) else {"value": found}


def prints(number: int) -> dict[str, object]:
    subprocess.run(["echo", "a line of a program"], check=True)
    return {"value": number}


HOLDS = """
import sys, time
block = b"x" * 150_000_000
print("there", flush=True)
time.sleep(300)
"""


def leave_garbage_once(number: int) -> dict[str, object]:
    """Leave much memory in a circle that only a search finds, if no task did so before."""
    try:
        Path(os.environ["NOTED"]).touch(exist_ok=False)
    except FileExistsError:
        return {"value": number}
    circle: list[object] = [b"x" * 150_000_000]
    circle.append(circle)
    return {"value": number}


def leave_memory_once(number: int) -> dict[str, object]:
    """Leave a process with much memory, if no task did so before."""
    try:
        Path(os.environ["NOTED"]).touch(exist_ok=False)
    except FileExistsError:
        return {"value": number}
    command = [sys.executable, "-c", HOLDS]
    left = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert left.stdout is not None
    left.stdout.readline()
    return {"value": number}


def leaves_its_session(number: int) -> dict[str, object]:
    """Begin a session, as daemons do; write a word when asked to stop."""
    noted = Path(os.environ["NOTED"])

    def stop(number: int, frame: object) -> None:
        noted.write_text("stopped", encoding="utf-8")
        sys.exit(1)

    signal.signal(signal.SIGTERM, stop)
    os.setsid()
    noted.touch()
    time.sleep(300)
    return {}


def own_handler(number: int) -> dict[str, object]:
    """End by an exception when asked to stop; write which process to ask."""

    def stop(number: int, frame: object) -> None:
        raise RuntimeError("interrupted")

    signal.signal(signal.SIGTERM, stop)
    note(os.getpid())
    time.sleep(300)
    return {}


def its_program(number: int) -> dict[str, object]:
    """Wait for a program, which dies of the signal; write which process that is."""
    with subprocess.Popen(["sleep", "300"]) as program:
        note(program.pid)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, "sleep")
    return {}


def note(pid: int) -> None:
    noted = Path(os.environ["NOTED"])
    new = noted.with_suffix(".new")
    new.write_text(str(pid), encoding="ascii")
    new.rename(noted)
