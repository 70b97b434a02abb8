"""Tables of attempts and predictions, and the files that tables are written to."""

import math
from pathlib import Path

import pandas as pd

from jobpool.collect.attempts import attempts_frame
from jobpool.collect.frames import provenance, to_frame, write_frame
from jobpool.collect.predictions import EVERYTHING, Wanted, write_predictions
from jobpool.journal.attempts import Attempt, write_attempt
from jobpool.table.selection import select
from jobpool.task import Cause
from tests.support.builders import a_pool
from tests.support.parts import Doses, a_pool_in_parts, do_part, do_whole
from tests.support.simulated import SimulatedWorker


def test_whole_numbers_stay_whole_where_some_are_missing(fast_path: Path) -> None:
    file = fast_path / "table.csv"

    write_frame(file, to_frame({"n": [1, None], "flag": [True, None], "x": [1, 0.5]}))

    assert file.read_text(encoding="utf-8") == "n,flag,x\n1,true,1\n,,0.5\n"


def test_a_column_of_texts_among_numbers_becomes_text(fast_path: Path) -> None:
    file = fast_path / "table.parquet"

    write_frame(file, to_frame({"part": ["all", 0, None]}))

    assert pd.read_parquet(file)["part"].tolist()[:2] == ["all", "0"]


def test_nan_among_whole_numbers_makes_them_fractions() -> None:
    frame = to_frame({"n": [1, math.nan], "flag": [True, math.nan]})

    assert frame.dtypes.astype(str).tolist() == ["float64", "string"]


def test_a_whole_number_beyond_64_bits_is_kept_as_a_fraction() -> None:
    frame = to_frame({"n": [2**70, 1]})

    assert frame["n"].tolist() == [2.0**70, 1.0]


def test_attempts_give_one_row_each(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.fail(0, Cause.MEMORY)
    worker.do(0)

    frame = attempts_frame(worker.pool)

    assert frame["cause"].tolist() == ["memory", "done"]
    assert frame["fence"].tolist() == [1, 2]
    assert frame["seconds"].tolist() == [10.0, 10.0]
    assert frame["number"].tolist() == [dict(worker.pool.grid.point(0))["number"]] * 2


def test_attempts_of_an_empty_pool_have_all_columns(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    before = attempts_frame(worker.pool)
    worker.do(0)

    after = attempts_frame(worker.pool)

    assert (len(before), len(after)) == (0, 1)
    assert before.columns.tolist() == after.columns.tolist()
    assert before["task"].dtype == after["task"].dtype == "string"
    assert before["number"].dtype == after["number"].dtype == "int64"


def test_what_a_worker_thought_dead_says_of_its_attempt_counts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    claim = worker.claim(0)
    found = Attempt(
        task=claim.id,
        fence=claim.fence,
        worker=worker.name,
        cause=Cause.LOST,
        started=None,
        ended=1.0,
        found_by="0000000000ff",
    )
    write_attempt(worker.pool.folder, found)
    worker.finish(claim)

    frame = attempts_frame(worker.pool)

    assert frame["cause"].tolist() == ["done"]


def test_predictions_have_one_row_per_person_of_each_part(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 1)
    file = fast_path / "predictions.parquet"

    written = write_predictions(
        file, worker.pool, Doses(), Doses(), EVERYTHING, provenance(worker.pool)
    )

    table = pd.read_parquet(file)
    assert (written.n_rows, written.n_parts, written.n_without) == (6, 3, 1)
    assert table[["site", "phase", "person", "y"]].to_numpy().tolist() == [
        ["north", 1, "ann", 0.5],
        ["north", 1, "bob", 1.0],
        ["north", 2, "ann", 0.5],
        ["north", 2, "bob", 2.0],
        ["south", 1, "ann", 0.5],
        ["south", 1, "bob", 1.0],
    ]
    assert table["task"].nunique() == 2


def test_predictions_say_which_results_are_gone(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 2)
    lines = worker.results_file.read_bytes().splitlines(keepends=True)
    worker.results_file.write_bytes(lines[0] + b"{\n")

    written = write_predictions(fast_path / "p.csv", worker.pool, Doses(), Doses(), EVERYTHING, {})

    assert len(written.lost) == 1
    assert written.damaged == ((worker.results_file, 2),)


def test_predictions_keep_to_a_selection_of_parts(fast_path: Path) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 1)
    file, pool = fast_path / "predictions.csv", worker.pool

    wanted = Wanted(chosen=select(pool.grid, ["phase=2"]))
    written = write_predictions(file, pool, Doses(), Doses(), wanted, provenance(pool))

    assert (written.n_parts, written.n_without) == (1, 0)
    assert pd.read_csv(file)["phase"].tolist() == [2, 2]


def test_texts_with_commas_come_back_from_a_csv_file(fast_path: Path) -> None:
    file = fast_path / "table.csv"

    write_frame(file, to_frame({"x": ["a, b", 'say "no"', "two\nlines"], "n": [1, 2, 3]}))

    assert pd.read_csv(file).to_numpy().tolist() == [
        ["a, b", 1],
        ['say "no"', 2],
        ["two\nlines", 3],
    ]


def test_a_column_without_any_value_is_missing_as_a_whole() -> None:
    assert to_frame({"x": [None, None]})["x"].isna().tolist() == [True, True]
