"""Every way out of the code of a task is a result, or an error with a cause; none hits another."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from jobpool.admin.create import create_pool
from jobpool.errors import Fault
from jobpool.execution.answers import ResultError, result_text
from jobpool.execution.channel import WorkerEnd
from jobpool.journal.attempts import Attempt, all_attempts
from jobpool.journal.results import all_results
from jobpool.pool import Pool
from jobpool.table.grid import full_product
from jobpool.task import Axis
from tests.support.builders import a_pool, an_experiment
from tests.support.ways_out import WAYS

OK = {"ok": 1}
HEAD = "jobpool.execution.answers.ResultError: "
ENDED = "the task process"
ERRORS = {
    "exit_text": "SystemExit: config of site 7 has no field 'TR'",
    "exit_zero": "SystemExit: 0",
    "exit_with_thread": "SystemExit: no scans for this site",
    "keyboard": "KeyboardInterrupt: asked to stop",
    "odd": "tests.support.ways_out.OddError: strange",
    "untold": "tests.support.ways_out.UntoldError: <exception str() failed>",
    "exiting": "tests.support.ways_out.ExitingError: <exception str() failed>",
    "noted": "ValueError: site 7 is empty",
    "long_error": "ValueError: xxx",
    "at_once": f"{ENDED} exited with code 0",
    "realtime": f"{ENDED} was terminated by signal 42",
    "crash": f"{ENDED} was terminated by signal SIGSEGV",
    "another_program": f"{ENDED} exited with code 0",
    "kill_guard": f"{ENDED} was terminated by signal SIGKILL",
    "write_to_all": "the answer of the task process cannot be read: it begins with b'a line of",
    "begin_an_answer": "the answer of the task process cannot be read: it",
    "deep": f"{HEAD}the result has more than 100 levels of dicts and lists",
    "circle": f"{HEAD}the result has more than 100 levels of dicts and lists",
    "generator": f"{HEAD}the result['value'] is of type generator",
    "in_a_list": f"{HEAD}the result['folds'][0]['parcels'] is of type set",
    "same_keys": f"{HEAD}the result has several keys that are the same text: 1",
    "digits": f"{HEAD}the result cannot be written: Exceeds the limit",
    "too_large": f"{HEAD}the result has 67 MB as JSON, and may have 64",
    "reads_input": "EOFError: EOF when reading a line",
}
RESULTS: Mapping[str, object] = {
    "close_all": {"value": None},
    "close_standard": {"value": None},
    "fork_returns": OK,
    "fork_later": {"list": [1]},
    "fork_raises": {"code": 3},
    "surrogate": {"name": "caf\udce9"},
    "no_descriptor": OK,
    "program_reads_input": {"value": ""},
    **{f"ok{number}": OK for number in range(6)},
}


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool in which one worker ran a task of each way, in any order."""
    folder = tmp_path_factory.mktemp("ways")
    axis = Axis(name="way", values=tuple(WAYS))
    experiment = an_experiment(folder / "study", axis, call="tests.support.ways_out:take")
    create_pool(folder / "pool", experiment, full_product([axis]), lambda _: None, now=0.0)
    command = [sys.executable, "-m", "jobpool", "work", str(folder / "pool")]
    with (folder / "log").open("wb") as log:
        subprocess.run(command, check=True, stderr=log, stdin=subprocess.PIPE, timeout=300)
    return folder / "pool"


@pytest.fixture(scope="module")
def attempts(worked: Path) -> dict[object, Attempt]:
    """Return the one attempt of each way."""
    grid = Pool(worked).grid
    ways = {grid.id(i): grid.point(i)[0][1] for i in range(len(grid))}
    found: dict[object, Attempt] = {ways[attempt.task]: attempt for attempt in all_attempts(worked)}
    assert len(found) == len(WAYS)
    return found


@pytest.fixture(scope="module")
def results(worked: Path) -> dict[object, object]:
    """Return the result of each way that has one."""
    return {result.point[0][1]: result.result for result in all_results(worked)}


@pytest.mark.parametrize(("way", "words"), ERRORS.items())
def test_a_task_that_gives_no_result_ends_in_an_error_that_says_why(
    attempts: Mapping[object, Attempt], way: str, words: str
) -> None:
    attempt = attempts[way]

    assert attempt.cause == "error"
    assert str(attempt.error).startswith(words)


@pytest.mark.parametrize(("way", "result"), RESULTS.items())
def test_a_task_that_returns_has_its_result_whatever_it_did_to_its_process(
    results: Mapping[object, object], way: str, result: object
) -> None:
    assert results[way] == result


def test_a_task_that_raises_leaves_its_traceback(attempts: Mapping[object, Attempt]) -> None:
    traceback = attempts["exit_with_thread"].traceback

    assert 'sys.exit("no scans for this site")' in str(traceback)
    assert "execution" not in str(traceback)


def test_notes_of_an_error_stand_in_its_traceback(attempts: Mapping[object, Attempt]) -> None:
    assert "seen in the second pass" in str(attempts["noted"].traceback)


def test_the_text_of_an_error_is_cut_in_its_middle(attempts: Mapping[object, Attempt]) -> None:
    error = str(attempts["long_error"].error)

    assert len(error) < 11_000
    assert "characters ..." in error


