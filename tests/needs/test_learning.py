"""Learning: from attempts on disk to estimates, a little at a time or all at once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobpool.admin.extend import extend_pool
from jobpool.journal.jsonl import worker_file
from jobpool.needs.estimates import Estimates, Latest, load_estimates
from jobpool.needs.features import layout_of
from jobpool.needs.learning import learn
from jobpool.needs.model_file import FILE_NAME, read_model_state
from jobpool.pool import Pool
from jobpool.table.task_index import positions_of
from jobpool.task import Cause, TaskState
from tests.support.builders import NOOP, an_experiment
from tests.support.needs_study import LIMIT_S, Diary, Truth, a_study, study_grid, wholes
from tests.support.simulated import SimulatedWorker

NOW = 1_700_000_000.0


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return a_study(tmp_path)


@pytest.fixture(scope="module")
def small_pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    pool = a_study(tmp_path_factory.mktemp("small"), study_grid(2, 4))
    Diary(pool).write(0, 60.0)
    learn(pool, NOW)
    return pool


def estimates(pool: Pool) -> Estimates:
    found = load_estimates(pool, fewest=1)
    assert found is not None
    return found


def learned(pool: Pool) -> Estimates:
    assert learn(pool, NOW)
    return estimates(pool)


def mark_done(pool: Pool, position: int) -> None:
    worker = SimulatedWorker(pool.folder, 9)
    worker.end(worker.claim(position), Cause.DONE)


def test_a_new_pool_teaches_nothing(pool: Pool) -> None:
    assert not learn(pool, NOW)
    assert load_estimates(pool, fewest=1) is None


def test_medians_of_held_out_tasks_are_within_a_factor_of_two(pool: Pool) -> None:
    truth, shuffled = Truth(pool.grid), wholes(pool.grid)
    Diary(pool).run(truth, shuffled[:100])

    found = learned(pool)

    rest = shuffled[100:]
    times = found.seconds(1)[rest] / truth.expected_s[rest]
    memories = found.memory_mb(1)[rest] / truth.memory_mb[rest]
    assert np.mean(np.abs(np.log(times)) < np.log(2)) > 0.97
    assert np.mean(np.abs(np.log(memories)) < np.log(2)) > 0.97


def test_nine_tenths_of_held_out_tasks_lie_within_their_interval(pool: Pool) -> None:
    truth, shuffled = Truth(pool.grid), wholes(pool.grid)
    Diary(pool).run(truth, shuffled[:60])

    found = learned(pool)

    rest, low, high = shuffled[60:], found.seconds(1, 0.05), found.seconds(1, 0.95)
    inside = (low[rest] < truth.seconds[rest]) & (truth.seconds[rest] < high[rest])
    assert 0.85 < inside.mean() <= 1


def test_parts_are_expected_to_take_their_share_before_any_was_run(pool: Pool) -> None:
    Diary(pool).run(Truth(pool.grid), wholes(pool.grid)[:100])

    found = learned(pool).seconds(1)

    whole = np.flatnonzero(pool.grid.column("part") == 0)
    assert np.median(found[whole] / found[whole + 1]) == pytest.approx(5.0, rel=0.01)


def test_what_only_runs_out_of_time_is_known_as_long(pool: Pool) -> None:
    truth, shuffled = Truth(pool.grid), wholes(pool.grid)
    method = pool.grid.column("method")[shuffled]
    Diary(pool).run(truth, shuffled[method < 3][:40])
    diary = Diary(pool, 2)
    for position in shuffled[method == 3][:10].tolist():
        diary.write(position, LIMIT_S, Cause.TIME)

    found = learned(pool).seconds(1)

    assert np.median(found[shuffled[method == 3]]) > LIMIT_S
    assert np.median(found[shuffled[method == 0]]) < LIMIT_S / 10


def test_what_only_runs_out_of_memory_is_known_as_large(pool: Pool) -> None:
    shuffled = wholes(pool.grid)
    diary = Diary(pool)
    for position in shuffled[:20].tolist():
        diary.write(position, 60.0, Cause.MEMORY, peak_mb=3000.0, memory_mb=8192)

    found = learned(pool).memory_mb(1)

    assert np.median(found[shuffled[20:]]) > 8192


def test_cores_shorten_times_as_was_seen(pool: Pool) -> None:
    truth, shuffled = Truth(pool.grid), wholes(pool.grid)
    Diary(pool).run(truth, shuffled[:80])
    Diary(pool, 2, cores=16).run(truth, shuffled[80:160])

    found = learned(pool)

    rest = shuffled[160:]
    speedup = found.seconds(1)[rest] / found.seconds(16)[rest]
    assert np.allclose(speedup, 16**0.85, rtol=0.3)


def test_a_little_at_a_time_teaches_the_same_as_all_at_once(tmp_path: Path) -> None:
    little, whole = a_study(tmp_path / "a"), a_study(tmp_path / "b")
    truth, shuffled = Truth(little.grid), wholes(little.grid)
    one, other = Diary(little), Diary(whole)
    for first in range(0, 100, 20):
        one.run(truth, shuffled[first : first + 20])
        learn(little, NOW)
    other.run(truth, shuffled[:100])

    found, expected = estimates(little), learned(whole)

    assert found.n_attempts == expected.n_attempts
    assert np.allclose(np.log(found.seconds(4)), np.log(expected.seconds(4)), atol=0.03)


def test_nothing_new_is_nothing_to_learn(pool: Pool) -> None:
    Diary(pool).write(0, 60.0)
    learn(pool, NOW)

    assert not learn(pool, NOW)


def test_a_few_among_many_are_left_for_later(pool: Pool) -> None:
    diary, shuffled = Diary(pool), wholes(pool.grid).tolist()
    for position in shuffled[:100]:
        diary.write(position, 60.0)
    learn(pool, NOW)
    diary.write(shuffled[100], 60.0)
    too_few = learn(pool, NOW)
    for position in shuffled[101:110]:
        diary.write(position, 60.0)

    enough = learn(pool, NOW)

    assert (too_few, enough) == (False, True)
    assert estimates(pool).n_attempts == 110


def test_a_line_that_is_still_being_written_is_read_later(pool: Pool) -> None:
    diary = Diary(pool)
    diary.write(0, 60.0)
    diary.write(6, 60.0)
    path = worker_file(pool.folder, "attempts", diary.name)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    first = learned(pool).n_attempts

    path.write_bytes(whole)

    assert (first, learned(pool).n_attempts) == (1, 2)


def test_a_damaged_file_is_made_anew(pool: Pool) -> None:
    Diary(pool).run(Truth(pool.grid), wholes(pool.grid)[:30])
    before = learned(pool).seconds(1)
    path = pool.folder / FILE_NAME
    path.write_bytes(path.read_bytes()[:-100])

    lost, found = load_estimates(pool, fewest=1), learned(pool).seconds(1)

    assert lost is None
    assert np.allclose(found, before)


@given(
    place=st.floats(0, 1, exclude_max=True),
    flipped=st.integers(1, 255),
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_byte_is_noticed_or_harmless(
    small_pool: Pool, place: float, flipped: int
) -> None:
    path = small_pool.folder / FILE_NAME
    whole = path.read_bytes()
    content = bytearray(whole)
    content[int(place * len(content))] ^= flipped
    path.write_bytes(content)

    state = read_model_state(small_pool.folder, layout_of(small_pool.grid).digest)
    found = load_estimates(small_pool, fewest=1)

    path.write_bytes(whole)
    assert state is None or state.n_attempts == 1
    assert found is None or found.n_attempts == 1


def test_an_extended_pool_is_learned_anew_with_its_new_values(tmp_path: Path) -> None:
    small, large = study_grid(n_sizes=20), study_grid(n_sizes=25)
    pool = a_study(tmp_path, small)
    Diary(pool).run(Truth(small), wholes(pool.grid)[:40])
    learn(pool, NOW)
    axes = tuple(axis for axis in large.axes if axis.name != "part")
    extend_pool(pool, an_experiment(tmp_path / "study", *axes), large, lambda _: None)
    fresh, stale = Pool(pool.folder), pool
    learn(fresh, NOW)
    Diary(fresh, 2).run(Truth(large), wholes(fresh.grid)[:5])

    assert learn(stale, NOW)

    found = estimates(fresh)
    assert len(found.seconds(1)) == len(large)
    assert 40 < found.n_attempts <= 45


def test_an_initial_estimate_alone_moves_the_tasks_that_it_names(tmp_path: Path) -> None:
    initial = 'needs:\n  - {only: ["method=m2"], time: 5h, memory_gb: 20}\n'
    pool = a_study(tmp_path, text=NOOP + initial)

    found = learned(pool)

    named = pool.grid.column("method") == 2
    named &= pool.grid.column("part") == 0
    assert 2 * 3600 < np.median(found.seconds(1)[named]) < 6 * 3600
    assert 8_000 < np.median(found.memory_mb(1)[named]) < 25_000
    assert found.n_attempts == 0


def test_a_wrong_initial_estimate_is_soon_outweighed(tmp_path: Path) -> None:
    pool = a_study(tmp_path, text=NOOP + "needs:\n  - {time: 500h}\n")
    truth, shuffled = Truth(pool.grid), wholes(pool.grid)
    Diary(pool).run(truth, shuffled[:60])

    found = learned(pool)

    rest = shuffled[60:]
    ratio = np.log(found.seconds(1)[rest] / truth.expected_s[rest])
    assert abs(np.median(ratio)) < 0.3


def test_time_that_a_checkpoint_kept_is_added(pool: Pool) -> None:
    diary = Diary(pool)
    for position in wholes(pool.grid)[:40].tolist():
        diary.write(position, 10_000.0, Cause.TIME)
        diary.write(position, 1_000.0, fence=2)

    found = learned(pool).seconds(1)

    assert 9_000 < np.median(found[pool.grid.column("part") == 0]) < 12_000


def test_parts_of_a_whole_that_ran_before_say_nothing_of_their_time(pool: Pool) -> None:
    whole = int(wholes(pool.grid)[0])
    diary = Diary(pool)
    diary.write(whole, 10_000.0, Cause.TIME)
    for part in pool.grid.parts.of(whole):
        diary.write(part, 1.0)

    found = learned(pool).seconds(1)

    assert found[whole + 1] > 60


def test_bounds_of_a_task_that_is_done_are_forgotten(pool: Pool) -> None:
    Diary(pool).write(0, 10_000.0, Cause.TIME)
    mark_done(pool, 0)

    learn(pool, NOW)

    state = read_model_state(pool.folder, layout_of(pool.grid).digest)
    assert state is not None
    assert not state.censored
    assert state.n_attempts == 0


def test_an_attempt_found_by_another_counts_no_time(pool: Pool) -> None:
    Diary(pool).write(0, 60.0)
    before = learned(pool).n_attempts

    worker = SimulatedWorker(pool.folder, 9)
    worker.fail(6, Cause.ERROR)

    assert learned(pool).n_attempts == before


def test_estimates_are_read_again_when_somebody_has_learned(pool: Pool) -> None:
    latest = Latest(pool, fewest=1)
    Diary(pool).write(0, 60.0)
    nothing = latest.estimates()
    learn(pool, NOW)
    first, again = latest.estimates(), latest.estimates()
    Diary(pool).write(6, 60.0)
    learn(pool, NOW)

    last = latest.estimates()

    assert nothing is None
    assert first is again
    assert last is not None
    assert last.n_attempts == 2


def test_a_pool_with_few_of_all_combinations_is_estimated_alike(tmp_path: Path) -> None:
    whole = study_grid()
    few = whole.take(np.arange(0, len(whole), 7))
    pool = a_study(tmp_path, few)
    Diary(pool).run(Truth(pool.grid), range(0, len(few), 2))

    found = learned(pool).seconds(1)

    error = np.log(found / Truth(pool.grid).expected_s)
    assert len(found) == len(few)
    assert np.sqrt(np.mean(error**2)) < 0.7


def test_positions_are_found_by_their_ids(pool: Pool) -> None:
    wanted = {pool.grid.id(position): position for position in (0, 5, len(pool.grid) - 1)}

    assert positions_of(pool.grid, [*wanted, "aaaaaaaaaaaa"]) == wanted


def test_a_task_that_failed_is_expected_to_need_more_than_it_had(pool: Pool) -> None:
    truth, shuffled = Truth(pool.grid), wholes(pool.grid).tolist()
    Diary(pool).run(truth, shuffled[:100])
    task, like = shuffled[100], shuffled[101]
    before = learned(pool).memory_mb(1)
    for position in shuffled[100:120:10]:
        enough = 3 * int(before[position])
        Diary(pool, 2).write(position, 1.0, Cause.MEMORY, memory_mb=enough, peak_mb=1.0)
    Diary(pool, 3).run(truth, shuffled[120:130])

    found = learned(pool)

    assert found.memory_mb(1, 0.05)[task] > 3 * int(before[task])
    assert found.memory_mb(1)[like] < 2 * before[like]
    assert found.chance(1, None, 3 * before[task])[task] < 0.05


def test_running_tasks_keep_their_bounds(pool: Pool) -> None:
    Diary(pool).write(0, 10_000.0, Cause.TIME)
    learn(pool, NOW)

    state = read_model_state(pool.folder, layout_of(pool.grid).digest)

    assert state is not None
    assert list(state.censored) == [0]
    assert pool.record(0).state is TaskState.WAITING
