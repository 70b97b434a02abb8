"""Standard output and standard error whose reader has gone."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from jobpool.pool import Pool
from jobpool.task import TaskState
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker


def unread(stream: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run a command whose standard output or error has no reader."""
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writing}
    command = [sys.executable, "-m", "jobpool", *map(str, words)]
    done = subprocess.run(command, text=True, timeout=120, check=False, **streams)  # type: ignore[call-overload]  # a dict of streams
    os.close(writing)
    assert isinstance(done, subprocess.CompletedProcess)
    return done


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("words", [("log",), ("status",), ("errors", "--full"), ("log", "--help")])
def test_what_only_shows_something_ends_well_without_a_reader(
    fast_path: Path, stream: str, words: tuple[str, ...]
) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3)

    done = unread(stream, words[0], worker.pool.folder, *words[1:])

    assert (done.returncode, done.stderr or "") == (0, "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("command", ["work", "run"])
def test_work_goes_on_without_a_reader(fast_path: Path, stream: str, command: str) -> None:
    folder = a_pool(fast_path, 5, call="tests.support.tasks:prints")

    done = unread(stream, command, folder)

    assert done.returncode == 0
    assert Pool(folder).counts()[TaskState.DONE] == 5


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_exit_code_is_the_same_without_a_reader(fast_path: Path, stream: str) -> None:
    assert unread(stream, "status", fast_path / "nowhere").returncode == 1


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.EPIPE, 14, "BrokenPipeError: [Errno 32] Broken pipe"),
        (errno.ESHUTDOWN, 11, "jobpool: the disk: Cannot send after transport endpoint shutdown; "),
    ],
)
def test_a_pipe_that_is_not_its_output_ends_no_command_without_a_word(
    number: int, code: int, said: str
) -> None:
    program = (
        "import sys\nfrom jobpool import cli\nfrom jobpool.cli import status\n"
        "def breaks(pool: str) -> None:\n"
        f"    raise OSError({number}, {os.strerror(number)!r})\n"
        "status.status = breaks\nsys.argv = ['jobpool', 'status', 'pool']\ncli.main()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(said)


def shown_by_a_terminal(*words: object) -> bytes:
    """Return what a command writes to a terminal."""
    terminal, end = os.openpty()
    command = [sys.executable, "-m", "jobpool", *map(str, words)]
    subprocess.run(command, stdin=end, stdout=end, stderr=end, timeout=120, check=False)
    os.close(end)
    found = bytearray()
    with suppress(OSError):  # the end of a terminal is an error
        while data := os.read(terminal, 1 << 16):
            found += data
    os.close(terminal)
    return bytes(found)


@pytest.mark.parametrize("words", [("errors",), ("log",), ("errors", "--full")])
def test_no_text_of_a_task_controls_the_terminal(fast_path: Path, words: tuple[str, ...]) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, error="ValueError: \x1b]52;c;ZXZpbA==\x07\x9b2J\rnothing is wrong")

    shown = shown_by_a_terminal(words[0], worker.pool.folder, *words[1:])

    assert b"nothing is wrong" in shown
    assert b"\\x1b]52" in shown
    assert not {0x1B, 0x07, 0x9B} & set(shown.replace(b"\xe2", b""))


def test_no_name_in_an_error_controls_the_terminal(tmp_path: Path) -> None:
    shown = shown_by_a_terminal("status", tmp_path / "\x1b[2Ja")

    assert b"\\x1b[2Ja" in shown
    assert b"\x1b" not in shown
