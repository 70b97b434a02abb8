"""Feedback from the end of an attempt: bounds, equal errors, and who is offered the task next."""

import random
from pathlib import Path

import pytest

from jobpool.execution.claiming import Puller
from jobpool.journal.fingerprints import short_fingerprint
from jobpool.pool import Ending, Pool
from jobpool.table.records import Record, WorkerLimits, amount_of, code_of, limits_of
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause, Claim, Feedback, TaskState
from tests.support.builders import a_pool

SMALL, LARGE = limits_of(4096, 3 * 3600), limits_of(65536, 16 * 30 * 3600)
OUT_OF_MEMORY = Feedback(memory_mb=4096)
OUT_OF_TIME = Feedback(core_s=3 * 3600)


def a_puller(folder: Path, worker: int, limits: WorkerLimits, seed: int = 1) -> Puller:
    return Puller(Pool(folder, worker=worker), random.Random(seed), limits=lambda: limits)


def end_one(folder: Path, cause: Cause, feedback: Feedback, limits: WorkerLimits = SMALL) -> Claim:
    claim = a_puller(folder, 7, limits).next().claim
    assert claim is not None
    Pool(folder, worker=7).end(Ending(claim=claim, cause=cause, feedback=feedback))
    return claim


@pytest.mark.parametrize(
    ("cause", "feedback"), [(Cause.MEMORY, OUT_OF_MEMORY), (Cause.TIME, OUT_OF_TIME)]
)
def test_a_task_that_was_too_large_is_not_offered_to_an_equal_worker(
    tmp_path: Path, cause: Cause, feedback: Feedback
) -> None:
    folder = a_pool(tmp_path, 1)
    end_one(folder, cause, feedback)

    turn = a_puller(folder, 8, SMALL).next()

    assert turn.claim is None


