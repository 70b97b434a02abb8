"""Dead workers: who is dead, what becomes of the task, and whose word counts."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobpool.execution.claiming import Puller
from jobpool.journal.attempts import Attempt, all_attempts, write_attempt
from jobpool.journal.fingerprints import short_fingerprint
from jobpool.journal.jsonl import worker_file, worker_name
from jobpool.journal.results import Result, write_result
from jobpool.journal.workers import (
    WorkerRecord,
    beat,
    own_worker_record,
    read_memory_mark,
    start_ticks,
    write_memory_mark,
)
from jobpool.liveness.judge import Life, judge, observe
from jobpool.liveness.reaper import Reaper, TakenBack, take_back
from jobpool.pool import Ending, Pool
from jobpool.scheduler.simulated import SimulatedScheduler
from jobpool.scheduler.status import Phase
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause, Claim, TaskState
from tests.support.builders import a_pool
from tests.support.simulated import SimulatedWorker

DEAD, FINDER = 0xDEAD, 0xF1
BEAT_S, LOST_S, HUNG_S, ASK_S = 1.0, 60.0, 180.0, 10.0
SETTINGS = WorkerSettings(
    heartbeat_s=BEAT_S, lost_after_s=LOST_S, hung_after_s=HUNG_S, ask_scheduler_s=ASK_S
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return a_pool(tmp_path, 3, settings=SETTINGS)


def a_worker_record(**changes: object) -> WorkerRecord:
    worker_record = own_worker_record(started=time.time(), cores=1, scheduler="simulated")
    return replace(worker_record, **changes)  # type: ignore[arg-type]


Status = tuple[Phase, Cause | None, str]
ENDED, RUNNING = (Phase.ENDED, Cause.TIME, "TIMEOUT"), (Phase.RUNNING, None, "RUNNING")
SUSPENDED = (Phase.SUSPENDED, None, "SUSPENDED")


def saying(status: Status | None = None, restarts: int = 0) -> SimulatedScheduler:
    """Return a scheduler that says this of job 12; None: it knows no such job."""
    scheduler = SimulatedScheduler()
    if status is not None:
        scheduler.say("12", *status, restarts=restarts)
    return scheduler


def silent_scheduler() -> SimulatedScheduler:
    scheduler = SimulatedScheduler()
    scheduler.answers = False
    return scheduler


def no_scheduler() -> SimulatedScheduler:
    scheduler = SimulatedScheduler()
    scheduler.is_here = False
    return scheduler


def gone_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait()
    return done.pid


def claim_by_dead_worker(folder: Path) -> Claim:
    a_worker_record(pid=gone_process()).write(folder, worker_name(DEAD))
    claim = Puller(Pool(folder, worker=DEAD), random.Random(1)).next().claim
    assert claim is not None
    return claim


def a_reaper(folder: Path, scheduler: SimulatedScheduler | None = None) -> Reaper:
    worker_record = a_worker_record(job="99", cluster="hpc") if scheduler else a_worker_record()
    return Reaper(Pool(folder, worker=FINDER), worker_record, scheduler=scheduler or no_scheduler())


def causes_reaped(folder: Path) -> list[Cause]:
    return [one.cause for one in a_reaper(folder).reap(time.time())]


def test_a_worker_with_a_fresh_heartbeat_is_alive(folder: Path) -> None:
    path = a_worker_record().write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.ALIVE


def test_a_worker_on_another_host_lives_as_long_as_it_beats(folder: Path) -> None:
    path = a_worker_record(space="another machine", pid=gone_process()).write(
        folder, worker_name(1)
    )

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.ALIVE


def test_a_worker_whose_heartbeat_is_old_is_dead(folder: Path) -> None:
    path = a_worker_record(host="elsewhere").write(folder, worker_name(1))
    now = beat(path)

    assert judge(Pool(folder), worker_name(1), now + 61) is Life.DEAD


def test_a_worker_whose_process_is_gone_from_this_host_is_dead_at_once(folder: Path) -> None:
    path = a_worker_record(pid=gone_process()).write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.DEAD


def test_another_process_with_the_same_number_is_not_the_worker(folder: Path) -> None:
    path = a_worker_record(start_ticks=1).write(folder, worker_name(1))

    assert judge(Pool(folder), worker_name(1), beat(path)) is Life.DEAD


def test_the_task_of_a_dead_worker_waits_again(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)

    found = causes_reaped(folder)

    record = Pool(folder).record(claim.position)
    (attempt,) = all_attempts(folder)
    assert found == [Cause.LOST]
    assert attempt.error == "the worker vanished without a final record"
    assert (record.state, record.attempts, record.cause) == (TaskState.WAITING, 1, Cause.LOST)
    assert (attempt.worker, attempt.found_by) == (worker_name(DEAD), worker_name(FINDER))


def test_the_task_of_a_living_worker_is_left_alone(folder: Path) -> None:
    a_worker_record().write(folder, worker_name(1))
    Puller(Pool(folder, worker=1), random.Random(1)).next()

    assert causes_reaped(folder) == []


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

    assert causes_reaped(folder) == [Cause.DONE]
    assert Pool(folder).counts()[TaskState.DONE] == 1


def test_the_cause_that_the_dead_worker_wrote_counts(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    write_attempt(folder, an_attempt(claim, Cause.ERROR))

    assert causes_reaped(folder) == [Cause.ERROR]
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

    found = causes_reaped(folder)

    assert found == [Cause.CANCELLED]
    assert Pool(folder).counts()[TaskState.RUNNING] == 0


def test_a_stopped_worker_is_dead_only_after_its_lease(folder: Path) -> None:
    stopped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    os.kill(stopped.pid, signal.SIGSTOP)
    path = a_worker_record(pid=stopped.pid, start_ticks=start_ticks(stopped.pid)).write(
        folder, worker_name(1)
    )
    now = beat(path)

    lives = [judge(Pool(folder), worker_name(1), now + age) for age in (0, 59, 61)]

    stopped.kill()
    stopped.wait()
    assert lives == [Life.ALIVE, Life.ALIVE, Life.DEAD]


def test_a_worker_record_names_where_the_worker_runs(folder: Path) -> None:
    path = a_worker_record(job="12_3", only=("a=1",)).write(folder, worker_name(1))

    assert path == worker_file(folder, "workers", worker_name(1))
    assert '"job":"12_3"' in path.read_text()


def test_a_worker_in_another_space_of_process_numbers_is_not_dead(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a new space of process numbers needs root")
    a_worker_record().write(folder, worker_name(1))
    code = (
        "import sys, time; from pathlib import Path\n"
        "from jobpool.liveness.judge import judge; from jobpool.pool import Pool\n"
        f"print(judge(Pool(Path({str(folder)!r})), {worker_name(1)!r}, time.time()))"
    )

    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "alive\n"


# workers of jobs on other hosts: what their silence means


def claim_by_distant_worker(folder: Path, **worker_record: object) -> tuple[Claim, float]:
    """Claim a task in job 12; return the claim, and the time of the worker's only heartbeat."""
    known = {
        "space": "another machine",
        "job": "12",
        "cluster": "hpc",
        "memory_mb": 1000,
    } | worker_record
    path = a_worker_record(**known).write(folder, worker_name(DEAD))
    claim = Puller(Pool(folder, worker=DEAD), random.Random(1)).next().claim
    assert claim is not None
    return claim, beat(path)


