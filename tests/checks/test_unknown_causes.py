"""A cause that only a newer jobpool knows is shown as it is, and held against nothing."""

import time
from pathlib import Path

import numpy as np
import pytest

from jobpool.checks.evidence import gather
from jobpool.collect.attempts import attempts_frame
from jobpool.journal.attempts import all_attempts, damaged_attempts
from jobpool.journal.jsonl import append_line
from jobpool.liveness.postmortem import DeadClaim, postmortem_of
from jobpool.needs.samples import Censored, read_new
from jobpool.overview.spending import read_spending
from jobpool.pool import Pool
from jobpool.report.costs import cost_section
from jobpool.table.records import Record
from jobpool.task import Cause, Json, TaskState, UnknownCause, cause_of
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.parts import damage_records
from tests.support.simulated import BEGAN, SimulatedWorker

EVICTED = UnknownCause("evicted")


@pytest.fixture
def folder(fast_path: Path) -> Path:
    """Return a pool where an attempt on the first task was evicted, and the second is done."""
    pool = a_pool(fast_path, 3)
    worker = SimulatedWorker(pool)
    claim = worker.claim(0)
    worker.write_end(claim, EVICTED, "made way for a maintenance")
    worker.end(claim, Cause.CANCELLED)
    worker.do(1)
    return pool


@pytest.mark.parametrize("cause", Cause)
def test_each_known_cause_is_read_as_itself(cause: Cause) -> None:
    assert cause_of(str(cause)) is cause


def test_an_attempt_with_an_unknown_cause_keeps_the_word(folder: Path) -> None:
    assert sorted(str(one.cause) for one in all_attempts(folder)) == ["done", "evicted"]


def test_a_line_with_an_unknown_cause_is_not_damaged(folder: Path) -> None:
    assert damaged_attempts(folder) == []


@pytest.mark.parametrize("cause", ["", "<b>no</b>", "No Cause", "x" * 40, 7, None])
def test_what_is_no_word_is_no_cause(folder: Path, cause: Json) -> None:
    worker = SimulatedWorker(folder)
    line: dict[str, Json] = {
        "task": "a",
        "fence": 1,
        "worker": worker.name,
        "ended": BEGAN,
        "cause": cause,
    }
    append_line(worker.attempts_file, {"format": 1, **line})

    assert [number for _, number in damaged_attempts(folder)] == [3]


def test_the_doctor_finds_nothing_wrong_with_an_unknown_cause(
    folder: Path, jobpool: Jobpool
) -> None:
    assert "all is well" in jobpool("doctor", folder).stdout


def test_a_record_made_anew_holds_nothing_unknown_against_its_task(
    folder: Path, jobpool: Jobpool
) -> None:
    damage_records(folder, 0)

    jobpool("doctor", folder, "--repair")

    record = Pool(folder).record(0)
    assert (record.state, record.attempts, record.bounds) == (TaskState.WAITING, 0, 0)


def test_errors_shows_an_unknown_cause(folder: Path, jobpool: Jobpool) -> None:
    assert "\nevicted: made way for a maintenance\n" in jobpool("errors", folder).stdout


def test_errors_can_be_asked_for_an_unknown_cause_that_is_there(
    folder: Path, jobpool: Jobpool
) -> None:
    assert "evicted" in jobpool("errors", folder, "--cause", "evicted").stdout


def test_the_log_shows_an_unknown_cause(folder: Path, jobpool: Jobpool) -> None:
    assert "attempt 1 ended: evicted" in jobpool("log", folder).stdout


def test_a_table_of_attempts_has_an_unknown_cause(folder: Path) -> None:
    assert sorted(attempts_frame(Pool(folder))["cause"]) == ["done", "evicted"]


def test_costs_of_an_unknown_cause_are_counted(folder: Path) -> None:
    pool = Pool(folder)
    spent = read_spending(pool, np.ones(3, bool), now=time.time()).frame

    table = cost_section(pool.grid, spent).items[0]

    frame = table.frame.set_index("outcome")  # type: ignore[union-attr]
    assert frame.loc["evicted", "core-hours"] == pytest.approx(10 / 3600)
    assert frame["core-hours"].sum() == pytest.approx(spent["core_hours"].sum())


def test_an_unknown_cause_is_no_bound_of_what_a_task_needs(folder: Path) -> None:
    samples, _ = read_new(folder, {})
    (evicted,) = [one for one in samples if one.cause == EVICTED]

    assert Censored().after(evicted).seconds == 0


def test_an_unknown_cause_teaches_a_repair_nothing(folder: Path) -> None:
    (seen,) = gather(Pool(folder)).attempts[0]

    assert Record().learned(Cause.CANCELLED, seen.feedback) == (0, 0)


def test_who_died_after_an_unknown_word_is_not_held_against_the_task(folder: Path) -> None:
    worker = SimulatedWorker(folder, number=2)
    claim = worker.claim(2)
    worker.write_end(claim, EVICTED)
    dead = DeadClaim(
        task=claim.id,
        checkpoint=claim.id,
        fence=claim.fence,
        claimed=BEGAN,
        worker=worker.name,
        worker_record=None,
        beaten=BEGAN,
        end_slack_s=0.0,
        seen=None,
    )

    assert postmortem_of(folder, dead).cause is Cause.CANCELLED
