"""Intervals hold what they say: of tasks, of sums, of what was cut, of what was never tried."""

import os
import time
import zipfile
from itertools import starmap
from pathlib import Path

import numpy as np
import pytest

from benchmarks.calibration import NO_END_S, foresee, measure, pulled
from benchmarks.calibration_studies import SIMULATED, TimedStudy, simulated, timed_study
from jobpool.execution.deadline import JobEnd
from jobpool.execution.matching import TaskMatcher
from jobpool.journal.workers import own_worker_record
from jobpool.needs.calibration import KNOTS, UNKNOWN, unpacked
from jobpool.needs.estimates import Estimates, Suitability, load_estimates, suitability
from jobpool.needs.learning import LATEST_S, forecast_of, learn, running_tasks
from jobpool.needs.model_file import FILE_NAME
from jobpool.pool import Pool
from jobpool.table.selection import select
from jobpool.task import Cause, Feedback
from tests.needs.test_estimates import Size
from tests.support.builders import NOOP, a_pool
from tests.support.needs_study import LIMIT_S, Diary, Truth, a_study, wholes
from tests.support.simulated import SimulatedWorker, end_claim

NOW = 1_700_000_000.0


def known(pool: Pool, now: float = NOW) -> Estimates:
    found = forecast_of(pool, now)
    assert found is not None
    return found


@pytest.mark.parametrize("study", ["sites", "uneven", "subjects"])
def test_intervals_hold_four_of_five_tasks_when_a_twentieth_is_done(study: str) -> None:
    held = [measure(simulated(study, seed), 0.05, seed).inside for seed in (1, 2)]

    assert np.mean(held) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("study", ["uneven-few", "tailed-few"])
def test_intervals_of_small_studies_hold_four_of_five_tasks_on_average(study: str) -> None:
    held = [measure(simulated(study, seed), 0.2, seed).inside for seed in range(8)]

    assert np.mean(held) == pytest.approx(0.8, abs=0.05)


def test_what_the_user_said_of_a_task_is_no_guess(tmp_path: Path) -> None:
    initial = 'needs:\n  - {only: ["method=m2"], time: 5h, memory_gb: 20}\n'
    pool = a_study(tmp_path, text=NOOP + initial)

    guessed = known(pool).vague()

    named = select(pool.grid, ("method=m2",))
    assert not guessed[named].any()
    assert guessed[~named].all()


def test_the_work_left_is_uncertain_after_five_attempts() -> None:
    study = simulated("subjects", 1)

    found = foresee(study, list(range(0, 4500, 900)))

    work = found.work(np.ones(len(study.grid), bool), 1, NO_END_S).interval()
    assert work.high / work.low > 1.5
    assert work.low < study.seconds.sum() < work.high


@pytest.mark.parametrize("study", ["fits", "words", "sleeps"])
def test_intervals_of_recorded_studies_hold_four_of_five_tasks_on_average(study: str) -> None:
    held = [measure(timed_study(study, seed), 0.1, seed).inside for seed in range(8)]

    assert np.mean(held) == pytest.approx(0.8, abs=0.06)


