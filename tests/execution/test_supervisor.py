"""The supervisor: what it says of a child that answers, dies, or is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobpool.execution.child import run_request
from jobpool.runners.base import RunContext
from jobpool.scheduler.slurm.scheduler import Slurm
from jobpool.table.settings import WorkerSettings
from tests.support.builders import a_pool

CHILD = """
import json, os, signal, subprocess, sys, time
from jobpool.execution.channel import TaskEnd
channel = TaskEnd(*map(int, sys.argv[-3:]))
answers, number = channel._answers, 0
def say(**answer):
    channel.send(number, json.dumps({"left": "", **answer}).encode())
def take():
    global number
    number = channel.receive()["number"]
usage = dict(cpu_s=0, peak_memory_mb=1, read_mb=0, written_mb=0)
"""

PARENT = """
import json, os, sys, time
from jobpool.execution.deadline import JobEnd
from jobpool.execution.supervisor import StopSignals
from jobpool.execution.supervisor import Supervisor
command, options = json.loads(sys.argv[1]), json.loads(sys.argv[2])
signals = StopSignals()
signals.install()
kills, in_steps = iter(options.pop("kills")), iter(options.pop("in_steps", [0] * 9))
end = options.pop("left_s")
supervisor = Supervisor(
    command,
    environment=dict(os.environ),
    signals=signals,
    beat=lambda: seen.append(supervisor.peak_mb),
    beat_s=0.1,
    grace_s=1,
    job_end=JobEnd(None if end is None else time.time() + end),
    oom_kills=lambda: next(kills),
    step_kills=lambda: next(in_steps),
    **options,
)
seen = []
try:
    request = {"task": "a", "point": [["number", 1]], "memory_mb": None, "deadline": None}
    outcome = supervisor.run(request)
    print(json.dumps([outcome.cause, outcome.result, outcome.error, max(seen, default=0)]))
except Exception as error:
    print(json.dumps([type(error).__name__, None, str(error), 0]))
sys.stdout.flush()
sys.stdin.readline()
supervisor.stop()
"""
NO_KILLS = [0] * 9
HASTY = WorkerSettings(grace_s=0.2)


def run_command(
    command: list[str],
    *,
    kills: list[int] | None = None,
    in_steps: list[int] | None = None,
    left_s: float | None = None,
    memory_mb: float | None = None,
) -> list[object]:
    """Return cause, result, error and highest peak seen of one task run by a child."""
    counts = {"kills": kills or NO_KILLS, "in_steps": in_steps or NO_KILLS}
    options = {**counts, "left_s": left_s, "memory_mb": memory_mb}
    done = subprocess.run(
        [sys.executable, "-c", PARENT, json.dumps(command), json.dumps(options)],
        input="",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer


def run(
    folder: Path,
    child: str,
    *,
    kills: list[int] | None = None,
    in_steps: list[int] | None = None,
    left_s: float | None = None,
    memory_mb: float | None = None,
) -> list[object]:
    """Return cause, result and error of one task run by a child with this code."""
    (folder / "child.py").write_text(CHILD + child)
    command = [sys.executable, str(folder / "child.py")]
    counts = {"kills": kills, "in_steps": in_steps}
    return run_command(command, **counts, left_s=left_s, memory_mb=memory_mb)[:3]


def run_task(folder: Path, call: str, *, memory_mb: float | None = None) -> list[object]:
    """Return cause, result, error and highest peak seen of a function run by the real child."""
    pool = a_pool(folder, 1, call=call)
    command = [sys.executable, "-m", "jobpool.execution.child", str(pool), "2", ""]
    return run_command(command, memory_mb=memory_mb)


READY = "say(ready=True)\ntake()\n"
FAIL = "say(error='no luck', traceback='', cause='error', usage=usage)\nchannel.receive()\n"
# seen at the start, before the task, after it
ONE_KILL = [0, 0, 1, 9, 9]
# a process in a session of its own, whose parent has ended
LEAVE = """
left = os.path.join(os.path.dirname(__file__), "left")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(answers)
        with open(left + ".new", "w") as stream:
            stream.write(str(os.getpid()))
        os.rename(left + ".new", left)
        time.sleep(600)
    os._exit(0)
while not os.path.exists(left):
    time.sleep(0.01)
