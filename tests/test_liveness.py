"""Dead workers: who is dead, what becomes of the task, and whose word counts."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.attempts import Attempt, all_attempts, write_attempt
from jobpool.experiment import WorkerSettings
from jobpool.liveness import Life, WorkerCard, beat, judge, own_card, start_ticks, take_back_dead
from jobpool.pool import Ending, Pool
from jobpool.puller import Puller
from jobpool.results import Result, write_result
from jobpool.task import Cause, Claim, TaskState
from jobpool.workerfiles import worker_file, worker_name
from tests.builders import a_pool

DEAD, FINDER = 0xDEAD, 0xF1
SETTINGS = WorkerSettings(heartbeat_s=1, lost_after_s=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_pool(tmp_path, 3, settings=SETTINGS)


def a_card(**changes: object) -> WorkerCard:
    return replace(own_card(started=time.time(), cores=1), **changes)  # type: ignore[arg-type]


def gone_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    return done.pid


def claim_by_dead_worker(folder: Path) -> Claim:
    a_card(pid=gone_process()).write(folder, worker_name(DEAD))
    claim = Puller(Pool(folder, worker=DEAD), random.Random(1)).next().claim
    assert claim is not None
    return claim


def look(folder: Path) -> list[Cause]:
    pool = Pool(folder, worker=FINDER)
    return [one.cause for one in take_back_dead(pool, worker_name(FINDER), time.time())]


def test_a_worker_with_a_fresh_heartbeat_is_alive(folder: Path) -> None:
    path = a_card().write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.ALIVE


def test_a_worker_on_another_host_lives_as_long_as_it_beats(folder: Path) -> None:
    path = a_card(space="another machine", pid=gone_process()).write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.ALIVE


def test_a_worker_whose_heartbeat_is_old_is_dead(folder: Path) -> None:
    path = a_card(host="elsewhere").write(folder, worker_name(1))
    now = beat(path)

    assert judge(Pool(folder), worker_name(1), now + 61) is Life.DEAD


def test_a_worker_whose_process_is_gone_from_this_host_is_dead_at_once(folder: Path) -> None:
    path = a_card(pid=gone_process()).write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.DEAD


def test_another_process_with_the_same_number_is_not_the_worker(folder: Path) -> None:
    path = a_card(start_ticks=1).write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.DEAD


def test_the_task_of_a_dead_worker_waits_again(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)

    found = look(folder)

    record = Pool(folder).record(claim.position)
    (attempt,) = all_attempts(folder)
    assert found == [Cause.LOST]
    assert (record.state, record.attempts, record.cause) == (TaskState.WAITING, 1, Cause.LOST)
    assert (attempt.worker, attempt.found_by) == (worker_name(DEAD), worker_name(FINDER))


def test_the_task_of_a_living_worker_is_left_alone(folder: Path) -> None:
    a_card().write(folder, worker_name(1))
    Puller(Pool(folder, worker=1), random.Random(1)).next()

    assert look(folder) == []


def test_a_result_that_the_dead_worker_wrote_counts(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    result = Result(
        task=claim.id,
        fence=claim.fence,
        worker=worker_name(DEAD),
        point=claim.point,
        started=1,
        ended=2,
        result={},
    )
    write_result(folder, result)

    assert look(folder) == [Cause.DONE]
    assert Pool(folder).counts()[TaskState.DONE] == 1


def test_the_cause_that_the_dead_worker_wrote_counts(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    write_attempt(folder, an_attempt(claim, Cause.ERROR))

    assert look(folder) == [Cause.ERROR]
    assert [attempt.cause for attempt in all_attempts(folder)] == [Cause.ERROR]


def an_attempt(claim: Claim, cause: Cause, found_by: str | None = None) -> Attempt:
    return Attempt(
        task=claim.id,
        fence=claim.fence,
        worker=worker_name(DEAD),
        cause=cause,
        started=1,
        ended=2,
        found_by=found_by,
    )


def test_the_own_word_of_a_worker_thought_dead_counts(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    write_attempt(folder, an_attempt(claim, Cause.LOST, found_by=worker_name(FINDER)))
    write_attempt(folder, an_attempt(claim, Cause.DONE))

    assert [attempt.cause for attempt in all_attempts(folder)] == [Cause.DONE]


def test_an_end_found_twice_is_told_once(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    write_attempt(folder, an_attempt(claim, Cause.LOST, found_by=worker_name(1)))
    write_attempt(folder, an_attempt(claim, Cause.LOST, found_by=worker_name(2)))

    assert len(list(all_attempts(folder))) == 1


def test_a_task_whose_index_is_behind_is_seen_to_wait(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    (path,) = (folder / "state").iterdir()
    before = path.read_bytes()
    Pool(folder, worker=DEAD).end(Ending(claim=claim, cause=Cause.CANCELLED))
    records_at = Pool(folder).shards[0].record_offset(0)
    path.write_bytes(before[:records_at] + path.read_bytes()[records_at:])

    found = look(folder)

    assert found == [Cause.CANCELLED]
    assert Pool(folder).counts()[TaskState.RUNNING] == 0


def test_a_stopped_worker_is_dead_only_after_its_lease(folder: Path) -> None:
    stopped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    os.kill(stopped.pid, signal.SIGSTOP)
    path = a_card(pid=stopped.pid, start_ticks=start_ticks(stopped.pid)).write(
        folder, worker_name(1)
    )
    now = beat(path)

    lives = [judge(Pool(folder), worker_name(1), now + age) for age in (0, 59, 61)]

    stopped.kill()
    stopped.wait()
    assert lives == [Life.ALIVE, Life.ALIVE, Life.DEAD]


def test_a_card_names_where_the_worker_runs(folder: Path) -> None:
    path = a_card(job="12_3", only=("a=1",)).write(folder, worker_name(1))

    assert path == worker_file(folder, "workers", worker_name(1))
    assert '"job":"12_3"' in path.read_text()


def test_nobody_is_dead_by_heartbeat_after_a_pause_of_all(folder: Path) -> None:
    path = a_card(space="another machine").write(folder, worker_name(1))
    now = beat(path)

    assert judge(Pool(folder), worker_name(1), now + 3600, patient=True) is Life.UNKNOWN


def test_a_worker_in_another_space_of_process_numbers_is_not_dead(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a new space of process numbers needs root")
    a_card().write(folder, worker_name(1))
    code = (
        "import sys, time; from pathlib import Path\n"
        "from jobpool.liveness import judge; from jobpool.pool import Pool\n"
        f"print(judge(Pool(Path({str(folder)!r})), {worker_name(1)!r}, time.time()))"
    )

    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "alive\n"
