"""A study with strategies from its file to the report, by four workers, one of them killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from jobpool.cache.fits.file import scan
from jobpool.journal.attempts import all_attempts
from jobpool.journal.jsonl import worker_files, worker_name
from jobpool.journal.workers import read_worker_record
from jobpool.pool import Pool
from jobpool.task import TaskState
from tests.support.places import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("strategies")]

CONFIG = CHECKOUT / "configs/nback-strategies.yaml"
MEMBERS, ENSEMBLES, FOLDS = 5, 9, 3
PER_FOLD = 4  # the whole training part, and three inner folds


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the experiment file of the example, a little smaller, in a folder of its own."""
    folder = tmp_path_factory.mktemp("strategies")
    text = CONFIG.read_text().replace("../examples", str(CONFIG.parents[1] / "examples"))
    text = text.replace("outer_folds: 5", f"outer_folds: {FOLDS}")
    text = text.replace("candidates: 6", "candidates: 3")
    workers = "\nworkers: {heartbeat: 0.5s, lost_after: 3s, hung_after: 6s}\n"
    (folder / "study.yaml").write_text(text + workers)
    return folder / "study.yaml"


def jobpool(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jobpool", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def keys_in(file: Path) -> list[str]:
    """Return the key of every record in a file of the fit cache."""
    with file.open("rb") as stream:
        stream.readline()
        return [one.key for one in scan(stream, stream.tell())]


def kill_one_that_works(pool: Path) -> str:
    """Kill a worker while it holds a task, and return its name."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        owners = {worker_name(record.owner) for _, record in Pool(pool).running()}
        for path in worker_files(pool, "workers"):
            worker_record = read_worker_record(pool, path.stem)
            if path.stem in owners and worker_record is not None:
                os.kill(worker_record.pid, signal.SIGKILL)
                return path.stem
        time.sleep(0.02)
    raise AssertionError("no worker had a task")


@pytest.fixture(scope="module")
def pool(study: Path) -> Path:
    """Return a pool that four workers emptied, one of which was killed."""
    pool = study.parent / "pool"
    made = jobpool("init", study, pool)
    assert made.returncode == 0, made.stderr
    command = [sys.executable, "-m", "jobpool", "work", str(pool)]
    with (study.parent / "log").open("w") as log:
        started = [subprocess.Popen(command, stdout=log, stderr=log) for _ in range(4)]
        kill_one_that_works(pool)
        for one in started:
            one.wait(timeout=240)
    return pool


def test_all_tasks_are_done_though_a_worker_was_killed(pool: Path) -> None:
    counts = Pool(pool).counts()

    causes = sorted(str(one.cause) for one in all_attempts(pool))
    assert counts[TaskState.DONE] == 14
    assert causes == ["done"] * 14 + ["lost"]


def test_no_fit_was_made_twice(pool: Path) -> None:
    files = sorted((pool / "cache/fits").glob("??/*.fits"))

    keys = [key for file in files for key in keys_in(file)]

    # and what each ensemble predicts in each fold is kept beside the fits
    assert len(files) == FOLDS
    assert len(keys) == len(set(keys)) == (MEMBERS * PER_FOLD + ENSEMBLES) * FOLDS


def test_scores_are_those_of_the_kept_predictions(pool: Path, tmp_path: Path) -> None:
    folds, out_of_fold = tmp_path / "folds.csv", tmp_path / "predictions.csv"

    done = jobpool("collect", pool, "-o", folds, "--by", "fold", "--predictions", out_of_fold)

    assert done.returncode == 0, done.stderr
    table = pd.read_csv(folds).set_index(["parcellation", "fold"])["roc_auc"]
    groups = pd.read_csv(out_of_fold).groupby(["parcellation", "fold"])
    again = pd.Series({key: roc_auc_score(one["y"], one["decision"]) for key, one in groups})
    assert len(table) == 14 * FOLDS
    pd.testing.assert_series_equal(
        table.sort_index(), again.sort_index(), check_names=False, check_index_type=False
    )


def test_the_report_is_one_file_with_the_strategies(pool: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"

    done = jobpool("report", pool, "-o", report, "--figures", tmp_path / "figures")

    text = report.read_text()
    assert done.returncode == 0, done.stderr
    assert "Strategies over several parcellations" in text
    assert 'src="http' not in text
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".svg"}
