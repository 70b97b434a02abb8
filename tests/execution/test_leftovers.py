"""What a task leaves in its process is put back as it was, or named."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobpool.execution.processes import living_children
from jobpool.journal.attempts import all_attempts
from tests.support.builders import a_pool

AROUND = """
import io, json, os, resource, signal, subprocess, sys, threading, time, _thread
from jobpool.execution.leftovers import NOTHING, ProcessState, end_helpers
def looks():
    umask = os.umask(0)
    os.umask(umask)
    return [os.getcwd(), umask, str(signal.getsignal(signal.SIGTERM)), signal.alarm(0),
            len(signal.pthread_sigmask(signal.SIG_BLOCK, ())), sys.getrecursionlimit(),
            resource.getrlimit(resource.RLIMIT_NOFILE), sorted(os.sched_getaffinity(0)),
            sys.stdout is sys.__stdout__]
state = ProcessState(os.getpid(), None)
before = looks()
{code}
state.hush()
end_helpers(NOTHING)
left = list(state.left())
print(json.dumps([left, looks() == before]))
sys.stdout.flush()
os._exit(0)
"""


def wait_for(file: Path) -> None:
    """Wait until a task wrote a file."""
    end = time.monotonic() + 30
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)


def left_by(code: str, folder: Path) -> tuple[list[str], bool]:
    """Return what some code leaves, and whether the process then looks as before."""
    done = subprocess.run(
        [sys.executable, "-c", AROUND.format(code=code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    left, is_same = json.loads(done.stdout.splitlines()[-1])
    return left, is_same


@pytest.mark.parametrize(
    "code",
    [
        "os.chdir('/')",
        "os.umask(0o000)",
        "signal.signal(signal.SIGTERM, lambda *_: None)",
        "signal.alarm(60)",
        "signal.setitimer(signal.ITIMER_REAL, 60, 60)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
        "sys.setrecursionlimit(10**6)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(7)[1]))",
        "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})",
        "sys.stdout = io.StringIO()",
    ],
)
def test_a_process_is_put_back_as_it_was(tmp_path: Path, code: str) -> None:
    assert left_by(code, tmp_path) == ([], True)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", "lower limits of its process"),
        ("resource.setrlimit(resource.RLIMIT_CPU, (900, 900))", "lower limits of its process"),
        ("os.nice(1)", "another priority of its process"),
        ("os.setpgid(0, 0)", "a process group or session of its own"),
        ("os.mkdir('/tmp' + __import__('os').getcwd().replace('/', '_')); os.rmdir(os.getcwd()); "
         "os.chdir('/')", "another folder, as that where tasks start is gone"),
        ("sys.stdin.close()", "standard streams that are closed or replaced"),
        ("os.dup2(1, 0)", "standard streams that are closed or replaced"),
        ("threading.Thread(target=time.sleep, args=(60,), name='saver').start()",
         "a running thread (saver)"),
        ("threading.Thread(target=time.sleep, args=(60,), name='saver', daemon=True).start()",
         "a running thread (saver)"),
        ("e = threading.Event(); _thread.start_new_thread(lambda: (e.set(), time.sleep(9)), ()); "
         "e.wait()", "a running thread (without a name)"),
        ("subprocess.Popen(['sleep', '9'], stdout=-3, stderr=-3)", "a running process (sleep, "),
    ],
)  # fmt: skip
def test_what_cannot_be_put_back_is_named(tmp_path: Path, code: str, words: str) -> None:
    left, _ = left_by(code, tmp_path)

    assert len(left) == 1
    assert left[0].startswith(words)


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.Popen(['true'])",  # nobody asks how it ended
        "subprocess.Popen(['sleep', '0.05'])",
        "threading.Thread(target=time.sleep, args=(0.05,)).start()",
        "import multiprocessing.shared_memory as m; m.SharedMemory(create=True, size=9).unlink()",
        "import joblib; joblib.Parallel(2)(joblib.delayed(abs)(n) for n in range(4))",
    ],
)
def test_what_ends_by_itself_is_nothing_left(tmp_path: Path, code: str) -> None:
    assert left_by(code, tmp_path) == ([], True)


HELPERS = """
from jobpool.execution.leftovers import Kept
from jobpool.learning.parallel import idle_helpers, in_processes
list(in_processes(abs, [1, -2, 3], 2))
kept = Kept(*idle_helpers())
end_helpers(kept)
assert len(kept.processes) == 2
assert not list(state.left(kept))
"""


def test_helpers_stay_for_the_next_task_until_they_are_ended(tmp_path: Path) -> None:
    assert left_by(HELPERS, tmp_path) == ([], True)


ENDED = """
subprocess.Popen(["sleep", "0.05"], stdout=-3)
list(state.left())
try:
    os.waitpid(-1, os.WNOHANG)
    raise SystemExit("a child is left")
except ChildProcessError:
    pass
"""


def test_a_later_task_waits_for_no_child_of_an_earlier_one(tmp_path: Path) -> None:
    assert left_by(ENDED, tmp_path) == ([], True)


def test_a_process_whose_parent_ended_is_a_child_of_the_guard() -> None:
    orphan = subprocess.Popen(["sleep", "60"])

    with orphan:
        found = living_children(os.getppid(), os.getpid())  # as the guarded process asks
        orphan.kill()

    assert found[orphan.pid] == "sleep"


def test_a_task_that_left_the_group_of_its_process_hears_when_it_is_to_stop(
    tmp_path: Path,
) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.ways_out:leaves_its_session")
    noted = tmp_path / "noted"
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]
    environment = {**os.environ, "NOTED": str(noted)}

    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as worker:
        wait_for(noted)
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)

    assert noted.read_text() == "stopped"
    assert [attempt.cause for attempt in all_attempts(pool)] == ["cancelled"]


@pytest.mark.parametrize("how", ["own_handler", "its_program"])
def test_a_task_that_hears_before_its_worker_that_all_are_to_stop_was_stopped(
    tmp_path: Path, how: str
) -> None:
    pool = a_pool(tmp_path, 1, call=f"tests.support.ways_out:{how}")
    noted = tmp_path / "noted"
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]
    environment = {**os.environ, "NOTED": str(noted)}

    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as worker:
        wait_for(noted)
        os.kill(int(noted.read_text()), signal.SIGTERM)
        time.sleep(0.3)  # the task ends meanwhile
        worker.terminate()
        worker.wait(60)

    assert [attempt.cause for attempt in all_attempts(pool)] == ["cancelled"]