def test_a_file_of_the_task_in_place_of_the_channel_stays_as_it_is(
    results: Mapping[object, object],
) -> None:
    found = results["file_over_all"]

    assert isinstance(found, dict)
    assert Path(found["file"]).read_bytes() == b""


def test_a_large_result_arrives_whole(results: Mapping[object, object]) -> None:
    assert results["large"] == {"text": "x" * 20_000_000}


@pytest.mark.parametrize("what", ["memory", "garbage"])
def test_what_a_task_leaves_counts_in_no_other_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("NOTED", str(tmp_path / "noted"))
    pool = a_pool(tmp_path, 2, call=f"tests.support.ways_out:leave_{what}_once")

    subprocess.run([sys.executable, "-m", "jobpool", "work", pool], check=True, capture_output=True)

    second = max(all_attempts(pool), key=lambda attempt: attempt.ended)
    assert second.cause == "done"
    assert (second.peak_memory_mb or 0) < 150


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("interrupts", "jobpool: KeyboardInterrupt: no licence"),
        ("closes", "jobpool: the code of the tasks closes descriptors of its process"),
    ],
)
def test_code_that_cannot_be_imported_ends_the_worker_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    monkeypatch.setenv("ODD_START", how)
    pool = a_pool(tmp_path, 2, call="tests.support.odd_start:nothing")

    ended = subprocess.run(
        [sys.executable, "-m", "jobpool", "work", pool],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert ended.returncode == Fault.TASK
    assert words in ended.stderr
    assert not list(all_attempts(pool))


def test_a_copy_that_an_imported_module_made_runs_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD_START", "forks")
    pool = a_pool(tmp_path, 2, call="tests.support.odd_start:nothing")

    subprocess.run([sys.executable, "-m", "jobpool", "work", pool], check=True, capture_output=True)

    assert [attempt.cause for attempt in all_attempts(pool)] == ["done"] * 2


def test_a_worker_without_standard_streams_keeps_what_tasks_print_out_of_its_files(
    tmp_path: Path,
) -> None:
    pool = a_pool(tmp_path, 3, call="tests.support.ways_out:prints")
    command = f"exec {sys.executable} -m jobpool work {pool} <&- >&- 2>&-"

    subprocess.run(["sh", "-c", command], check=True, timeout=60)

    assert [attempt.cause for attempt in all_attempts(pool)] == ["done"] * 3
    assert not [path for path in pool.rglob("*") if is_spoilt(path)]


def is_spoilt(path: Path) -> bool:
    return path.is_file() and b"a line of a program" in path.read_bytes()


def supervised(folder: Path, between: str) -> list[object]:
    """Return cause and error of a task that is run after something befell the waiting child."""
    pool = a_pool(folder, 1)
    command = [sys.executable, "-m", "jobpool.execution.child", str(pool), "1", ""]
    done = subprocess.run(
        [sys.executable, "-c", AROUND.format(between=between), json.dumps(command)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[object] = json.loads(done.stdout)
    return found


AROUND = """
import json, os, signal, sys, threading
from jobpool.execution.supervisor import StopSignals, Supervisor
supervisor = Supervisor(
    json.loads(sys.argv[1]),
    environment=dict(os.environ),
    signals=StopSignals(),
    beat=lambda: None,
    beat_s=0.1,
    grace_s=1,
)
supervisor.start()
child = supervisor._task_process
{between}
request = {{"task": "a", "point": [["number", 1]], "memory_mb": None, "deadline": None}}
outcome = supervisor.run(request)
print(json.dumps([outcome.cause, outcome.error]))
supervisor.stop()
"""
FROZEN_THEN_KILLED = """
os.kill(child, signal.SIGSTOP)
threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
"""
STRAY = """
folder = f"/proc/{child}/fd"
answers = max(map(int, os.listdir(folder)))  # the channel has the highest numbers
open(f"{folder}/{answers}", "w").write("a line of a program")
"""


@pytest.mark.parametrize("between", ["os.kill(child, signal.SIGKILL)", FROZEN_THEN_KILLED])
def test_a_child_that_dies_before_it_takes_a_task_costs_the_task_nothing(
    tmp_path: Path, between: str
) -> None:
    assert supervised(tmp_path, between) == ["done", None]


def test_a_kernel_without_memory_files_runs_tasks(tmp_path: Path) -> None:
    without = "supervisor.stop()\ndel os.memfd_create"

    assert supervised(tmp_path, without) == ["done", None]


def test_a_line_that_comes_between_two_tasks_hits_neither(tmp_path: Path) -> None:
    assert supervised(tmp_path, STRAY) == ["done", None]


def test_a_process_that_is_gone_before_it_is_asked_ends_no_worker() -> None:
    end = WorkerEnd()
    end.hand_over()

    end.ask({"task": "a"})

    assert end.unsent == []
    assert end.read() == (False, None)
    end.close()


def test_keys_that_are_the_same_text_are_named_at_once() -> None:
    value = {str(n): n for n in range(100_000)} | {7: 7}

    with pytest.raises(ResultError, match="several keys that are the same text: 7"):
        result_text(value)
