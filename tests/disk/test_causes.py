"""Whose failure an error is: the disk's, the memory's, or the task's own."""

import errno
import os
import pickle
import pty
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from jobpool.disk.causes import CREDENTIALS, DISK, NETWORK, cause_in_text, failure_cause, remedy
from jobpool.errors import StorageError
from jobpool.learning.parallel import in_processes
from jobpool.task import Cause

FILE = "/lab/scans/a.npy"
CONNECTIONS = {errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED}


def a_failure(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), *([file] if file else []))


def raised_by(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def fails_at(number: int, file: str | None = None) -> None:
    raise a_failure(number, file)


def says_it_in_own_words(number: int) -> None:
    try:
        fails_at(number)
    except OSError as error:
        raise RuntimeError("could not save") from error


def complain() -> None:
    raise RuntimeError("could not save")


def says_it_while_handling(number: int) -> None:
    try:
        fails_at(number)
    except OSError:
        complain()


class UnsendableError(Exception):
    """An error that no other process can make again."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(one + other)


def fails_unsendably(number: int) -> None:
    try:
        fails_at(number, FILE)
    except OSError as error:
        raise UnsendableError(1, 2) from error


@pytest.mark.parametrize("number", sorted(DISK), ids=lambda number: errno.errorcode[number])
def test_what_only_a_disk_answers_is_the_disks(number: int) -> None:
    assert failure_cause(a_failure(number)) is Cause.STORAGE


@pytest.mark.parametrize("number", sorted(NETWORK), ids=lambda number: errno.errorcode[number])
def test_a_file_on_a_disk_that_went_away_is_the_disks(number: int) -> None:
    assert failure_cause(a_failure(number, FILE)) is Cause.STORAGE


@pytest.mark.parametrize("number", sorted(NETWORK - CONNECTIONS))
def test_an_open_file_on_a_disk_that_went_away_is_the_disks(number: int) -> None:
    assert failure_cause(raised_by(lambda: fails_at(number))) is Cause.STORAGE


def refused() -> None:
    urllib.request.urlopen("http://127.0.0.1:1/")


def refused_without_a_library() -> None:
    with socket.socket() as own:
        own.connect(("127.0.0.1", 1))


def not_connected() -> None:
    with socket.socket() as own:
        own.getpeername()


class Server:
    def __init__(self) -> None:
        self.own = socket.socket()

    def ask(self) -> None:
        with self.own:
            self.own.getpeername()


@pytest.mark.parametrize("call", [refused, refused_without_a_library, not_connected, Server().ask])
def test_a_server_that_the_task_asks_is_the_tasks_own(call: Callable[[], None]) -> None:
    assert failure_cause(raised_by(call)) is Cause.ERROR


@pytest.mark.parametrize(
    ("number", "cause"), [(errno.ENOMEM, Cause.MEMORY), (errno.ENOSPC, Cause.STORAGE)]
)
@pytest.mark.parametrize("fails", [fails_at, says_it_in_own_words, says_it_while_handling])
def test_a_failure_has_its_cause_whatever_the_task_says(
    number: int, cause: Cause, fails: Callable[[int], None]
) -> None:
    assert failure_cause(raised_by(lambda: fails(number))) is cause


def by_futures(fails: Callable[[int], None]) -> None:
    with ProcessPoolExecutor(1) as helpers:
        helpers.submit(fails, errno.ENOSPC).result()


def by_multiprocessing(fails: Callable[[int], None]) -> None:
    with get_context("fork").Pool(1) as helpers:
        helpers.apply(fails, (errno.ENOSPC,))


def by_joblib(fails: Callable[[int], None]) -> None:
    Parallel(n_jobs=2)(delayed(fails)(errno.ENOSPC) for _ in range(2))


def by_jobpool(fails: Callable[[int], None]) -> None:
    list(in_processes(fails, [errno.ENOSPC] * 2, 2))


@pytest.mark.parametrize("fails", [fails_at, says_it_in_own_words])
@pytest.mark.parametrize("calls", [by_futures, by_multiprocessing, by_joblib, by_jobpool])
def test_a_failure_in_a_helper_process_has_the_same_cause(
    calls: Callable[[Callable[[int], None]], None], fails: Callable[[int], None]
) -> None:
    assert failure_cause(raised_by(lambda: calls(fails))) is Cause.STORAGE


@pytest.mark.parametrize("number", [errno.ESHUTDOWN, errno.EIO, errno.EKEYEXPIRED])
def test_a_failure_that_comes_back_as_text_is_still_the_disks(number: int) -> None:
    error = raised_by(lambda: list(in_processes(fails_unsendably, [number] * 2, 2)))

    assert failure_cause(error) is Cause.STORAGE


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("cp: error writing '/lab/a': No space left on device", Cause.STORAGE),
        ("ls: cannot access 'a': Stale file handle", Cause.STORAGE),
        ("unable to create file (name = 'a', errno = 122, error message = 'x')", Cause.STORAGE),
        ("sqlite3.OperationalError: disk I/O error", Cause.STORAGE),
        ("the task process was terminated by signal SIGBUS", Cause.STORAGE),
        ("terminate called after throwing an instance of 'std::bad_alloc'", Cause.MEMORY),
        ("fork: Cannot allocate memory", Cause.MEMORY),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=5.0. "
            "Some of the step tasks have been OOM Killed.",
            Cause.MEMORY,
        ),
        ("OSError: [Errno 110] Connection timed out", None),
        ("OSError: [Errno 110] Connection timed out: '/lab/a'", Cause.STORAGE),
        ("CUDA out of memory. Tried to allocate 2 GiB", None),
        ("ValueError: no luck", None),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
            '    raise ValueError(fix("No space left on device"))\nValueError: no luck',
            None,
        ),
    ],
)
def test_a_text_tells_its_cause(text: str, cause: Cause | None) -> None:
    assert cause_in_text(text) is cause


def test_what_a_program_says_of_the_disk_counts() -> None:
    command = ["cp", "/proc/self/status", "/dev/full"]

    error = raised_by(lambda: subprocess.run(command, check=True, capture_output=True))

    assert failure_cause(error) is Cause.STORAGE


def test_a_group_of_errors_is_looked_into() -> None:
    group = ExceptionGroup("two", [ValueError("no"), a_failure(errno.EDQUOT)])

    assert failure_cause(group) is Cause.STORAGE


def test_what_a_task_handled_and_cast_off_is_its_own_error() -> None:
    error = ValueError("no luck")
    error.__context__, error.__suppress_context__ = a_failure(errno.EIO), True

    assert failure_cause(error) is Cause.ERROR


def test_an_error_that_came_from_itself_is_read_to_its_end() -> None:
    error = ValueError("no luck")
    other = RuntimeError("again")
    error.__cause__, other.__cause__ = other, error

    assert failure_cause(error) is Cause.ERROR


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.ECONNREFUSED])
def test_a_refusal_is_the_disks_where_the_pool_cannot_be_read_either(
    tmp_path: Path, number: int
) -> None:
    whole, gone = tmp_path / "whole", tmp_path / "gone"
    whole.mkdir()
    (whole / "pool.json").touch()

    error = OSError(number, os.strerror(number), None if number in CONNECTIONS else FILE)

    assert failure_cause(error, whole) is Cause.ERROR
    assert failure_cause(error, gone) is Cause.STORAGE


@pytest.mark.parametrize("number", sorted(CREDENTIALS))
def test_an_expired_ticket_is_to_be_renewed(number: int) -> None:
    error = StorageError(Path("a"), os.strerror(number), remedy(number))

    again = pickle.loads(pickle.dumps(error))

    assert "renew your credentials (kinit, where" in str(again)
    assert str(again) == str(error)


PRINTS = """
import os, pathlib, signal, subprocess, sys
from jobpool.disk.causes import failure_cause
pool = pathlib.Path(sys.argv[1])
def once():
    try:
        exec(sys.argv[2])
    except BaseException as error:
        return str(failure_cause(error, pool))
    return "nothing"
sys.stdin.readline()
found = [once(), once()]
(pool / "found").write_text(" ".join(found))
os._exit(0)
"""


@pytest.mark.parametrize(
    "prints",
    [
        "print('x', flush=True)",
        "subprocess.run(['cat', '/proc/self/status'], check=True)",
    ],
)
@pytest.mark.parametrize("make", [os.pipe, pty.openpty], ids=["pipe", "terminal"])
def test_a_log_that_nobody_reads_any_more_fails_no_task_twice(
    tmp_path: Path, prints: str, make: Callable[[], tuple[int, int]]
) -> None:
    (tmp_path / "pool.json").touch()
    reading, writing = make()
    command = [sys.executable, "-c", PRINTS, str(tmp_path), prints]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.DEVNULL
    )
    os.close(writing)
    os.close(reading)

    child.communicate(b"\n", timeout=30)

    assert (tmp_path / "found").read_text() in {"storage nothing", "nothing nothing"}


def test_a_pipe_of_the_tasks_own_is_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "pool.json").touch()
    reading, writing = os.pipe()
    os.close(reading)

    error = raised_by(lambda: os.write(writing, b"x"))
    os.close(writing)

    assert failure_cause(error, tmp_path) is Cause.ERROR


def test_a_program_that_a_closed_pipe_ended_is_the_tasks_own_error(tmp_path: Path) -> None:
    error = subprocess.CalledProcessError(-signal.SIGPIPE, ["yes"])

    assert failure_cause(error) is Cause.ERROR


def test_an_error_that_cannot_be_printed_is_the_tasks_own() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    assert failure_cause(SilentError()) is Cause.ERROR
