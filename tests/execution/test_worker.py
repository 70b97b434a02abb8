"""Real workers, each a process with a child of its own: endings, signals, deaths."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobpool.execution.claiming import Puller
from jobpool.journal.attempts import Attempt, all_attempts
from jobpool.journal.jsonl import all_lines
from jobpool.journal.results import all_results
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool

QUICK = WorkerSettings(heartbeat_s=0.2, lost_after_s=2.0, grace_s=1.0)
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a worker; whatever still runs at the end is killed."""
    started = []

    def begin(pool: Path, *words: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "jobpool", "work", str(pool), *words]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for worker in started:
        worker.send_signal(signal.SIGCONT)
        worker.kill()
        worker.wait()


def wait_until(happened: Callable[[], object], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def is_running(pool: Path) -> bool:
    return Pool(pool).counts()[TaskState.RUNNING] == 1


def only_attempt(pool: Path) -> Attempt:
    (attempt,) = all_attempts(pool)
    return attempt


def test_a_worker_runs_all_tasks(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 5, call="tests.support.tasks:number")

    done = jobpool("work", pool)

    assert done.returncode == 0
    assert Counter(r.result["value"] for r in all_results(pool)) == Counter([0, 2, 4, 6, 8])


def test_a_worker_leaves_after_the_tasks_asked_for(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 5)

    jobpool("work", pool, "--max-tasks", 2)

    assert Pool(pool).counts()[TaskState.DONE] == 2
    assert Pool(pool).counts()[TaskState.RUNNING] == 0


def test_a_worker_takes_no_task_after_its_time(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 50, call="tests.support.tasks:rests")  # each longer than the time

    done = jobpool("work", pool, "--stop-after", "1s")

    assert "its time for new tasks is over" in done.stderr
    assert Pool(pool).counts()[TaskState.DONE] == 1


def test_a_worker_keeps_to_its_selection(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 10, call="tests.support.tasks:number")

    jobpool("work", pool, "--only", "number>=3", "--skip", "number=5,6")

    assert sorted(dict(r.point)["number"] for r in all_results(pool)) == [3, 4, 7, 8, 9]


def test_an_exception_returns_the_task_with_its_traceback(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:fails")

    done = jobpool("work", pool)

    attempt = only_attempt(pool)
    assert done.returncode == 0
    assert attempt.cause is Cause.ERROR
    assert attempt.error == "ValueError: no luck with 0"
    assert "in fails" in (attempt.traceback or "")
    assert Pool(pool).record(0).state is TaskState.WAITING


def test_a_worker_tries_a_task_that_failed_only_once(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 6, call="tests.support.tasks:fails_on_odd")

    jobpool("work", pool)

    assert Counter(a.cause for a in all_attempts(pool)) == {Cause.DONE: 3, Cause.ERROR: 3}


def test_a_memory_error_has_the_cause_memory(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:runs_out_of_memory")

    jobpool("work", pool)

    assert only_attempt(pool).cause is Cause.MEMORY


def test_a_task_whose_process_is_killed_returns_to_the_pool(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 2, call="tests.support.tasks:kills_itself")

    done = jobpool("work", pool)

    assert done.returncode == 0
    assert {a.error for a in all_attempts(pool)} == {
        "the task process was terminated by signal SIGKILL"
    }
    assert Pool(pool).counts()[TaskState.WAITING] == 2


@pytest.mark.parametrize(
    ("number", "cause", "n_failed"),
    [
        (signal.SIGTERM, Cause.CANCELLED, 0),
        (signal.SIGINT, Cause.CANCELLED, 0),
        (signal.SIGHUP, Cause.CANCELLED, 0),
        (signal.SIGUSR1, Cause.TIME, 1),  # what SLURM is asked to send when the time is nearly up
    ],
)
def test_a_signal_returns_the_task(
    tmp_path: Path,
    start: Start,
    number: signal.Signals,
    cause: Cause,
    n_failed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = tmp_path / "begun"  # a task that was not, costs no attempt
    monkeypatch.setenv("BEGUN", str(begun))
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:sleeps_once_begun", settings=QUICK)
    worker = start(pool)
    wait_until(begun.exists)

    worker.send_signal(number)

    assert worker.wait(20) == 0
    assert (only_attempt(pool).cause, Pool(pool).record(0).attempts) == (cause, n_failed)
    assert Pool(pool).record(0).state is TaskState.WAITING


def test_a_task_that_ignores_term_is_killed_after_the_grace(tmp_path: Path, start: Start) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:ignores_term", settings=QUICK)
    worker = start(pool)
    wait_until(lambda: is_running(pool))
    wait_until(lambda: psutil.Process(worker.pid).children())
    (child,) = psutil.Process(worker.pid).children()

    worker.terminate()

    assert worker.wait(20) == 0
    assert not child.is_running()


def test_a_killed_worker_takes_its_child_along(tmp_path: Path, start: Start) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:sleeps", settings=QUICK)
    worker = start(pool)
    wait_until(lambda: is_running(pool))
    (child,) = psutil.Process(worker.pid).children()

    worker.kill()
    worker.wait()

    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_the_task_of_a_killed_worker_is_done_by_the_next(
    tmp_path: Path, start: Start, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:naps", settings=QUICK)
    worker = start(pool)
    wait_until(lambda: is_running(pool))
    worker.kill()
    worker.wait()

    jobpool("work", pool)

    assert Pool(pool).counts()[TaskState.DONE] == 1
    assert Counter(a.cause for a in all_attempts(pool)) == {Cause.LOST: 1, Cause.DONE: 1}


def test_a_worker_thought_dead_cannot_overwrite_its_successor(
    tmp_path: Path, start: Start, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:rests", settings=QUICK)
    slow = start(pool)
    wait_until(lambda: is_running(pool))
    slow.send_signal(signal.SIGSTOP)
    time.sleep(QUICK.lost_after_s + 0.5)
    jobpool("work", pool)

    slow.send_signal(signal.SIGCONT)
    slow.wait(30)

    record = Pool(pool).record(0)
    assert len(list(all_results(pool))) == 2
    assert (record.state, record.fence) == (TaskState.DONE, 2)


def test_a_result_written_by_a_worker_that_died_is_not_computed_again(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:number")
    jobpool("work", pool)
    path = pool / "state" / "00"
    path.write_bytes(a_pool(tmp_path / "fresh", 1).joinpath("state", "00").read_bytes())
    claim_for_dead_worker(pool)

    jobpool("work", pool)

    assert Pool(pool).counts()[TaskState.DONE] == 1
    assert len(list(all_results(pool))) == 1


def claim_for_dead_worker(pool: Path) -> None:
    """Put the state back to where the worker had written its result but not the end."""
    (result,) = all_results(pool)
    Puller(Pool(pool, worker=int(result.worker, 16)), random.Random(1)).next()


def work_on_small_disk(tmp_path: Path, call: str, size_kb: int) -> tuple[Pool, str]:
    """Run a worker whose pool and log lie on a tmpfs; return the pool and what was said."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    study = a_pool(tmp_path, 200, call=call, settings=QUICK)
    disk, after = tmp_path / "disk", tmp_path / "after"
    script = (
        f"mount -t tmpfs -o size={size_kb}k none {disk} && cp -a {study}/. {disk}/ && "
        f"{sys.executable} -m jobpool work {disk} 2>>{disk}/log; echo code $?; cp -a {disk} {after}"
    )
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert "code 1" in done.stdout, done.stderr
    return Pool(after), (after / "log").read_text()


@pytest.mark.parametrize("size_kb", [32, 36, 40, 44])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, size_kb: int) -> None:
    pool, _ = work_on_small_disk(tmp_path, "tests.support.tasks:wordy", size_kb)

    assert pool.counts()[TaskState.RUNNING] == 0
    assert pool.counts()[TaskState.DONE] == len(list(all_results(pool.folder))) > 0
    assert all(line.record is not None for _, line in all_lines(pool.folder, "results"))


def test_a_result_that_does_not_fit_on_the_disk_returns_the_task(tmp_path: Path) -> None:
    pool, log = work_on_small_disk(tmp_path, "tests.support.tasks:huge", 64)

    causes = [pool.record(i).cause for i in range(200)]
    assert (causes.count(Cause.STORAGE), pool.counts()[TaskState.WAITING]) == (1, 200)
    assert "No space left on device; free space or quota" in log


def test_a_task_process_that_cannot_start_burns_no_task(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 3, call="tests.nowhere:gone")

    done = jobpool("work", pool)

    assert done.returncode == 1
    assert "tests.nowhere:gone" in done.stderr
    assert "Traceback" not in done.stderr
    assert Pool(pool).counts()[TaskState.WAITING] == 3


def test_a_wrong_selection_stops_the_worker_at_once(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 3)

    done = jobpool("work", pool, "--only", "nmber=1")

    assert (done.returncode, "did you mean 'number'" in done.stderr) == (1, True)


def test_local_workers_finish_a_pool(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 20)

    done = jobpool("run", pool, "--workers", 2)

    assert (done.returncode, done.stdout) == (0, "20 of 20 tasks done\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_local_workers_returns_their_tasks(
    tmp_path: Path, number: signal.Signals
) -> None:
    pool = a_pool(tmp_path, 4, call="tests.support.tasks:sleeps", settings=QUICK)
    command = [sys.executable, "-m", "jobpool", "run", str(pool), "--workers", "2"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until(lambda: Pool(pool).counts()[TaskState.RUNNING] == 2)

    running.send_signal(number)

    assert running.wait(30) == 128 + number
    assert Pool(pool).counts()[TaskState.WAITING] == 4


def test_any_axes_make_a_pool_of_a_function(tmp_path: Path, jobpool: Jobpool) -> None:
    config = tmp_path / "study.yaml"
    config.write_text(
        "runner: function\n"
        "axes: {site: [berlin, oslo], factor: [2, 3], seed: {from: 1, to: 3}}\n"
        "function: {call: 'tests.support.tasks:three_axes'}\n"
    )

    jobpool("init", config, tmp_path / "pool")
    jobpool("run", tmp_path / "pool")

    scores = {r.point: r.result["score"] for r in all_results(tmp_path / "pool")}
    assert len(scores) == 12
    assert scores[(("site", "oslo"), ("factor", 3), ("seed", 2))] == 6


def test_a_task_process_that_cannot_start_again_strands_no_task(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os, pathlib\n"
        f"spoilt = pathlib.Path({str(tmp_path / 'spoilt')!r})\n"
        "assert not spoilt.exists(), 'the module is spoilt'\n"
        "def run(number):\n"
        "    spoilt.touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    pool = a_pool(tmp_path, 3, call="fragile:run")

    done = jobpool("work", pool, PYTHONPATH=tmp_path)

    assert done.returncode == 1
    assert Pool(pool).counts()[TaskState.WAITING] == 3
    assert [a.cause for a in all_attempts(pool)] == [Cause.ERROR]


def test_a_selection_without_tasks_starts_no_worker(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 3)

    done = jobpool("run", pool, "--only", "number>=9")

    assert (done.returncode, "no task is selected" in done.stderr) == (1, True)


def test_a_running_worker_does_what_an_extension_adds(
    tmp_path: Path, start: Start, jobpool: Jobpool
) -> None:
    jobpool("new", tmp_path / "study")
    file, pool = tmp_path / "study" / "study.yaml", tmp_path / "pool"
    larger = file.read_text().replace("npz:schaefer*", "npz:yeo17").replace("npz:yeo*", "npz:yeo7")
    larger = larger.replace("    - glob: data/soft_schaefer100_4mm.npz\n", "")
    file.write_text(larger.replace('        - "data/parcellations_4mm.npz:yeo17"\n', ""))
    made = jobpool("init", file, pool)
    worker = start(pool)
    wait_until(lambda: is_running(pool))
    worker.send_signal(signal.SIGSTOP)  # its task process goes on with the old axes

    file.write_text(larger)
    extended = jobpool("extend", file, pool)
    worker.send_signal(signal.SIGCONT)
    worker.wait(60)

    assert (made.returncode, extended.stdout.startswith("added 1 tasks")) == (0, True), made.stderr
    assert [attempt.cause for attempt in all_attempts(pool)] == [Cause.DONE, Cause.DONE]