def test_a_worker_that_has_a_little_more_counts_as_equal(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    end_one(folder, Cause.MEMORY, OUT_OF_MEMORY)

    turn = a_puller(folder, 8, limits_of(4200, None)).next()

    assert turn.claim is None


def test_a_worker_without_a_known_limit_is_offered_everything(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    end_one(folder, Cause.MEMORY, OUT_OF_MEMORY)

    turn = a_puller(folder, 8, limits_of(None, None)).next()

    assert turn.claim is not None


def test_a_large_worker_takes_first_what_a_small_one_could_not_end(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 10_000)
    failed = {end_one(folder, Cause.MEMORY, OUT_OF_MEMORY).position for _ in range(3)}

    puller = a_puller(folder, 8, LARGE)
    claims = [puller.next().claim]
    claims += [puller.next(done(claims[-1])).claim for _ in range(2)]

    assert {claim.position for claim in claims if claim} == failed


def done(claim: Claim | None) -> Ending:
    assert claim is not None
    return Ending(claim=claim, cause=Cause.DONE)


def test_a_small_worker_takes_the_others_meanwhile(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 3)
    failed = end_one(folder, Cause.MEMORY, OUT_OF_MEMORY)
    puller = a_puller(folder, 8, SMALL)

    first = puller.next().claim
    second = puller.next(done(first)).claim
    third = puller.next(done(second)).claim

    assert first is not None
    assert second is not None
    assert failed.position not in {first.position, second.position}
    assert third is None


def test_bounds_only_rise(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    claim = end_one(folder, Cause.MEMORY, OUT_OF_MEMORY)

    end_one(folder, Cause.MEMORY, Feedback(memory_mb=2048), LARGE)

    assert Pool(folder).record(claim.position).memory_mb == 4096


def test_a_bound_outlives_the_attempts_that_follow(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    claim = end_one(folder, Cause.TIME, OUT_OF_TIME)

    end_one(folder, Cause.CANCELLED, Feedback(), LARGE)

    record = Pool(folder).record(claim.position)
    assert record.core_s == pytest.approx(3 * 3600, rel=0.05)
    assert (record.memory_mb, record.attempts) == (None, 1)


def test_the_same_error_again_and_again_parks_a_task(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    error = Feedback(error=short_fingerprint("ValueError: no luck"))

    claims = [end_one(folder, Cause.ERROR, error) for _ in range(3)]

    record = Pool(folder).record(claims[0].position)
    assert (record.state, record.same, record.attempts) == (TaskState.PARKED, 3, 3)


def test_another_error_begins_the_count_anew(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    end_one(folder, Cause.ERROR, Feedback(error=1))
    end_one(folder, Cause.ERROR, Feedback(error=1))

    claim = end_one(folder, Cause.ERROR, Feedback(error=2))

    record = Pool(folder).record(claim.position)
    assert (record.state, record.same) == (TaskState.WAITING, 1)


def test_an_end_that_is_nobodys_fault_does_not_interrupt_the_count(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    end_one(folder, Cause.ERROR, Feedback(error=1))
    end_one(folder, Cause.PREEMPTED, Feedback())

    claim = end_one(folder, Cause.ERROR, Feedback(error=1))

    assert Pool(folder).record(claim.position).same == 2


def test_the_experiment_says_how_many_equal_errors_park_a_task(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1, settings=WorkerSettings(park_after=1))

    claim = end_one(folder, Cause.ERROR, Feedback(error=1))

    assert Pool(folder).record(claim.position).state is TaskState.PARKED


def test_a_worker_that_was_lost_counts_like_an_error(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1, settings=WorkerSettings(park_after=2))
    pool = Pool(folder, worker=7)
    first, second = Puller(pool, random.Random(1)), Puller(pool, random.Random(1))

    claim = first.next().claim
    assert claim is not None
    pool.take_back(claim.position, claim.fence, Cause.LOST)
    again = second.next().claim
    assert again is not None
    pool.take_back(again.position, again.fence, Cause.LOST)

    assert pool.record(claim.position).state is TaskState.PARKED


@pytest.mark.parametrize("amount", [1.0, 200.0, 4096.0, 1.7e6])
def test_a_code_stands_for_an_amount_within_a_twentieth(amount: float) -> None:
    code = code_of(amount)

    assert amount_of(code) == pytest.approx(amount, rel=0.05)


def test_a_record_keeps_its_bounds_on_disk(tmp_path: Path) -> None:
    bounds, same = Record().learned(Cause.ERROR, Feedback(memory_mb=4096, core_s=600, error=0xABCD))

    record = Record(bounds=bounds, same=same)

    assert record.memory_mb == 4096
    assert record.core_s == pytest.approx(600, rel=0.05)
    assert (record.error, record.same) == (0xABCD, 1)


def test_a_job_of_the_same_size_that_begins_a_little_sooner_counts_as_equal(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)
    end_one(folder, Cause.TIME, Feedback(core_s=10_140))

    turn = a_puller(folder, 8, limits_of(None, 10_740)).next()

    assert turn.claim is None


@pytest.mark.parametrize("state", [TaskState.HELD, TaskState.PARKED])
def test_a_late_result_is_taken_while_nobody_runs_its_task(
    tmp_path: Path, state: TaskState
) -> None:
    folder = a_pool(tmp_path, 1)
    pool = Pool(folder, worker=7)
    claim = Puller(pool, random.Random(1)).next().claim
    assert claim is not None
    pool.take_back(claim.position, claim.fence, Cause.PREEMPTED)
    shard, slot = pool.locate(claim.position)
    with shard.transaction() as transaction:
        transaction.put(slot, transaction.record(slot)._replace(state=state))

    assert pool.end(Ending(claim=claim, cause=Cause.DONE))
    assert pool.record(claim.position).state is TaskState.DONE


def test_ever_new_errors_park_a_task_at_last(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)

    claims = [end_one(folder, Cause.ERROR, Feedback(error=1 + n)) for n in range(9)]

    record = Pool(folder).record(claims[0].position)
    assert (record.state, record.same, record.attempts) == (TaskState.PARKED, 1, 9)


def test_a_disk_that_fails_one_task_alone_parks_it_at_last(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)

    claims = [end_one(folder, Cause.STORAGE, Feedback(error=1)) for _ in range(9)]

    record = Pool(folder).record(claims[0].position)
    assert (record.state, record.same, record.attempts) == (TaskState.PARKED, 9, 0)


def test_a_disk_that_fails_the_pool_parks_no_task(tmp_path: Path) -> None:
    folder = a_pool(tmp_path, 1)

    claims = [end_one(folder, Cause.STORAGE, Feedback()) for _ in range(20)]

    assert Pool(folder).record(claims[0].position).state is TaskState.WAITING
