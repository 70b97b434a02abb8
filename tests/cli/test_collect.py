"""``jobpool collect``: what it writes, shows and says."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from jobpool import __version__
from jobpool.admin.create import create_pool
from jobpool.errors import Fault
from jobpool.table.grid import Attribute, full_product
from jobpool.task import Axis
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment
from tests.support.parts import (
    a_pool_in_parts,
    do_part,
    do_whole,
)
from tests.support.simulated import SimulatedWorker


def test_a_done_task_without_a_result_is_named_aloud(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    worker.results_file.unlink()

    shown = jobpool("collect", worker.pool.folder)

    assert shown.returncode == Fault.POOL
    assert f"1 task done without a result on disk: {worker.pool.grid.id(3)}" in shown.stderr
    assert "jobpool doctor" in shown.stderr


def test_a_pool_without_its_experiment_file_is_named(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3)
    file = worker.pool.folder / "experiment.yaml"
    file.unlink()

    shown = jobpool("collect", worker.pool.folder)

    assert shown.returncode == Fault.POOL
    assert shown.stderr == f"jobpool: {file}: missing; restore it from a backup\n"


def test_a_damaged_line_is_named_aloud(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path))
    worker.do(3, 4)
    with worker.results_file.open("ab") as stream:
        stream.write(b'{"format":1,"ta')

    shown = jobpool("collect", worker.pool.folder)

    assert shown.returncode == 0
    assert f"1 damaged line left out: {worker.results_file} line 3" in shown.stderr


def test_a_worker_whose_id_is_all_digits_stands_where_others_stand(
    fast_path: Path, jobpool: Jobpool
) -> None:
    worker = SimulatedWorker(a_pool(fast_path), number=0x123456789012)
    worker.do(3)

    head, row = jobpool("collect", worker.pool.folder).stdout.splitlines()[:2]

    assert head.index("worker") == row.index("123456789012")


@pytest.mark.parametrize(("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
def test_the_file_holds_every_row(
    fast_path: Path, jobpool: Jobpool, suffix: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 30))
    worker.do(*range(0, 30, 2))
    file = fast_path / f"results{suffix}"

    shown = jobpool("collect", worker.pool.folder, "-o", file)
    table = read(file)

    assert shown.returncode == 0
    assert len(table) == table["task"].nunique() == 15
    assert set(table["task"]) == {worker.pool.grid.id(i) for i in range(0, 30, 2)}


def test_incomplete_sets_are_told_with_exit_code_zero(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool_in_parts(fast_path))
    do_whole(worker)
    do_part(worker, 2)
    file = fast_path / "incomplete.csv"

    shown = jobpool("collect", worker.pool.folder, "--incomplete", file)

    assert shown.returncode == 0
    assert "site=south: 2 of 3 parts missing: 1, 3" in shown.stderr
    assert pd.read_csv(file).to_dict("list") == {
        "site": ["south"],
        "n_parts": [3],
        "missing": ["1, 3"],
    }


def test_an_unknown_suffix_is_refused_before_any_work(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("collect", fast_path / "no-pool", "-o", fast_path / "results.xls")

    assert shown.returncode == 2
    assert "write .csv or .parquet" in " ".join(shown.stderr.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "/proc/results.csv"], "/proc/results.csv cannot be written: "),
        (["-o", "a.csv", "--predictions", "./a.csv"], "a.csv is to be written twice"),
        (["-o", "a.csv", "--incomplete", "a.csv"], "a.csv is to be written twice"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(
    fast_path: Path,
    jobpool: Jobpool,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(fast_path)

    shown = jobpool("collect", fast_path / "no-pool", *options)

    assert shown.returncode == 2
    assert said in " ".join(shown.stderr.split())
    assert list(fast_path.iterdir()) == []


def test_scores_are_among_the_columns_shown(fast_path: Path, jobpool: Jobpool) -> None:
    values = tuple(range(3))
    same = [Attribute(name=f"same{i}", axis="number", values=("x",) * 3) for i in range(10)]
    copy = Attribute(name="copy", axis="number", values=values)
    size = Attribute(name="size", axis="number", values=(10, 20, 20))
    grid = full_product([Axis(name="number", values=values)], [*same, copy, size])
    experiment = an_experiment(fast_path / "study", *grid.axes)
    create_pool(fast_path / "pool", experiment, grid, lambda _: None, now=0)
    worker = SimulatedWorker(fast_path / "pool")
    worker.do(0, 1, 2)

    shown = jobpool("collect", worker.pool.folder)

    assert shown.stdout.split("\n")[0].split()[:4] == ["task", "number", "size", "value"]


def test_a_result_called_score_can_be_long(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 2, call="tests.support.tasks:scored")
    ran = jobpool("run", pool)

    shown = jobpool("collect", pool, "--long", "-o", tmp_path / "long.csv")

    table = pd.read_csv(tmp_path / "long.csv")
    assert (ran.returncode, shown.returncode) == (0, 0), shown.stderr
    assert table.columns[:4].tolist() == ["task", "number", "metric", "score"]
    assert table["metric"].tolist() == ["score"] * 2 + ["letters"] * 2


def test_a_missing_folder_is_refused_before_any_work(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("collect", fast_path / "no-pool", "-o", fast_path / "none" / "results.csv")

    assert shown.returncode == 2
    assert "no such folder" in shown.stderr


def test_without_a_file_the_first_rows_are_shown(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 25))
    worker.do(*range(25))

    shown = jobpool("collect", worker.pool.folder).stdout.splitlines()

    assert shown[0].split()[:3] == ["task", "number", "value"]
    assert len(shown) == 22
    assert shown[-1].startswith("... 25 rows of ")


def test_an_empty_pool_gives_a_table_without_rows(fast_path: Path, jobpool: Jobpool) -> None:
    file = fast_path / "results.csv"

    shown = jobpool("collect", a_pool(fast_path), "-o", file)

    assert shown.returncode == 0
    assert pd.read_csv(file).columns[:2].tolist() == ["task", "number"]
    assert len(pd.read_csv(file)) == 0


def test_attempts_keep_to_a_selection(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0, 1, 2)
    file = fast_path / "attempts.csv"

    jobpool("collect", worker.pool.folder, "--attempts", "--only", "number=1", "-o", file)

    assert pd.read_csv(file)["number"].tolist() == [1]


def test_a_pool_that_kept_no_predictions_says_how_to_keep_them(
    fast_path: Path, jobpool: Jobpool
) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.do(0)
    file = fast_path / "predictions.csv"

    shown = jobpool("collect", worker.pool.folder, "--predictions", file)

    assert shown.returncode == 1
    assert "write predictions: keep in the section of the runner evaluate" in shown.stderr
    assert sorted(fast_path.glob("*predictions*")) == []


def test_a_parquet_file_tells_where_it_came_from(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.do(0, 1)
    file = fast_path / "results.parquet"

    jobpool("collect", worker.pool.folder, "--skip", "number=2", "-o", file)

    about = pd.read_parquet(file).attrs["jobpool"]
    text = (worker.pool.folder / "experiment.yaml").read_bytes()
    assert about["experiment_sha256"] == hashlib.sha256(text).hexdigest()
    assert about["experiment_text"] == text.decode()
    assert (about["pool"], about["jobpool"], about["seed"]) == ("pool", __version__, 1)
    assert (about["tasks"], about["skip"]) == ({"done": 2, "all": 3}, ["number=2"])


def test_a_csv_file_tells_where_it_came_from(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.do(0, 1)
    file = fast_path / "results.csv"

    jobpool("collect", worker.pool.folder, "-o", file)

    table = pd.read_csv(file)
    text = (worker.pool.folder / "experiment.yaml").read_bytes()
    assert table.columns[-3:].tolist() == ["pool", "experiment", "collected"]
    assert set(table["experiment"]) == {f"sha256:{hashlib.sha256(text).hexdigest()[:12]}"}


def test_attempts_by_part_are_refused(fast_path: Path, jobpool: Jobpool) -> None:
    shown = jobpool("collect", fast_path, "--attempts", "--long")

    assert shown.returncode == 2
    assert "--attempts" in shown.stderr
