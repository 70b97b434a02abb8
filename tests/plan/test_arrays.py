"""Each waiting task goes to the cheapest size in which it probably ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.experiment.config import Pass
from jobpool.plan.arrays import Plan, Wanted, make_plan, share
from jobpool.plan.backlog import Backlog
from jobpool.plan.sizes import usable_s
from jobpool.scheduler.base import Limits, Order, Partition
from jobpool.scheduler.slurm.scheduler import Slurm
from jobpool.table.grid import Grid, full_product, split_parts
from jobpool.table.records import code_of
from jobpool.task import Axis
from tests.support.needs_study import HOUR_S, Forecast, forecast

FIRST = Pass(name="first", cores=1, memory_gb=4, walltime_s=3 * HOUR_S, max_running=50)
SECOND = Pass(name="second", cores=16, memory_gb=64, walltime_s=30 * HOUR_S)
SHORT = Limits(
    max_array_size=1001,
    partitions=(
        Partition(
            name="short",
            is_default=True,
            is_up=True,
            max_time_s=3 * HOUR_S,
            nodes=((16, 70_000), (8, 20_000)),
        ),
        Partition(
            name="long", is_default=False, is_up=True, max_time_s=None, nodes=((16, 70_000),)
        ),
    ),
)


def numbers(n_tasks: int) -> Grid:
    return full_product([Axis(name="number", values=tuple(range(n_tasks)))])


def backlog(
    waiting: Sequence[bool],
    gb: Mapping[int, float] | None = None,
    core_hours: Mapping[int, float] | None = None,
) -> Backlog:
    memory, time = np.zeros(len(waiting), np.uint8), np.zeros(len(waiting), np.uint8)
    for position, amount in (gb or {}).items():
        memory[position] = code_of(amount * 1024)
    for position, amount in (core_hours or {}).items():
        time[position] = code_of(amount * HOUR_S)
    return Backlog(
        waiting=np.array(waiting),
        memory_code=memory,
        time_code=time,
        elsewhere={},
    )


def plan_of(
    known: Forecast | None,
    *,
    tasks: Backlog,
    grid: Grid | None = None,
    passes: Sequence[Pass] = (FIRST, SECOND),
    site: Limits | None = None,
    **wanted: Any,
) -> Plan:
    return make_plan(
        grid or numbers(len(tasks.waiting)),
        tasks,
        known,
        passes,
        site.refusal if site else lambda _: None,
        Wanted(**{"queued": {}, **wanted}),
    )


def sizes(plan: Plan) -> dict[str, list[int]]:
    """Return which tasks go to which size."""
    return {one.size.name: np.flatnonzero(one.tasks).tolist() for one in plan.division.assignments}


def test_a_task_goes_to_the_cheapest_pass_in_which_it_probably_ends() -> None:
    known = forecast([1, 20, 1, 1], gb=[1, 1, 30, 1])

    plan = plan_of(known, tasks=backlog([True, True, True, False]))

    assert sizes(plan) == {"first": [0], "second": [1, 2]}


def test_a_task_that_just_fits_on_average_goes_to_the_next_pass() -> None:
    known = forecast([2.8, 2.8], sd=0.3)

    plan = plan_of(known, tasks=backlog([True, True]))

    assert sizes(plan) == {"second": [0, 1]}


@pytest.mark.parametrize("bounds", [{"gb": {1: 4}}, {"core_hours": {1: 3}}])
def test_what_was_too_little_before_is_not_offered_again(
    bounds: dict[str, dict[int, float]],
) -> None:
    known = forecast([1, 1])

    plan = plan_of(known, tasks=backlog([True, True], **bounds))

    assert sizes(plan) == {"first": [0], "second": [1]}


@pytest.mark.parametrize("minutes", [4, 5, 10, 19, 20, 180])
def test_a_pass_promises_no_more_time_than_the_warning_leaves(minutes: int) -> None:
    one = replace(FIRST, walltime_s=minutes * 60.0)
    order = Order(size=one, jobs=1, pool=Path("/pool"), name="x", program="jobpool")

    (command,) = (" ".join(sent.command) for sent in Slurm().submissions(order, 1001))

    warned_s = int(command.partition("--signal=B:USR1@")[2].split()[0])
    assert usable_s(one) <= one.walltime_s - warned_s - 60  # it may come a minute early
    assert usable_s(one) >= one.walltime_s / 2


def test_a_pass_with_a_warning_of_its_own_promises_what_that_leaves() -> None:
    one = replace(FIRST, walltime_s=HOUR_S, sbatch=("--signal=B:USR1@600",))

    assert usable_s(one) == HOUR_S - 660


def test_without_anything_learned_all_go_to_the_first_pass() -> None:
    plan = plan_of(None, tasks=backlog([True] * 5))

    assert sizes(plan) == {"first": [0, 1, 2, 3, 4]}
    assert [array.jobs for array in plan.arrays] == [5]
    assert (plan.core_hours, plan.end_s, plan.n_attempts) == (None, None, None)


def test_without_passes_tasks_go_to_a_usual_size() -> None:
    plan = plan_of(None, tasks=backlog([True]), passes=())

    assert sizes(plan) == {"usual": [0]}


def test_what_fits_no_pass_gets_a_larger_size() -> None:
    known = forecast([1, 50], gb=[1, 100])

    plan = plan_of(known, tasks=backlog([True, True]))

    (_, large) = plan.arrays
    assert large.proposed
    assert (large.size.name, large.size.cores) == ("128gb-3d", 16)


def test_a_bound_alone_is_doubled() -> None:
    plan = plan_of(None, tasks=backlog([True], gb={0: 64}))

    assert sizes(plan) == {"128gb-1d12h": [0]}


def test_a_task_in_doubt_is_tried_in_a_pass_before_a_larger_size_is_proposed() -> None:
    known = forecast([1, 1], sd=1.5)

    plan = plan_of(known, tasks=backlog([True, True]), passes=[FIRST])

    assert sizes(plan) == {"first": [0, 1]}


def test_a_few_sizes_are_proposed_for_many_needs() -> None:
    known = forecast([100.0] * 40, gb=np.linspace(70, 900, 40).tolist())

    plan = plan_of(known, tasks=backlog([True] * 40), passes=[FIRST])

    assert len(plan.arrays) == 3
    assert sum(array.n_tasks for array in plan.arrays) == 40


def test_a_proposed_size_stays_within_the_partition() -> None:
    known = forecast([2], gb=[50])

    plan = plan_of(known, tasks=backlog([True]), passes=[FIRST], site=SHORT)

    (array,) = plan.arrays
    assert SHORT.refusal(array.size) is None
    assert array.size.memory_gb == 64


def test_between_two_steps_there_may_be_room_for_just_what_is_needed() -> None:
    known = forecast([2], gb=[60])  # the next step is 96 GB, a node has 68

    plan = plan_of(known, tasks=backlog([True]), passes=[FIRST], site=SHORT)

    (array,) = plan.arrays
    assert 60 < array.size.memory_gb < 70_000 / 1024


def test_what_exceeds_the_cluster_is_in_no_array() -> None:
    known = forecast([1, 5], gb=[1, 1])

    plan = plan_of(known, tasks=backlog([True, True]), passes=[FIRST], site=SHORT)

    assert sizes(plan) == {"first": [0]}
    assert np.flatnonzero(plan.division.too_large).tolist() == [1]
    assert SHORT.refusal(plan.division.size_for(1)) == "partition short allows 3 h"


def test_a_pass_that_the_cluster_refuses_is_left_out_with_the_reason() -> None:
    plan = plan_of(forecast([1]), tasks=backlog([True]), passes=[SECOND, FIRST], site=SHORT)

    assert plan.division.refused == ((SECOND, "partition short allows 3 h"),)
    assert sizes(plan) == {"first": [0]}


def test_tasks_that_no_pass_selects_are_left_out() -> None:
    one = replace(FIRST, only=("number<1",))

    plan = plan_of(forecast([1, 1]), tasks=backlog([True, True]), passes=[one])

    assert sizes(plan) == {"first": [0]}
    assert np.flatnonzero(plan.division.unselected).tolist() == [1]


def with_parts() -> tuple[Grid, list[bool]]:
    """Return two whole tasks, each followed by two dormant parts, and which of all wait."""
    part = Axis(name="part", values=("all", 0, 1))
    grid = split_parts(numbers(2), part, np.zeros(2, bool))
    return grid, [True, False, False] * 2


def test_a_whole_task_that_is_too_long_is_split_where_its_parts_fit() -> None:
    grid, waiting = with_parts()
    known = forecast([1, 0.5, 0.5, 4, 2, 2])

    plan = plan_of(known, tasks=backlog(waiting), grid=grid)

    (array,) = plan.arrays
    (assignment,) = plan.division.assignments
    assert (array.size.name, array.n_tasks, array.n_split) == ("first", 2, 1)
    assert np.flatnonzero(assignment.runs).tolist() == [0, 4, 5]


def test_a_size_is_proposed_for_parts_where_the_cluster_has_no_room_for_the_whole() -> None:
    grid, waiting = with_parts()
    known = forecast([10, 1, 1, 10, 1, 1], gb=[8])

    plan = plan_of(known, tasks=backlog(waiting), grid=grid, passes=[FIRST], site=SHORT)

    (array,) = plan.arrays
    assert (array.size.name, array.n_split) == ("12gb-2h", 2)


def test_a_whole_task_is_not_split_for_lack_of_memory_alone() -> None:
    grid, waiting = with_parts()

    plan = plan_of(None, tasks=backlog(waiting, gb={0: 4}), grid=grid)

    assert sizes(plan) == {"first": [3], "second": [0]}
    assert not any(array.n_split for array in plan.arrays)


def test_there_are_as_many_jobs_as_do_the_work_in_about_one_walltime() -> None:
    plan = plan_of(forecast([1.2] * 100, sd=0.01), tasks=backlog([True] * 100))

    assert [array.jobs for array in plan.arrays] == [50]


def test_many_short_tasks_share_a_job() -> None:
    plan = plan_of(forecast([0.01] * 1000), tasks=backlog([True] * 1000))

    assert [array.jobs for array in plan.arrays] == [4]


def test_jobs_in_the_queue_are_not_submitted_again() -> None:
    known = forecast([1.2] * 100, sd=0.01)

    plan = plan_of(known, tasks=backlog([True] * 100), queued={"first": 30, "second": 2})

    assert [(array.queued, array.jobs) for array in plan.arrays] == [(30, 20)]


def test_jobs_of_a_pass_with_a_space_in_its_name_are_not_submitted_again() -> None:
    known, spaced = forecast([1.2] * 100, sd=0.01), replace(FIRST, name="first pass")

    plan = plan_of(known, tasks=backlog([True] * 100), passes=(spaced,), queued={"first_pass": 30})

    assert [(array.queued, array.jobs) for array in plan.arrays] == [(30, 20)]


def test_jobs_of_a_size_proposed_earlier_count_for_the_one_proposed_now() -> None:
    known = forecast([40], gb=[100])

    plan = plan_of(known, tasks=backlog([True]), queued={"96gb-2d": 1})

    assert plan.n_jobs == 0


def test_all_sizes_together_have_no_more_jobs_than_asked() -> None:
    known = forecast([2.0] * 300 + [20.0] * 30, sd=0.01)

    plan = plan_of(known, tasks=backlog([True] * 330), most=60, queued={"first": 20})

    assert {a.size.name: (a.queued, a.jobs) for a in plan.arrays} == {
        "first": (20, 10),
        "second": (0, 30),
    }


def test_keep_full_queues_no_more_than_may_run() -> None:
    plan = plan_of(None, tasks=backlog([True] * 400), keep_full=True, queued={"first": 20})

    assert plan.n_jobs == 30


def test_the_end_rests_on_the_jobs_that_run_at_one_time() -> None:
    known = forecast([1.0] * 1000, sd=0.01)

    plan = plan_of(known, tasks=backlog([True] * 1000), most=1000)

    assert plan.end_s is not None
    assert [array.at_once for array in plan.arrays] == [50]
    assert plan.end_s.middle == pytest.approx(1000 / 50 * HOUR_S, rel=0.01)


def test_the_end_is_not_before_the_longest_task() -> None:
    known = forecast([0.1] * 50 + [2.0], sd=0.01)

    plan = plan_of(known, tasks=backlog([True] * 51))

    assert plan.end_s is not None
    assert plan.end_s.middle >= 2 * HOUR_S


def test_the_end_is_unknown_while_a_size_has_no_room_in_the_queue() -> None:
    known = forecast([1.0, 20.0])

    plan = plan_of(known, tasks=backlog([True, True]), most=1)

    assert plan.n_jobs == 1
    assert plan.end_s is None


def test_a_guess_sends_a_task_to_the_cheapest_pass_in_which_it_is_possible() -> None:
    guessed = replace(forecast([4.0, 200.0], sd=1.5), is_vague=True)

    plan = plan_of(guessed, tasks=backlog([True, True]))

    assert sizes(plan) == {"first": [0], "second": [1]}


def test_a_guess_excludes_no_task_from_all_passes() -> None:
    guessed = replace(forecast([500.0, 1.0], sd=1.0), is_vague=True)

    plan = plan_of(guessed, tasks=backlog([True, True]), passes=[FIRST], site=SHORT)

    assert sizes(plan) == {"first": [0, 1]}
    assert not plan.division.too_large.any()


def test_what_failed_is_not_tried_again_however_little_is_known() -> None:
    guessed = replace(forecast([1.0], sd=2.0), is_vague=True)

    plan = plan_of(guessed, tasks=backlog([True], core_hours={0: 3}), passes=[FIRST], site=SHORT)

    assert np.flatnonzero(plan.division.too_large).tolist() == [0]


def test_what_may_do_is_proposed_where_the_cluster_refuses_what_surely_does() -> None:
    known = forecast([2.5], sd=0.5)  # surely enough are 4.7 h, a partition has 3 h
    tiny = replace(FIRST, walltime_s=HOUR_S)

    plan = plan_of(known, tasks=backlog([True]), passes=[tiny], site=SHORT)

    (array,) = plan.arrays
    assert array.proposed
    assert SHORT.refusal(array.size) is None


def test_nothing_exceeds_a_cluster_that_refuses_nothing() -> None:
    known = forecast([40.0] * 5, gb=[300] * 5, sd=1.2)

    plan = plan_of(known, tasks=backlog([True] * 5), passes=[FIRST])

    assert not plan.division.too_large.any()
    assert sum(array.n_tasks for array in plan.arrays) == 5


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e9)), max_size=6), st.integers(0, 1000)
)
def test_shares_neither_exceed_what_is_asked_nor_what_there_is(
    sizes: list[tuple[int, float]], most: int
) -> None:
    asked, weights = [jobs for jobs, _ in sizes], [weight for _, weight in sizes]

    shares = share(asked, most, weights)

    assert sum(shares) == min(sum(asked), most)
    assert all(0 <= one <= jobs for one, jobs in zip(shares, asked, strict=True))