def reaped(reaper: Reaper, beaten: float, *ages_s: float) -> list[TakenBack]:
    """Look at the pool at each age of the heartbeat, and return what was taken back last."""
    return [reaper.reap(beaten + age_s) for age_s in ages_s][-1]


def causes(taken: list[TakenBack]) -> list[Cause]:
    return [one.cause for one in taken]


def test_the_scheduler_is_not_asked_while_all_beat(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    scheduler = saying()

    taken = reaped(a_reaper(folder, scheduler), beaten, 1, 3 * BEAT_S)

    assert (taken, scheduler.n_asked) == ([], 0)


def test_the_silent_worker_of_an_ended_job_is_dead(folder: Path) -> None:
    claim, beaten = claim_by_distant_worker(folder)
    scheduler = saying(ENDED)

    (taken,) = reaped(a_reaper(folder, scheduler), beaten, 4)

    (attempt,) = all_attempts(folder)
    assert (taken.cause, taken.position) == (Cause.TIME, claim.position)
    assert taken.why == attempt.error == "the scheduler reports job 12 on n1 as TIMEOUT"
    assert attempt.ended == pytest.approx(beaten, abs=1)


def test_the_silent_worker_of_a_requeued_job_is_dead(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)

    taken = reaped(a_reaper(folder, saying(RUNNING, restarts=1)), beaten, 4)

    assert causes(taken) == [Cause.PREEMPTED]


def test_the_silent_worker_of_a_running_job_is_in_doubt(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    reaper = a_reaper(folder, saying(RUNNING))

    taken = reaped(reaper, beaten, 4, LOST_S + 1, HUNG_S - 1)

    assert (taken, reaper.suspects) == ([], 1)


@pytest.mark.parametrize(("state", "cause"), [(RUNNING, Cause.LOST), (SUSPENDED, Cause.PREEMPTED)])
def test_the_worker_of_a_running_job_is_given_up_in_the_end(
    folder: Path, state: Status, cause: Cause
) -> None:
    _, beaten = claim_by_distant_worker(folder)
    reaper = a_reaper(folder, saying(state))

    taken = reaped(reaper, beaten, 4, HUNG_S - 1, HUNG_S + ASK_S)

    assert (causes(taken), reaper.suspects) == ([cause], 0)


def test_a_worker_is_in_doubt_as_long_as_the_scheduler_does_not_answer(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    reaper = a_reaper(folder, silent_scheduler())

    taken = reaped(reaper, beaten, 4, LOST_S + 1, HUNG_S + 1, 100 * HUNG_S)

    assert (taken, reaper.suspects) == ([], 1)


def test_an_old_word_that_a_job_runs_is_none(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    scheduler = saying(RUNNING)
    reaper = a_reaper(folder, scheduler)
    reaped(reaper, beaten, 4)
    scheduler.answers = False  # the controller went down

    taken = reaped(reaper, beaten, HUNG_S + 1, HUNG_S + 10)

    assert (taken, reaper.suspects) == ([], 1)


def test_a_job_must_be_missing_in_two_answers(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    reaper = a_reaper(folder, saying())

    once = reaped(reaper, beaten, LOST_S - 3, LOST_S + 1)
    twice = reaped(reaper, beaten, LOST_S + ASK_S)

    assert (once, causes(twice)) == ([], [Cause.LOST])


def test_a_job_that_is_missing_lives_until_it_is_silent_for_long(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)

    taken = reaped(a_reaper(folder, saying()), beaten, 4, 20, LOST_S - 1)

    assert taken == []


def test_without_a_scheduler_the_heartbeat_alone_counts(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    reaper = a_reaper(folder)

    before, after = reaped(reaper, beaten, 4, LOST_S - 1), reaped(reaper, beaten, LOST_S + 1)

    assert (before, causes(after)) == ([], [Cause.LOST])


def test_a_new_worker_takes_nothing_after_an_outage_of_all(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder, job=None)
    reaper = a_reaper(folder)

    taken = reaped(reaper, beaten, 3600, 3602)

    assert (taken, reaper.suspects) == ([], 1)
    assert causes(reaped(reaper, beaten, 3604)) == [Cause.LOST]


def test_a_patient_worker_forgets_the_silence_that_it_saw(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder, job=None)
    reaper = a_reaper(folder)
    reaped(reaper, beaten, 1)

    taken = reaper.reap(beaten + 3600, patient=True)

    assert (taken, reaper.suspects) == ([], 1)


def test_a_worker_without_a_scheduler_reads_what_others_heard(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder)
    reaped(a_reaper(folder, saying(RUNNING)), beaten, LOST_S + 5)
    reaper = a_reaper(folder)

    taken = reaped(reaper, beaten, LOST_S + 5, LOST_S + 15)

    assert (taken, reaper.suspects) == ([], 1)


def test_a_worker_asks_nothing_about_another_cluster(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder, cluster="elsewhere")
    scheduler = saying(ENDED)

    taken = reaped(a_reaper(folder, scheduler), beaten, 4, LOST_S + 1)

    assert (causes(taken), scheduler.n_asked) == ([Cause.LOST], 0)


def test_the_schedulers_word_on_a_process_that_is_gone_is_waited_for(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(
        folder, pid=gone_process(), space=own_worker_record(started=0, cores=1).space
    )
    scheduler = saying(RUNNING)
    reaper = a_reaper(folder, scheduler)
    at_once = reaped(reaper, beaten, 0.1)
    scheduler.say("12", Phase.ENDED, Cause.MEMORY)

    later = reaped(reaper, beaten, 0.1 + ASK_S)

    assert (at_once, causes(later)) == ([], [Cause.MEMORY])


def test_a_process_that_is_gone_from_a_running_job_does_not_hang(folder: Path) -> None:
    space = own_worker_record(started=0, cores=1).space
    claim, beaten = claim_by_distant_worker(folder, pid=gone_process(), space=space)
    write_memory_mark(folder, worker_name(DEAD), claim.id, 950.0)

    (taken,) = reaped(a_reaper(folder, saying(RUNNING)), beaten, 4)

    why = "the worker vanished without a final record; its task used 950 of 1000 MB"
    assert (taken.cause, taken.why) == (Cause.MEMORY, why)


# feedback from the death of a worker


def test_memory_that_was_too_little_becomes_a_bound(folder: Path) -> None:
    claim, beaten = claim_by_distant_worker(folder, memory_mb=1000)
    write_memory_mark(folder, worker_name(DEAD), claim.id, 950.0)

    reaped(a_reaper(folder, saying((Phase.ENDED, None, "FAILED"))), beaten, 4)

    (attempt,) = all_attempts(folder)
    assert (attempt.cause, attempt.peak_memory_mb) == (Cause.MEMORY, 950.0)
    assert Pool(folder).record(claim.position).memory_mb == pytest.approx(1000, rel=0.05)


def test_what_was_noted_of_another_task_is_no_evidence(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder, memory_mb=1000)
    write_memory_mark(folder, worker_name(DEAD), "another", 950.0)

    taken = reaped(a_reaper(folder, saying((Phase.ENDED, None, "FAILED"))), beaten, 4)

    assert causes(taken) == [Cause.LOST]


def test_time_that_was_too_short_becomes_a_bound(folder: Path) -> None:
    claim, beaten = claim_by_distant_worker(folder, cores=4, end=time.time() + 100)

    reaped(a_reaper(folder, saying(ENDED)), beaten, 4)

    assert Pool(folder).record(claim.position).core_s == pytest.approx(400, rel=0.06)


def test_time_is_no_bound_for_a_task_that_made_progress(folder: Path) -> None:
    claim, beaten = claim_by_distant_worker(folder, cores=4, end=time.time() + 100)
    finished = folder / "checkpoints" / claim.id / f"{worker_name(DEAD)}.jsonl"
    finished.parent.mkdir(parents=True)
    finished.touch()
    os.utime(finished, (beaten + 1, beaten + 1))

    taken = reaped(a_reaper(folder, saying(ENDED)), beaten, 4)

    assert causes(taken) == [Cause.TIME]
    assert Pool(folder).record(claim.position).core_s is None


def test_who_beat_until_the_end_of_its_job_ran_out_of_time(folder: Path) -> None:
    _, beaten = claim_by_distant_worker(folder, end=time.time() + 1)

    taken = reaped(a_reaper(folder, saying()), beaten, LOST_S - 3, LOST_S + ASK_S)

    assert causes(taken) == [Cause.TIME]


def test_a_task_that_is_lost_again_and_again_is_parked(folder: Path) -> None:
    found = [lose_first_task(folder, number) for number in (1, 2, 3)]

    record = Pool(folder).record(0)
    assert found == [[Cause.LOST]] * 3
    assert (record.state, record.same) == (TaskState.PARKED, 3)


def lose_first_task(folder: Path, number: int) -> list[Cause]:
    a_worker_record(pid=gone_process()).write(folder, worker_name(number))
    pool = Pool(folder, worker=number)
    shard, slot = pool.locate(0)
    with shard.transaction() as transaction:
        pool.claim_in(transaction, slot)
    return causes_reaped(folder)


def test_the_error_that_the_dead_worker_wrote_teaches(folder: Path) -> None:
    claim = claim_by_dead_worker(folder)
    write_attempt(folder, replace(an_attempt(claim, Cause.ERROR), error="KeyError: 'a'"))

    causes_reaped(folder)

    assert Pool(folder).record(claim.position).error == short_fingerprint("KeyError: 'b'")


def test_a_note_of_use_is_read_back(folder: Path) -> None:
    a_worker_record().write(folder, worker_name(1))

    write_memory_mark(folder, worker_name(1), "abc", 12.3456)
    write_memory_mark(folder, worker_name(1), "abd", 23.4567)

    mark = read_memory_mark(folder, worker_name(1))
    assert mark is not None
    assert (mark.task, mark.peak_memory_mb) == ("abd", 23.457)
    assert read_memory_mark(folder, worker_name(2)) is None


# a worker that was told to stop


def stopped(folder: Path, scheduler: SimulatedScheduler, job: str = "12") -> Cause | None:
    worker_record = a_worker_record(job=job, cluster="hpc")
    return Reaper(Pool(folder, worker=1), worker_record, scheduler=scheduler).why_stopped(
        time.time()
    )


@pytest.mark.parametrize(
    ("scheduler", "cause"),
    [
        (saying(ENDED), Cause.TIME),
        (saying((Phase.WAITING, Cause.PREEMPTED, "REQUEUED")), Cause.PREEMPTED),
        (saying((Phase.ENDING, None, "COMPLETING")), None),
        (saying(RUNNING), None),
        (silent_scheduler(), None),
    ],
)
def test_a_stopped_worker_asks_why(
    folder: Path, scheduler: SimulatedScheduler, cause: Cause | None
) -> None:
    assert stopped(folder, scheduler) is cause


def test_of_many_stopped_workers_one_asks_for_all(folder: Path) -> None:
    claim_by_distant_worker(folder, job="13")
    scheduler = saying(ENDED)
    scheduler.say("13", *ENDED)

    found = [stopped(folder, scheduler, job) for job in ("12", "13")]

    assert (found, scheduler.n_asked) == ([Cause.TIME, Cause.TIME], 1)


def test_a_stopped_worker_outside_a_job_asks_nobody(folder: Path) -> None:
    assert a_reaper(folder).why_stopped(time.time()) is None


class Waking(Pool):
    """A pool whose dead worker goes on between the look at it and the lock."""

    def __init__(self, folder: Path, wakes: Callable[[], object]) -> None:
        super().__init__(folder, worker=FINDER)
        self.wakes = wakes

    def take_back(self, *given: Any, **named: Any) -> bool:
        self.wakes()
        return super().take_back(*given, **named)


@pytest.mark.parametrize("goes_on", ["beat", "result"])
def test_a_worker_that_goes_on_keeps_its_task(folder: Path, goes_on: str) -> None:
    worker = SimulatedWorker(folder, DEAD)
    record = a_worker_record().write(folder, worker.name)
    claim = worker.claim(0)
    observation = observe(folder, worker.name)
    wakes = {
        "beat": lambda: os.utime(record, (1e9, 2e9)),
        "result": lambda: worker.write_result(claim),
    }
    pool = Waking(folder, wakes[goes_on])

    taken = take_back(pool, 0, pool.record(0), observation, None)

    assert taken is None
    assert pool.record(0).owner == DEAD
    assert [one for one in all_attempts(folder) if one.cause is Cause.LOST] == []


def test_a_worker_that_goes_on_while_slurm_is_asked_keeps_its_task(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_worker_record(job="12", cluster="hpc", space="elsewhere").write(
        folder, worker_name(DEAD)
    )
    Puller(Pool(folder, worker=DEAD), random.Random(1)).next()
    os.utime(path, (1.0, 1.0))
    scheduler = saying(ENDED)
    query = scheduler.query

    def slow_query(*words: Any) -> Any:
        beat(path)
        return query(*words)

    monkeypatch.setattr(scheduler, "query", slow_query)

    assert a_reaper(folder, scheduler).reap(time.time()) == []
