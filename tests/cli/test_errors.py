"""``jobpool errors``: failures grouped by cause and traceback, the newest first."""

from pathlib import Path

from jobpool.journal.attempts import all_attempts
from jobpool.overview.failures import FailureGroup, find_logs, group_failures
from jobpool.pool import Pool
from jobpool.task import Cause
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.parts import a_split_pool, position_of
from tests.support.simulated import BEGAN, SimulatedWorker

TRACEBACK = """Traceback (most recent call last):
  File "/home/a/lab.py", line {line}, in run
    fit(X)
  File "/home/a/lab.py", line 7, in {function}
    raise ValueError(message)
{error}
"""


def a_traceback(error: str, line: int = 3, function: str = "fit") -> str:
    return TRACEBACK.format(error=error, line=line, function=function)


def groups_of(folder: Path) -> tuple[FailureGroup, ...]:
    return group_failures(all_attempts(folder))


def test_failures_that_differ_in_numbers_only_are_one_group(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    first, second = "ValueError: 3 is odd at 0x7f00", "ValueError: 12.5 is odd at 0x7fa1"
    worker.fail(3, error=first, traceback=a_traceback(first, line=3))
    worker.fail(5, error=second, traceback=a_traceback(second, line=4))

    (group,) = groups_of(worker.pool.folder)

    assert group.n_attempts == 2
    assert len(group.tasks) == 2


def test_failures_at_different_places_in_the_code_are_apart(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    error = "ValueError: no"
    worker.fail(3, error=error, traceback=a_traceback(error, function="fit"))
    worker.fail(5, error=error, traceback=a_traceback(error, function="predict"))

    assert len(groups_of(worker.pool.folder)) == 2


def test_failures_of_different_causes_are_apart(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, Cause.MEMORY, error=None)
    worker.fail(5, Cause.LOST, error=None)

    assert {group.cause for group in groups_of(worker.pool.folder)} == {Cause.MEMORY, Cause.LOST}


def test_the_group_that_failed_last_comes_first(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, Cause.ERROR, ended=BEGAN + 10)
    worker.fail(4, Cause.MEMORY, ended=BEGAN + 30)
    worker.fail(5, Cause.ERROR, ended=BEGAN + 20)

    groups = groups_of(worker.pool.folder)

    assert [group.cause for group in groups] == [Cause.MEMORY, Cause.ERROR]
    assert groups[1].tasks == tuple(map(worker.pool.grid.id, (5, 3)))


def test_what_parked_tasks_comes_before_what_is_newer(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, error="this", ended=BEGAN + 10)
    worker.fail(4, error="this", ended=BEGAN + 20)
    worker.fail(5, error="that", ended=BEGAN + 30)

    first, second = group_failures(all_attempts(worker.pool.folder), {worker.pool.grid.id(3)})

    assert (first.newest.error, second.newest.error) == ("this", "that")
    assert (first.n_parked, second.n_parked) == (1, 0)
    assert first.tasks == tuple(map(worker.pool.grid.id, (3, 4)))


def test_a_task_is_parked_by_its_last_failure_alone(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, error="this", ended=BEGAN + 10)
    worker.fail(3, error="that", ended=BEGAN + 20)

    groups = group_failures(all_attempts(worker.pool.folder), {worker.pool.grid.id(3)})

    assert [(one.newest.error, one.n_parked) for one in groups] == [("that", 1), ("this", 0)]


def test_parked_tasks_lead_to_the_command_that_lets_them_wait_again(
    fast_path: Path, jobpool: Jobpool
) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    traceback = a_traceback("ValueError: no luck")
    worker.fail(3, traceback=traceback)
    worker.fail(3, traceback=traceback)
    worker.fail(3, traceback=traceback)

    shown = jobpool("errors", worker.pool.folder).stdout

    assert "now: 1 parked" in shown
    assert "    | ValueError: no luck" in shown
    assert shown.endswith(f"when the cause is corrected: jobpool retry {worker.pool.folder}\n")


def test_a_task_that_was_split_is_told_so(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_split_pool(fast_path)
    SimulatedWorker(folder).fail(position_of(folder, "south"), Cause.TIME, error="too long")

    shown = jobpool("errors", folder).stdout

    assert "now: 1 split into parts" in shown
    assert "site=south phase=all" in shown


def test_a_task_that_failed_twice_is_one_task_with_two_attempts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3)
    worker.fail(3)

    (group,) = groups_of(worker.pool.folder)

    assert (group.n_attempts, len(group.tasks)) == (2, 1)


def test_attempts_that_ended_well_are_no_failures(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(1)

    assert groups_of(worker.pool.folder) == ()


def test_the_log_of_a_job_is_found_by_its_whole_number(fast_path: Path) -> None:
    logs = a_pool(fast_path) / "logs"
    wanted = logs / "study-first-123_4.out"
    wanted.touch()
    (logs / "study-first-1123_4.out").touch()
    (logs / "study-first-123_45.out").touch()

    assert find_logs(logs.parent, "123_4") == [wanted]


def test_the_command_says_what_became_of_tasks_that_failed(
    fast_path: Path, jobpool: Jobpool
) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, traceback=a_traceback("ValueError: no luck"), job="88")
    worker.fail(4, traceback=a_traceback("ValueError: no luck"), job="88")
    worker.do(3)
    (worker.pool.folder / "logs" / "first-88.out").touch()

    shown = jobpool("errors", worker.pool.folder).stdout

    assert "error: ValueError: no luck" in shown
    assert "2 attempts of 2 tasks" in shown
    assert "now: 1 waiting, 1 done" in shown
    assert f"log: {worker.pool.folder}/logs/first-88.out" in shown
    assert worker.pool.grid.id(3) in shown


def test_the_command_keeps_to_a_cause(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3)
    worker.fail(4, Cause.MEMORY, error="killed")

    shown = jobpool("errors", worker.pool.folder, "--cause", "memory").stdout

    assert "memory: killed" in shown
    assert "no luck" not in shown


def test_an_unknown_cause_is_answered_with_the_nearest_one(
    fast_path: Path, jobpool: Jobpool
) -> None:
    shown = jobpool("errors", a_pool(fast_path), "--cause", "memroy")

    assert shown.returncode == 2
    assert "did you mean 'memory'?" in shown.stderr


def test_the_command_keeps_to_a_selection(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    numbers = [dict(worker.pool.grid.point(position))["number"] for position in (3, 4)]
    worker.fail(3, error="this")
    worker.fail(4, error="that")

    shown = jobpool("errors", worker.pool.folder, "--only", f"number={numbers[1]}").stdout

    assert "error: that" in shown
    assert "error: this" not in shown


def test_groups_beyond_the_limit_are_counted(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3, error="this")
    worker.fail(4, error="that")

    shown = jobpool("errors", worker.pool.folder, "--limit", "1").stdout

    assert "... and 1 more kind: --limit 2" in shown


def test_a_pool_without_failures_says_so(fast_path: Path, jobpool: Jobpool) -> None:
    folder = a_pool(fast_path)

    shown = jobpool("errors", folder)

    assert (shown.returncode, shown.stdout) == (0, f"no attempt failed in {folder}\n")


def test_a_damaged_attempt_is_counted_aloud(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.fail(3)
    path = worker.attempts_file
    path.write_bytes(path.read_bytes().replace(b"luck", b"lack"))

    shown = jobpool("errors", worker.pool.folder)

    assert "1 damaged line left out" in shown.stderr
    assert Pool(worker.pool.folder).record(3).attempts == 1
