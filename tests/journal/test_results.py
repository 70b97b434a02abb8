"""Results on disk."""

from dataclasses import replace
from pathlib import Path

from jobpool.journal.results import Result, result_of, write_result

RESULT = Result(
    task="l5ciunfhmh5g",
    fence=2,
    worker="00000000000a",
    point=(("number", 1),),
    started=1.0,
    ended=2.0,
    result={"score": 0.5},
)


def test_a_claim_leads_to_its_own_result(tmp_path: Path) -> None:
    write_result(tmp_path, replace(RESULT, fence=1, result={"score": 0.1}))
    write_result(tmp_path, RESULT)

    assert result_of(tmp_path, RESULT.task, RESULT.worker, 2) == RESULT


def test_a_claim_without_a_result_has_none(tmp_path: Path) -> None:
    write_result(tmp_path, RESULT)

    assert result_of(tmp_path, RESULT.task, RESULT.worker, 3) is None


def test_the_files_of_other_workers_are_not_read(tmp_path: Path) -> None:
    write_result(tmp_path, RESULT)

    assert result_of(tmp_path, RESULT.task, "00000000000b", 2) is None
