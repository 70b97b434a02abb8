"""What ``init`` and ``extend`` say about tasks that can be split into parts."""

from pathlib import Path

import numpy as np
import pytest

from jobpool.admin.create import create_pool
from jobpool.admin.extend import extend_pool
from jobpool.cli.init import print_counts
from jobpool.pool import Pool
from jobpool.table.grid import Grid, full_product, split_parts
from jobpool.task import Axis, TaskState
from tests.conftest import Jobpool
from tests.support.brain_study import StudyOnDisk
from tests.support.builders import an_experiment
from tests.support.parts import PHASES, SITES, position_of, states_of


def a_grid(*split: str) -> Grid:
    sites = full_product([SITES])
    return split_parts(sites, PHASES, np.isin(np.array(SITES.values), split))


def test_only_what_is_offered_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_counts(a_grid("west"))

    shown = capsys.readouterr().out.splitlines()

    assert shown[0] == "5 tasks"
    assert [line.split()[-1] for line in shown[2:5]] == ["1", "1", "3"]
    assert shown[5:] == [
        "  by phase: 2 combinations are one task each, 1 are 3 tasks each:",
        "          site=west",
        "  a whole task that turns out to be too long is split by phase later",
    ]


def test_what_is_split_from_the_start_cannot_be_split_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_counts(a_grid(*map(str, SITES.values)))

    assert "split by phase later" not in capsys.readouterr().out


def test_an_extension_counts_without_dormant_parts(tmp_path: Path, jobpool: Jobpool) -> None:
    study = StudyOnDisk(tmp_path)
    study.config["axes"]["target"] = ["age"]
    study.checked()
    file, pool = tmp_path / "study.yaml", tmp_path / "pool"
    made = jobpool("init", file, pool)
    study.config["axes"]["target"] = ["age", "sex"]
    study.checked()

    dry = jobpool("extend", file, pool, "--dry-run")
    done = jobpool("extend", file, pool)

    assert made.stdout.startswith("2 tasks"), made.stderr
    assert dry.stdout == f"would add 2 tasks to {pool}, which had 2\n"
    assert done.stdout == f"added 2 tasks to {pool}, which had 2\n"
    assert np.count_nonzero(Pool(pool).grid.parts.is_dormant) == 4 * 5
    assert "sex: binary, 1 = m" in dry.stderr


def test_a_pool_from_before_splits_is_extended_by_tasks_that_can_be_split(tmp_path: Path) -> None:
    before = without_dormant(a_grid("west"))
    create_pool(
        tmp_path / "pool", an_experiment(tmp_path / "study", SITES), before, lambda _: None, now=0
    )
    sites = Axis(name="site", values=(*SITES.values, "east"))
    whole = full_product([sites])
    after = split_parts(whole, PHASES, whole.column("site") == 2)

    n_added = extend_pool(
        Pool(tmp_path / "pool"), an_experiment(tmp_path / "study", sites), after, lambda _: None
    )

    pool = Pool(tmp_path / "pool")
    east = position_of(pool.folder, "east")
    assert n_added == 1
    assert pool.grid.parts.of(position_of(pool.folder, "north")) == []
    assert states_of(pool.folder, "east") == (TaskState.WAITING, *[TaskState.SUPERSEDED] * 3)
    assert pool.grid.parts.whole_of(east + 3) == east


def without_dormant(grid: Grid) -> Grid:
    return grid.take(np.flatnonzero(~grid.parts.is_dormant))


def test_a_dry_run_tells_the_fits_that_ensembles_share(tmp_path: Path, jobpool: Jobpool) -> None:
    study = StudyOnDisk(tmp_path)
    study.config["axes"]["pipeline"] = ["elastic", "elastic+svm"]
    sets = [{"name": "both", "members": ["hard", "soft"]}]
    study.config["axes"]["parcellation"] += [{"strategies": ["voted", "grid"], "sets": sets}]

    shown = jobpool("init", study.written(), tmp_path / "new", "--dry-run")

    assert shown.stdout.startswith("12 tasks\n"), shown.stderr
    assert shown.stdout.splitlines()[-3:] == [
        "  2 single parcellations and 2 ensembles: 1 voted, 1 grid; "
        "2 different parcellations are members",
        "  left out: 4 combinations of single parcellations with elastic+svm: "
        "combined pipelines are for ensembles",
        "  16 fits per target and outer fold serve 2 ensembles; one by one they would take 26",
    ]
