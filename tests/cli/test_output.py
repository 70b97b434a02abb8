"""What commands print fits the terminal, and one JSON object holds the same."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobpool.admin.create import create_pool
from jobpool.cli.output import folded, json_text
from jobpool.pool import Pool
from jobpool.table.grid import full_product
from jobpool.task import Axis, Cause
from jobpool.units import table
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment
from tests.support.simulated import SimulatedWorker

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
    }


@pytest.mark.parametrize("name", ["errors", "log", "why", "status", "plan"])
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