def test_tasks_that_run_count_as_longer_than_those_that_ended_first() -> None:
    study = timed_study("uneven", 1)
    n_done = len(study.grid) // 5
    done, running = pulled(study, n_done, n_done // 2, 1)
    rest = np.ones(len(study.grid), bool)
    rest[[*done, *running]] = False

    deaf, heard = foresee(study, done), foresee(study, done, running=running)

    held = [share_held(found, study, rest) for found in (deaf, heard)]
    assert held[0] < 0.75 < held[1] < 0.85
    assert deaf.seconds(1)[rest].sum() < heard.seconds(1)[rest].sum()


def share_held(found: Estimates, study: TimedStudy, among: np.ndarray) -> float:
    low, high = found.seconds(1, 0.1), found.seconds(1, 0.9)
    return float(np.mean(((low <= study.seconds) & (study.seconds <= high))[among]))


def test_a_running_task_is_heard_with_the_time_until_its_last_heartbeat(tmp_path: Path) -> None:
    folder = a_pool(tmp_path)
    worker = SimulatedWorker(folder, 9)
    record = own_worker_record(started=0.0, cores=4).write(folder, worker.name)
    position = worker.claim(3).position
    began = worker.pool.record(position).changed_ms / 1000
    os.utime(record, (began + 500, began + 500))

    found = running_tasks(Pool(folder))

    assert set(found) == {position}
    assert (found[position].cores, found[position].memory_mb) == (4, 0.0)
    assert found[position].seconds == pytest.approx(500, abs=0.1)


def test_the_interval_of_the_work_left_holds_it_in_about_four_of_five_studies() -> None:
    held = [measure(simulated("subjects", seed), 0.1, seed).work for seed in range(40)]

    assert 26 <= sum(held) <= 38


def one_slice(seed: int) -> tuple[TimedStudy, Estimates]:
    """Return a study of which one setting was tried, with one seed, at every site."""
    study = simulated("sites", seed)
    tried = (study.grid.column("factor") == 4) & (study.grid.column("seed") == 0)
    return study, foresee(study, np.flatnonzero(tried).tolist())


def test_values_never_tried_widen_the_interval() -> None:
    study, found = one_slice(1)

    low, high = found.seconds(1, 0.1), found.seconds(1, 0.9)
    inside = (low <= study.seconds) & (study.seconds <= high)
    assert inside.mean() > 0.8
    assert np.median(high / low) > 4


def test_values_never_tried_exclude_no_task_from_a_worker_of_the_largest_pass() -> None:
    _, found = one_slice(1)
    tiny, never_tried = Size(seconds_left=1.0, seconds_in_all=1.0), study_of(found, 5)

    largest = suitability(found, tiny, lambda: never_tried)
    smaller = suitability(found, tiny)

    assert found.vague()[never_tried].all()
    assert largest.possible[never_tried].all()
    assert not smaller.possible[never_tried].all()


def test_a_worker_knows_for_which_tasks_no_pass_has_more(tmp_path: Path) -> None:
    passes = (
        "passes:\n  small: {cores: 1, memory_gb: 4, walltime: 1h}\n"
        "  large: {cores: 8, memory_gb: 64, walltime: 20h, only: ['method=m1']}\n"
    )
    pool = a_study(tmp_path, text=NOOP + passes)
    Diary(pool).run(Truth(pool.grid), wholes(pool.grid)[:20])
    learn(pool, NOW)
    given = list[Suitability | None]()
    now = time.time()
    record = own_worker_record(started=now, end=now + 3600, cores=1, memory_mb=4096)

    matcher = TaskMatcher(pool, record, JobEnd(record.end))
    matcher.refresh(given.append, NOW)

    larger = select(pool.grid, ("method=m1",))
    assert np.array_equal(~larger, matcher.has_largest())
    assert given[0] is not None


def study_of(found: Estimates, factor: int) -> np.ndarray:
    chosen: np.ndarray = found.grid.column("factor") == factor
    return chosen


def test_the_work_of_values_never_tried_is_as_uncertain_as_they_are() -> None:
    study, found = one_slice(2)
    rest = np.ones(len(study.grid), bool)

    work = found.work(rest, 1, NO_END_S).interval()

    assert work.low < study.seconds.sum() < work.high
    assert 5 < work.high / work.low < 50


def test_tasks_of_five_milliseconds_are_expected_to_take_five_milliseconds(tmp_path: Path) -> None:
    pool = a_study(tmp_path)
    diary = Diary(pool)
    for position in wholes(pool.grid)[:30].tolist():
        diary.write(position, 0.005)

    found = known(pool)

    whole = pool.grid.column("part") == 0
    assert np.median(found.seconds(1)[whole]) == pytest.approx(0.005, rel=0.1)
    assert np.median(found.seconds(1, 0.9)[whole]) < 0.01


def test_a_task_that_ran_out_of_time_is_expected_to_take_longer_at_once(tmp_path: Path) -> None:
    pool = a_study(tmp_path)
    diary, (task, *others) = Diary(pool), wholes(pool.grid)[:101].tolist()
    for position in others:
        diary.write(position, 1.0)
    learn(pool, NOW)
    end_claim(pool.folder, task, Cause.TIME, Feedback(core_s=98.0), seconds=98.0)

    found = known(pool)

    low, middle, high = (float(found.seconds(1, q)[task]) for q in (0.1, 0.5, 0.9))
    assert 90 < low < middle < high
    assert middle == pytest.approx(2 * 98, rel=0.1)
    assert found.chance(1, 100.0, None)[task] < 0.1


def test_what_is_cut_moves_the_estimates_of_its_like(tmp_path: Path) -> None:
    pool = a_study(tmp_path)
    truth, shuffled = Truth(pool.grid), wholes(pool.grid)
    method = pool.grid.column("method")[shuffled]
    Diary(pool).run(truth, shuffled[method < 3][:60])
    before = known(pool).seconds(1)
    diary = Diary(pool, 2)
    for position in shuffled[method == 3][:4].tolist():
        diary.write(position, LIMIT_S, Cause.TIME)

    after = known(pool, NOW + LATEST_S).seconds(1)

    like, unlike = shuffled[method == 3][4:], shuffled[method == 0]
    assert np.median(after[like] / before[like]) > 2
    assert np.median(after[unlike] / before[unlike]) < 1.5


def test_a_few_among_many_are_learned_in_the_end(tmp_path: Path) -> None:
    pool = a_study(tmp_path)
    diary, shuffled = Diary(pool), wholes(pool.grid).tolist()
    for position in shuffled[:100]:
        diary.write(position, 60.0)
    learn(pool, NOW)
    diary.write(shuffled[100], 60.0)

    soon, later = learn(pool, NOW + 1), learn(pool, NOW + LATEST_S)

    assert (soon, later) == (False, True)


def test_what_was_cut_raises_the_upper_end() -> None:
    study = simulated("subjects", 1)
    order = np.random.default_rng(1).permutation(len(study.grid))[:1000].tolist()
    most_s = float(np.quantile(study.seconds, 0.7))
    short = [one for one in order if study.seconds[one] < most_s]
    long = [one for one in order if study.seconds[one] >= most_s]

    ignored, heard = foresee(study, short), foresee(study, short, long, most_s)

    above_ignored, above = (np.mean(study.seconds > f.seconds(1, 0.9)) for f in (ignored, heard))
    assert above == pytest.approx(0.1, abs=0.06)
    assert above < above_ignored / 2


def test_what_a_version_before_learned_is_learned_again(tmp_path: Path) -> None:
    pool = a_study(tmp_path)
    Diary(pool).run(Truth(pool.grid), wholes(pool.grid)[:30], limit_s=1e9)
    learn(pool, NOW)
    path = pool.folder / FILE_NAME
    with zipfile.ZipFile(path) as archive:
        before = {name: archive.read(name) for name in archive.namelist()}
    new = {"kept.npy", "time_calibration.npy", "memory_calibration.npy"}
    with zipfile.ZipFile(path, "w") as archive:
        list(starmap(archive.writestr, ((name, before[name]) for name in before.keys() - new)))

    lost, again = load_estimates(pool, fewest=1), learn(pool, NOW)

    assert (lost, again) == (None, True)
    assert known(pool).n_attempts == 30


@pytest.mark.parametrize("odd", [np.zeros(3), np.full(17, np.nan), -UNKNOWN.packed()])
def test_errors_that_do_not_rise_are_refused(odd: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"errors|calibration"):
        unpacked(odd)


def test_an_error_and_its_place_are_opposites() -> None:
    found = unpacked(np.concatenate([np.sinh(KNOTS), [0.0, 1.0, 0.0, 0.0]]))
    z = np.linspace(-6, 6, 49)

    assert np.allclose(found.normal_at(found.error_at(z)), z)


def test_every_simulated_study_has_a_time_for_each_task() -> None:
    found = {name: simulated(name, 1) for name in SIMULATED}

    assert all(len(one.seconds) == len(one.grid) for one in found.values())
