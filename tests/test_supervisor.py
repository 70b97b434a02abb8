"""The supervisor: what it says of a child that answers, dies, or is interrupted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import json, os, signal, sys
answers = os.fdopen(int(sys.argv[-1]), "w")
def say(**answer):
    print(json.dumps(answer), file=answers, flush=True)
usage = dict(cpu_s=0, peak_memory_mb=1, read_mb=0, written_mb=0)
"""

PARENT = """
import json, os, sys
from jobpool.supervisor import StopSignals, Supervisor
signals = StopSignals()
signals.install()
kills = iter([0, 0, int(sys.argv[2]), 9, 9])  # at the start, before the task, after it
supervisor = Supervisor(
    [sys.executable, sys.argv[1]],
    environment=dict(os.environ),
    signals=signals,
    beat=lambda: None,
    beat_s=0.1,
    grace_s=1,
    oom_kills=lambda: next(kills),
)
try:
    outcome = supervisor.run({"task": "a"})
    print(json.dumps([outcome.cause, outcome.result, outcome.error]))
except Exception as error:
    print(json.dumps([type(error).__name__, None, str(error)]))
supervisor.stop()
"""


def run(folder: Path, child: str, oom_kills: int = 0) -> list[object]:
    """Return cause, result and error of one task run by a child with this code."""
    (folder / "child.py").write_text(CHILD + child)
    (folder / "parent.py").write_text(PARENT)
    done = subprocess.run(
        [sys.executable, folder / "parent.py", folder / "child.py", str(oom_kills)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer


READY = "say(ready=True)\nsys.stdin.readline()\n"


def test_a_result_is_done(tmp_path: Path) -> None:
    assert run(tmp_path, READY + "say(result={'a': 1}, usage=usage)") == ["done", {"a": 1}, None]


def test_a_result_that_arrives_with_a_signal_is_kept(tmp_path: Path) -> None:
    code = "say(result={'a': 1}, usage=usage)\nos.kill(os.getppid(), signal.SIGTERM)\n"

    assert run(tmp_path, READY + code + "signal.pause()") == ["done", {"a": 1}, None]


def test_a_child_killed_while_the_kernel_counts_a_kill_ended_for_memory(tmp_path: Path) -> None:
    cause, _, error = run(tmp_path, READY + "os.kill(os.getpid(), 9)", oom_kills=1)

    assert cause == "memory"
    assert "the job's memory limit was reached" in str(error)


def test_a_child_killed_by_hand_did_not_end_for_memory(tmp_path: Path) -> None:
    cause, _, error = run(tmp_path, READY + "os.kill(os.getpid(), 9)")

    assert (cause, error) == ("error", "the task process ended by signal SIGKILL")


def test_a_task_whose_helper_was_killed_for_memory_ended_for_memory(tmp_path: Path) -> None:
    code = "say(error='TerminatedWorkerError', traceback='', cause='error', usage=usage)"

    assert run(tmp_path, READY + code, oom_kills=1)[0] == "memory"


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("sys.exit(3)", "ended at its start with exit code 3"),
        ("say(error='no such maps')", "no such maps"),
    ],
)
def test_a_child_that_cannot_start_is_no_task_that_failed(
    tmp_path: Path, child: str, said: str
) -> None:
    kind, _, error = run(tmp_path, child)

    assert kind == "StartError"
    assert said in str(error)


def test_a_stop_leaves_no_process_of_the_child_behind(tmp_path: Path) -> None:
    code = (
        "import subprocess\n"
        "helper = subprocess.Popen(['sleep', '600'])\n"
        "say(result={'pid': helper.pid}, usage=usage)\n"
        "sys.stdin.read()\n"
    )

    _, result, _ = run(tmp_path, READY + code)

    assert isinstance(result, dict)
    with pytest.raises(ProcessLookupError):
        os.kill(int(result["pid"]), 0)


def test_a_child_killed_for_memory_at_its_start_asks_for_more_memory(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT.replace("[0, 0,", "[0, 1,"))
    (tmp_path / "child.py").write_text(CHILD + "os.kill(os.getpid(), 9)")

    done = subprocess.run(
        [sys.executable, tmp_path / "parent.py", tmp_path / "child.py", "0"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "too little memory to start the task process; ask for more" in done.stdout


def test_a_killed_child_whose_helper_holds_the_pipe_is_seen_to_be_dead(tmp_path: Path) -> None:
    code = "if os.fork() == 0:\n    import time\n    time.sleep(60)\nos.kill(os.getpid(), 9)"

    assert run(tmp_path, READY + code)[0] == "error"


def test_a_child_that_closes_its_answers_is_ended(tmp_path: Path) -> None:
    code = "answers.close()\nimport time\ntime.sleep(600)"

    assert run(tmp_path, READY + code)[0] == "error"