"""


def test_a_result_is_done(tmp_path: Path) -> None:
    assert run(tmp_path, READY + "say(result={'a': 1}, usage=usage)") == ["done", {"a": 1}, None]


def test_a_result_that_arrives_with_a_signal_is_kept(tmp_path: Path) -> None:
    code = "say(result={'a': 1}, usage=usage)\nos.kill(os.getppid(), signal.SIGTERM)\n"

    assert run(tmp_path, READY + code + "signal.pause()") == ["done", {"a": 1}, None]


def test_a_child_killed_while_the_kernel_counts_a_kill_ended_for_memory(tmp_path: Path) -> None:
    cause, _, error = run(tmp_path, READY + "os.kill(os.getpid(), 9)", kills=ONE_KILL)

    assert cause == "memory"
    assert "the job's memory limit was reached" in str(error)


def test_a_child_killed_by_hand_did_not_end_for_memory(tmp_path: Path) -> None:
    cause, _, error = run(tmp_path, READY + "os.kill(os.getpid(), 9)", memory_mb=10_000)

    assert (cause, error) == ("error", "the task process was terminated by signal SIGKILL")


GROW = "block = b'x' * 60_000_000\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)"


def test_a_child_killed_with_its_memory_full_ended_for_memory(tmp_path: Path) -> None:
    cause, _, error = run(tmp_path, READY + GROW, memory_mb=70)

    assert cause == "memory"
    assert "of 70 MB in use" in str(error)


def test_a_task_whose_helper_was_killed_for_memory_ended_for_memory(tmp_path: Path) -> None:
    code = "say(error='TerminatedWorkerError', traceback='', cause='error', usage=usage)"

    assert run(tmp_path, READY + code, kills=ONE_KILL)[0] == "memory"


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("srun: error: n1: task 0: Out Of Memory", True),
        ("slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=28.0.", True),
        ("slurmstepd: error: Step 12.0 exceeded memory limit (9 > 8), being killed", True),
        ("srun: error: n1: task 0: Exited with exit code 1", False),
        ("my program: Out Of Memory? no, 3 GB left", False),
    ],
)
def test_slurms_words_for_a_step_that_lacked_memory_are_known(text: str, tells: bool) -> None:
    assert Slurm().tells_of_memory(f"before\n{text}\nafter") is tells


def test_what_a_task_wrote_to_the_log_is_read_from_where_it_began(tmp_path: Path) -> None:
    code = (
        "import os; from jobpool.execution.processes import read_log, size_of_log;"
        "os.write(2, b'before'); size = size_of_log();"
        "os.write(2, b'since'); print(read_log(size))"
    )
    with (tmp_path / "log").open("a") as log:
        command = [sys.executable, "-c", code]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, check=True)

    assert said.stdout == "since\n"


@pytest.mark.parametrize(("in_steps", "cause"), [([0, 1], "memory"), ([1, 1], "error")])
def test_a_kill_in_a_job_step_of_the_task_is_lack_of_memory(
    tmp_path: Path, in_steps: list[int], cause: str
) -> None:
    # the memory of a step is not among the task's, which is far from full
    ended = run(tmp_path, READY + FAIL, kills=ONE_KILL, in_steps=in_steps, memory_mb=100_000)

    assert ended[0] == cause


@pytest.mark.parametrize(("memory_mb", "cause"), [(100, "memory"), (100_000, "error")])
def test_a_helper_killed_where_nobody_counts_ended_for_memory_if_that_was_full(
    tmp_path: Path, memory_mb: float, cause: str
) -> None:
    found, _, error, _ = run_task(
        tmp_path, "tests.support.helper_tasks:loses_a_helper", memory_mb=memory_mb
    )

    assert found == cause
    assert "HelperKilledError" in str(error)


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("sys.exit(3)", "failed to start: exit code 3"),
        ("say(error='no such maps')", "no such maps"),
    ],
)
def test_a_child_that_cannot_start_is_no_task_that_failed(
    tmp_path: Path, child: str, said: str
) -> None:
    kind, _, error = run(tmp_path, child)

    assert kind == "StartError"
    assert said in str(error)


def test_a_child_that_is_not_ready_in_time_is_no_task_that_failed(tmp_path: Path) -> None:
    kind, _, error = run(tmp_path, "time.sleep(600)", left_s=1.0)

    assert (kind, error) == (
        "StartError",
        "the task process was not ready when its worker's time was up",
    )


def test_a_stop_leaves_no_process_of_the_child_behind(tmp_path: Path) -> None:
    code = "say(result={}, usage=usage)\nchannel.receive()\n"

    run(tmp_path, READY + LEAVE + code)

    assert not psutil.pid_exists(int((tmp_path / "left").read_text()))


@pytest.mark.parametrize("code", [FAIL, "os.kill(os.getpid(), 9)", "os.abort()", "sys.exit(3)"])
def test_a_bad_end_leaves_no_process_of_the_task_behind(tmp_path: Path, code: str) -> None:
    (tmp_path / "child.py").write_text(CHILD + READY + LEAVE + code)
    command = json.dumps([sys.executable, str(tmp_path / "child.py")])
    options = json.dumps({"kills": NO_KILLS, "left_s": None})
    parent = [sys.executable, "-c", PARENT, command, options]

    with subprocess.Popen(
        parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as supervising:
        assert supervising.stdout is not None
        cause = json.loads(supervising.stdout.readline())[0]
        left = psutil.pid_exists(int((tmp_path / "left").read_text()))

    assert (cause, left) == ("error", False)


def test_a_task_that_failed_alone_keeps_its_process(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 3, call="tests.support.tasks:fails_with_its_process")

    subprocess.run([sys.executable, "-m", "jobpool", "work", pool], check=True, capture_output=True)

    lines = [line for file in pool.glob("attempts/*/*") for line in file.read_text().splitlines()]
    errors = [json.loads(line)["error"] for line in lines]
    assert len(errors) == 3
    assert len(set(errors)) == 1


def wait_for(file: Path) -> list[int]:
    """Return the process numbers in a file that a task writes."""
    end = time.monotonic() + 30
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return [int(word) for word in file.read_text().split()]


def wait_for_end(pids: list[int]) -> list[int]:
    """Return those of some processes that still run after a while."""
    end = time.monotonic() + 20
    alive = pids
    while alive and time.monotonic() < end:
        time.sleep(0.05)
        alive = [pid for pid in pids if psutil.pid_exists(pid)]
    return alive


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_nothing_is_left_whichever_of_its_processes_is_killed(tmp_path: Path, victim: int) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:leaves_processes")
    noted = tmp_path / "noted"
    command = [sys.executable, "-m", "jobpool", "work", str(pool), "--max-tasks", "1"]
    environment = {**os.environ, "NOTED": str(noted)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as worker:
        left = wait_for(noted)
        processes = [worker.pid, psutil.Process(left[0]).ppid(), left[0]]  # worker, guard, task

        os.kill(processes[victim], signal.SIGKILL)

    assert len({*processes, *left}) == 5
    assert wait_for_end([*processes, *left]) == []


def test_nothing_is_left_when_a_worker_is_killed_while_it_stops_its_task(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:leaves_processes", settings=HASTY)
    noted = tmp_path / "noted"
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]
    environment = {**os.environ, "NOTED": str(noted)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as worker:
        left = wait_for(noted)
        worker.terminate()
        wait_for_end(left[:1])

        worker.kill()

    assert wait_for_end(left) == []


def test_a_child_killed_for_memory_at_its_start_asks_for_more_memory(tmp_path: Path) -> None:
    kind, _, error = run(tmp_path, "os.kill(os.getpid(), 9)", kills=[0, 1, 1])

    assert kind == "StartError"
    assert "too little memory to start the task process; request more" in str(error)


def test_a_killed_child_whose_helper_holds_the_pipe_is_seen_to_be_dead(tmp_path: Path) -> None:
    code = "if os.fork() == 0:\n    time.sleep(60)\nos.kill(os.getpid(), 9)"

    assert run(tmp_path, READY + code)[0] == "error"


def test_a_child_that_closes_its_answers_is_ended(tmp_path: Path) -> None:
    code = "os.close(answers)\ntime.sleep(600)"

    cause, _, error = run(tmp_path, READY + code)

    assert (cause, error) == ("error", "the task process closed the pipe for its answers")


def test_the_end_of_a_real_child_is_told_through_its_guard(tmp_path: Path) -> None:
    cause, _, error, _ = run_task(tmp_path, "tests.support.tasks:leaves_with_code_3")

    assert (cause, error) == ("error", "the task process exited with code 3")


def test_a_task_is_stopped_when_its_worker_has_no_time_left(tmp_path: Path) -> None:
    cause, _, error = run(tmp_path, READY + "time.sleep(600)", left_s=1.0)

    assert cause == "time"
    assert "stopped before the end of its worker's time" in str(error)


def test_a_task_that_ignores_term_ends_before_its_worker(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"

    assert run(tmp_path, READY + code, left_s=1.0)[0] == "time"


@pytest.mark.parametrize(
    ("number", "left_s", "cause"),
    [
        (signal.SIGUSR2, 500, "time"),
        (signal.SIGUSR1, None, "time"),
        (signal.SIGUSR1, 500, "time"),
        (signal.SIGUSR1, 3600, "cancelled"),
        (signal.SIGTERM, None, "cancelled"),
        (signal.SIGTERM, 100, "cancelled"),  # the task is stopped 10 s before
        (signal.SIGTERM, 65, "time"),
        (signal.SIGTERM, 3600, "cancelled"),
        (signal.SIGINT, 65, "cancelled"),
        (signal.SIGHUP, 65, "cancelled"),
    ],
)
def test_a_signal_means_what_the_clock_says(
    tmp_path: Path, number: signal.Signals, left_s: float | None, cause: str
) -> None:
    code = f"os.kill(os.getppid(), {int(number)})\ntime.sleep(600)"

    found, _, error = run(tmp_path, READY + code, left_s=left_s)

    assert (found, error) == (cause, f"stopped by {number.name}")


def test_a_signal_stops_a_task_whose_answer_does_not_end(tmp_path: Path) -> None:
    code = "os.write(answers, b'JPch')\nos.kill(os.getppid(), 15)\ntime.sleep(600)"

    cause, _, error = run(tmp_path, READY + code)

    assert (cause, error) == ("cancelled", "stopped by SIGTERM")


def test_a_child_that_a_signal_to_the_whole_job_ended_was_stopped(tmp_path: Path) -> None:
    code = "if os.fork() == 0:\n    time.sleep(0.5)\n    os.kill(parent, 15)\n    os._exit(0)\n"

    cause, _, error = run(
        tmp_path,
        READY + "parent = os.getppid()\n" + code + "os.setpgid(0, 0)\nos.kill(os.getpid(), 15)",
    )

    assert (cause, error) == ("cancelled", "stopped by SIGTERM")


def test_a_warning_to_the_whole_job_ends_no_task_by_itself(tmp_path: Path) -> None:
    assert run_task(tmp_path, "tests.support.tasks:hears_usr1")[0] == "done"


def test_the_peak_of_the_present_task_is_seen_while_it_runs(tmp_path: Path) -> None:
    peak_mb = run_task(tmp_path, "tests.support.tasks:holds_memory")[3]

    assert isinstance(peak_mb, float)
    assert peak_mb > 100


@pytest.mark.parametrize("name", ["ENOSPC", "ESTALE", "ESHUTDOWN", "EKEYEXPIRED"])
def test_what_the_disk_refuses_has_the_cause_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("ERRNO", name)

    assert run_task(tmp_path, "tests.support.tasks:meets_a_bad_disk")[0] == "storage"


def test_a_full_device_has_the_cause_storage_though_the_task_says_it_in_its_own_words(
    tmp_path: Path,
) -> None:
    cause, _, error, _ = run_task(tmp_path, "tests.support.tasks:fills_a_device")

    assert (cause, error) == ("storage", "RuntimeError: could not save")


class Telling:
    """Runs a task that returns its checkpoint folder."""

    def run(self, _point: object, context: RunContext) -> dict[str, object]:
        return {"folder": str(context.checkpoint)}


@pytest.mark.parametrize(
    ("named", "folder"), [({}, "pool/checkpoints/a"), ({"checkpoint": "b"}, "pool/checkpoints/b")]
)
def test_a_task_keeps_its_checkpoint_where_the_request_says(
    named: dict[str, str], folder: str
) -> None:
    plain: dict[str, object] = {"point": [], "memory_mb": None, "deadline": None}
    request = {"task": "a", **plain, **named}

    result, _ = run_request(Telling(), Path("pool"), 1, request)  # type: ignore[arg-type]  # runs only

    assert json.loads(result) == {"folder": folder}
