"""What commands print fits the terminal, and one JSON object holds the same."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobpool as jobpool_api
from jobpool.admin.create import create_pool
from jobpool.cli.output import folded, json_text
from jobpool.cli.progress import Progress
from jobpool.collect.frames import _append_csv, _write_cells, frame_of
from jobpool.collect.reading import ReadNotes, n_read
from jobpool.collect.row_columns import times
from jobpool.pool import Pool
from jobpool.table.grid import full_product
from jobpool.task import Axis, Cause
from jobpool.units import table
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment
from tests.support.processes import wait_until
from tests.support.simulated import BEGAN, SimulatedWorker

LONG = "ValueError: the scans of participant 17 have no finite value in any parcel of this atlas"
ATLAS = "schaefer_with_a_long_name_in_fslr_{}_parcels"


@pytest.fixture
def wide(fast_path: Path) -> Path:
    """Make a pool with long values, a task that failed, one that is parked and one that is done."""
    axis = Axis(name="parcellation", values=tuple(ATLAS.format(n) for n in (100, 200, 300)))
    experiment = an_experiment(fast_path / "study", axis)
    create_pool(fast_path / "p", experiment, full_product([axis]), lambda _: None, now=0)
    worker = SimulatedWorker(fast_path / "p")
    worker.fail(0, error=LONG, job="812345_17")
    worker.finish(worker.claim(1), score=0.5)
    worker.fail(2, Cause.MEMORY)
    return fast_path / "p"


def run(width: int | None, *words: object) -> str:
    """Run a command whose output is as wide as COLUMNS says, and return that."""
    environment = {**os.environ} | ({} if width is None else {"COLUMNS": str(width)})
    command = [sys.executable, "-m", "jobpool", *map(str, words)]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return shown.stdout


def commands(pool: Path) -> dict[str, tuple[object, ...]]:
    task = Pool(pool).grid.id(0)
    return {
        "errors": ("errors", pool),
        "log": ("log", pool),
        "why": ("why", pool, task),
        "status": ("status", pool),
        "plan": ("plan", pool),
        "collect": ("collect", pool),
        "collect --attempts": ("collect", pool, "--attempts"),
        "collect --long": ("collect", pool, "--long"),
    }


@pytest.mark.parametrize(
    "name",
    ["errors", "log", "why", "status", "plan", "collect", "collect --attempts", "collect --long"],
)
def test_lines_fit_a_terminal_of_80_columns(wide: Path, name: str) -> None:
    shown = run(80, *commands(wide)[name])

    assert shown
    assert [line for line in shown.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", ["errors", "log"])
def test_a_program_that_reads_the_output_gets_whole_lines(wide: Path, name: str) -> None:
    assert LONG in run(None, *commands(wide)[name])


def test_a_real_terminal_says_how_wide_it_is(wide: Path) -> None:
    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "jobpool", "errors", str(wide)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}

    subprocess.run(command, env=environment, stdout=terminal, check=True)
    os.close(terminal)

    shown = os.read(reader, 1 << 16).decode()  # a new terminal says nothing: 80 columns
    assert max(map(len, shown.splitlines())) <= 80
    assert LONG not in shown


def test_a_command_is_not_folded() -> None:
    line = "  12 tasks parked; when the cause is corrected: jobpool retry pool --only a=b"

    assert folded(line, 60) == [
        "  12 tasks parked; when the cause is corrected:",
        "      jobpool retry pool --only a=b",
    ]


def test_code_goes_on_behind_its_bar() -> None:
    assert folded("    | raise ValueError('no scans of this site')", 30) == [
        "    | raise ValueError('no",
        "    |     scans of this site')",
    ]


def test_a_wide_table_keeps_its_numbers() -> None:
    rows = [[ATLAS.format(n), "1,000,000"] for n in (100, 200)]

    lines = table(["parcellation", "in queue"], rows, width=40)

    assert max(map(len, lines)) <= 40
    assert [line.split() for line in lines[2:]] == [
        ["schaefer_with..lr_100_parcels", "1,000,000"],
        ["schaefer_with..lr_200_parcels", "1,000,000"],
    ]


def in_json(jobpool: Jobpool, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jobpool(*words, "--json").stdout, parse_constant=pytest.fail)
    return found


def test_errors_in_json_has_every_group_with_its_tasks(wide: Path, jobpool: Jobpool) -> None:
    ids = Pool(wide).grid.ids()

    shown = in_json(jobpool, "errors", wide, "--limit", "1")

    assert {one["cause"]: one["tasks"] for one in shown["groups"]} == {
        "error": [ids[0]],
        "memory": [ids[2]],
    }
    (error,) = [one for one in shown["groups"] if one["cause"] == "error"]
    assert (error["error"], error["attempts"], error["now"]) == (LONG, 1, {"waiting": 1})
    assert error["last"] == {
        "task": ids[0],
        "ended": "2023-11-14T22:13:30.000+00:00",
        "worker": "000000000001",
        "node": "node1",
        "job": "812345_17",
    }


def test_errors_in_json_of_a_pool_without_any_is_an_object(
    fast_path: Path, jobpool: Jobpool
) -> None:
    shown = in_json(jobpool, "errors", a_pool(fast_path))

    assert (shown["groups"], shown["parked"], shown["nodes"]) == ([], 0, [])


def test_why_in_json_has_what_the_text_says(wide: Path, jobpool: Jobpool) -> None:
    task = Pool(wide).grid.id(0)

    shown = in_json(jobpool, "why", wide, task)

    assert (shown["task"], shown["state"], shown["failed_attempts"]) == (task, "waiting", 1)
    assert shown["axes"] == {"parcellation": dict(Pool(wide).grid.point(0))["parcellation"]}
    assert shown["answer"] == jobpool("why", wide, task).stdout.splitlines()[1]
    assert (shown["last_attempt"]["cause"], shown["last_attempt"]["error"]) == ("error", LONG)


def test_what_json_cannot_hold_is_written_as_what_it_can() -> None:
    found = json.loads(json_text({"caf\udce9": [float("inf"), ("a\ud800", 2**70)]}))

    assert found == {"caf\\udce9": [None, ["a\\ud800", 2**70]]}


def test_collect_in_json_has_every_row(wide: Path, jobpool: Jobpool) -> None:
    pool = Pool(wide)

    shown = in_json(jobpool, "collect", wide)

    (row,) = shown["rows"]
    assert (row["task"], row["score"], row["cores"]) == (pool.grid.id(1), 0.5, None)
    assert row["ended"] == "2023-11-14T22:13:30.000+00:00"
    assert (shown["n_rows"], shown["metrics"], shown["lost"]) == (1, ["score"], [])


def test_collect_in_json_names_what_did_not_become_a_row(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 3))
    worker.finish(worker.claim(0), score=float("inf"))
    worker.finish(worker.claim(1), score="failed")
    worker.results_file.rename(worker.results_file.with_name("00000000000f.jsonl"))

    shown = json.loads(jobpool("collect", worker.pool.folder, "--json").stdout)

    assert (shown["rows"], sorted(shown["lost"])) == ([], sorted(worker.pool.grid.ids()[:2]))


def test_collect_in_json_beside_a_file_leaves_the_rows_to_that(
    wide: Path, jobpool: Jobpool
) -> None:
    file = wide.parent / "table.csv"

    shown = in_json(jobpool, "collect", wide, "-o", file, "--attempts")

    assert (shown["file"], shown["n_rows"], "rows" in shown) == (str(file), 3, False)
    assert len(file.read_text(encoding="utf-8").splitlines()) == 4


def test_predictions_are_not_for_json(wide: Path, jobpool: Jobpool) -> None:
    refused = jobpool("collect", wide, "--json", "--predictions", wide.parent / "p.csv")

    assert refused.returncode == 2
    assert "leave out --predictions" in refused.stderr


def test_every_kind_of_result_shows_its_first_score(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    many = {f"score{i}": i / 10 for i in range(12)}
    worker.finish(worker.claim(0), r2=0.5, mae=2.0, **many)
    worker.finish(worker.claim(1), roc_auc=0.75, brier=0.25, **many)

    head = jobpool("collect", worker.pool.folder).stdout.splitlines()[0].split()

    assert set(head[2:4]) == {"r2", "roc_auc"}


def test_a_cell_of_many_characters_or_lines_stays_a_cell(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 1))
    worker.finish(worker.claim(0), text="a\nb\x1b[31m" + "c" * 400)

    _, row = jobpool("collect", worker.pool.folder).stdout.splitlines()[:2]

    assert "a\\nb\\x1b[31mcc" in row
    assert ".." in row
    assert len(row) < 200


def test_times_are_moments_in_every_table(fast_path: Path, jobpool: Jobpool) -> None:
    worker = SimulatedWorker(a_pool(fast_path, 2))
    worker.do(0)
    worker.fail(1, ended=BEGAN + 1e14)  # of a clock that was wrong
    folder = worker.pool.folder

    text = jobpool("collect", folder, "--attempts", TZ="UTC").stdout
    opened = jobpool_api.open(folder)

    assert "2023-11-14 22:13:20" in text
    assert str(opened.attempts()["started"].dtype) == "datetime64[ms, UTC]"
    assert opened.attempts()["ended"].isna().sum() == 1
    assert str(opened.results()["ended"][0]) == "2023-11-14 22:13:30+00:00"
    assert str(opened.errors()["ended"].dtype) == "datetime64[ms, UTC]"
    assert jobpool("log", folder).returncode == jobpool("errors", folder).returncode == 0


def test_both_writers_of_csv_write_the_same_moments(fast_path: Path) -> None:
    frame = frame_of({"n": np.arange(3), "at": times(np.array([1.7e9, np.nan, 1.5]))})
    _append_csv(fast_path / "arrow.csv", frame, {})

    with (fast_path / "plain.csv").open("wb") as stream:
        stream.write(b"n,at\n")
        _write_cells(stream, frame)

    text = (fast_path / "plain.csv").read_text(encoding="utf-8")
    assert text == "n,at\n0,2023-11-14 22:13:20.000Z\n1,\n2,1970-01-01 00:00:01.500Z\n"
    assert text == (fast_path / "arrow.csv").read_text(encoding="utf-8")


def test_what_takes_long_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("reading results", lambda file: n_read(file) / 1e7, silent_s=0.5) as progress:
        ReadNotes(progress.file, 1).note(5_000_000)
        wait_until(lambda: "50%" in capsys.readouterr().err)
        progress.stage("writing")
        wait_until(lambda: "writing (" in capsys.readouterr().err)


def test_what_is_done_at_once_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("reading results"):
        pass

    assert capsys.readouterr().err == ""
