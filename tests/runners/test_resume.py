"""A task killed in the middle goes on where it was, and gives what it would have given."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sklearn.linear_model import Ridge

from jobpool.admin.create import create_pool
from jobpool.brain.arrays import Array
from jobpool.checks.doctor import RepairContext, check_pool
from jobpool.experiment.config import load_experiment
from jobpool.journal.attempts import all_attempts
from jobpool.journal.jsonl import read_lines
from jobpool.journal.results import all_results
from jobpool.learning.pipelines import PIPELINES
from jobpool.pool import Pool
from jobpool.runners import forms_of
from jobpool.runners.evaluate.runner import Evaluate
from jobpool.task import Cause, TaskState
from tests.conftest import Jobpool
from tests.support.brain_study import StudyOnDisk, without_seconds
from tests.support.builders import a_pool
from tests.support.processes import wait_until
from tests.support.simulated import SimulatedWorker

PIPELINE = "tests.runners.test_resume:noted"
Start = Callable[..., "subprocess.Popen[bytes]"]


class InterruptedRunError(MemoryError):
    """Ends a task in the middle, as no error of a candidate does."""


class Noted(Ridge):  # type: ignore[misc] # scikit-learn has no types
    """Writes a byte for each fit, and dawdles or breaks off if told to."""

    def fit(self, X: Array, y: Array) -> "Noted":
        log = Path(os.environ["FITS"])
        if count(log) == int(os.environ.get("MOST_FITS", "-1")):
            raise InterruptedRunError
        time.sleep(float(os.environ.get("FIT_S", "0")))
        super().fit(X, y)
        with log.open("a") as stream:
            stream.write(".")
        return self


def count(fits: Path) -> int:
    return fits.stat().st_size


def noted(kind: str, seed: int) -> Any:
    return (Noted(), {"alpha": ("log", 1e-3, 1e3)}) if kind == "regression" else None


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that has a byte for each fit, here and in workers."""
    log = tmp_path / "fits"
    log.touch()
    monkeypatch.setenv("FITS", str(log))
    return log


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a slow worker; whatever still runs at the end is killed."""
    started = []

    def begin(pool: Path, cores: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "jobpool", "work", str(pool), "--cores", str(cores)]
        environment = {**os.environ, "FIT_S": "0.05"}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()
        worker.wait()


def a_study(folder: Path, *, search: str = "random", candidates: int = 4) -> StudyOnDisk:
    """Return a study of one task that writes what it has finished at once."""
    folder.mkdir()
    study = StudyOnDisk(folder)
    study.config["axes"] = {"parcellation": {"glob": "hard.npy"}, "pipeline": PIPELINE}
    study.config["axes"]["target"] = "age"
    study.config["evaluate"] |= {"search": search, "candidates": candidates, "inner_folds": 2}
    study.config["workers"] = {"heartbeat": "0.001s", "lost_after": "60s"}
    return study


def a_pool_of(study: StudyOnDisk, heartbeat_s: float = 0.1) -> Path:
    """Return a pool of the study, as `jobpool init` makes it."""
    study.config["workers"]["heartbeat"] = f"{heartbeat_s}s"
    experiment = load_experiment(study.written(), forms=forms_of)
    runner = Evaluate(experiment)
    pool = study.folder / "tasks"
    create_pool(pool, experiment, runner.task_grid(), runner.prepare, now=time.time())
    return pool


def run(study: StudyOnDisk) -> dict[str, Any]:
    return without_seconds(study.run(pipeline=PIPELINE))


def run_whole(folder: Path, fits: Path, **settings: Any) -> tuple[dict[str, Any], int]:
    """Return the result of a run that nothing interrupts, and how many fits it made."""
    result = run(a_study(folder / "whole", **settings))
    n_fits = count(fits)
    fits.write_text("")
    return result, n_fits


def kept(folder: Path) -> list[str]:
    """Return the names of all that was kept: each stands for one fit of the plain solver."""
    lines = (record for file in folder.rglob("*.jsonl") for _, _, record in read_lines(file))
    done: list[Any] = [record["done"] for record in lines if record is not None]
    return [name for names in done for name in names]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def helpers(worker: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Return the processes that joblib has started for a task."""
    found = psutil.Process(worker.pid).children(recursive=True)
    return [one for one in found if "popen_loky" in " ".join(one.cmdline())]


def result_in(pool: Path) -> dict[str, Any]:
    (result,) = all_results(pool)
    return without_seconds(dict(result.result))


def test_a_task_killed_with_its_worker_goes_on_where_it_was(
    tmp_path: Path, fits: Path, start: Start, jobpool: Jobpool
) -> None:
    expected, n_fits = run_whole(tmp_path, fits, candidates=10)
    pool = a_pool_of(a_study(tmp_path / "killed", candidates=10))
    worker = start(pool, cores=1)
    wait_until(lambda: kept(pool / "checkpoints"))
    children = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait()
    wait_until(lambda: all(map(is_gone, children)))
    n_kept, n_before = len(kept(pool / "checkpoints")), count(fits)

    jobpool("work", pool, "--cores", 2)

    assert result_in(pool) == expected
    assert count(fits) - n_before == n_fits - n_kept
    assert 0 < n_kept <= n_before < n_fits
    assert list((pool / "checkpoints").iterdir()) == []


def test_a_task_out_of_time_comes_back_in_folds_that_keep_what_was_finished(
    tmp_path: Path, fits: Path, start: Start, jobpool: Jobpool
) -> None:
    expected, n_fits = run_whole(tmp_path, fits, candidates=10)
    pool = a_pool_of(a_study(tmp_path / "stopped", candidates=10))
    worker = start(pool, cores=1)
    wait_until(lambda: kept(pool / "checkpoints"))
    worker.send_signal(signal.SIGUSR1)  # what SLURM sends when the time is nearly up
    worker.wait(60)
    n_kept, n_before = len(kept(pool / "checkpoints")), count(fits)
    (attempt,), counts = all_attempts(pool), Pool(pool).counts()

    jobpool("work", pool, "--cores", 1)

    parts = [without_seconds(dict(one.result)) for one in all_results(pool)]
    folds = sorted((fold for part in parts for fold in part["folds"]), key=lambda one: one["fold"])
    assert (attempt.cause, counts[TaskState.SUPERSEDED]) == (Cause.TIME, 1)
    assert counts[TaskState.WAITING] == len(expected["folds"]) == len(parts)
    assert folds == expected["folds"]
    assert count(fits) - n_before == n_fits - n_kept
    assert list((pool / "checkpoints").iterdir()) == []


def test_a_killed_helper_ends_the_attempt_while_its_work_is_kept(
    tmp_path: Path, fits: Path, start: Start, jobpool: Jobpool
) -> None:
    expected, n_fits = run_whole(tmp_path, fits, candidates=10)
    pool = a_pool_of(a_study(tmp_path / "killed", candidates=10))
    worker = start(pool, cores=2)
    wait_until(lambda: kept(pool / "checkpoints"))
    helpers(worker)[0].kill()
    code = worker.wait(60)
    n_kept, n_before = len(kept(pool / "checkpoints")), count(fits)
    (attempt,) = all_attempts(pool)
    state = Pool(pool).record(0).state

    jobpool("work", pool, "--cores", 1)

    assert (code, state, attempt.cause) == (0, TaskState.WAITING, Cause.ERROR)
    assert "a helper process of the task was killed (SIGKILL" in str(attempt.error)
    assert result_in(pool) == expected
    assert count(fits) - n_before == n_fits - n_kept
    assert list((pool / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(("search", "candidates"), [("random", 6), ("halving", 28), ("tpe", 14)])
def test_every_search_method_goes_on_where_it_was(
    tmp_path: Path,
    fits: Path,
    monkeypatch: pytest.MonkeyPatch,
    search: str,
    candidates: int,
) -> None:
    expected, n_fits = run_whole(tmp_path, fits, search=search, candidates=candidates)
    study = a_study(tmp_path / "broken off", search=search, candidates=candidates)
    monkeypatch.setenv("MOST_FITS", str(n_fits * 2 // 3))
    with pytest.raises(InterruptedRunError):
        run(study)
    n_kept, n_before = len(kept(study.pool / "checkpoint")), count(fits)
    monkeypatch.delenv("MOST_FITS")

    found = run(study)

    assert found == expected
    assert count(fits) - n_before == n_fits - n_kept
    assert 0 < n_kept <= n_before


@pytest.mark.parametrize("target", ["age", "sex"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_a_solver_shares_between_candidates_changes_nothing_after_an_interruption(
    tmp_path: Path, pipeline: str, target: str
) -> None:
    study = a_study(tmp_path / "study", candidates=13)
    study.config["axes"] |= {"pipeline": pipeline, "target": target}
    whole = study.run(pipeline=pipeline, target=target)
    (file,) = (study.pool / "checkpoint").rglob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[1:-3:2]))  # loses the last fold, and chunks of all others

    again = study.run(pipeline=pipeline, target=target)

    assert without_seconds(again) == without_seconds(whole)


def edit_a_target(study: StudyOnDisk) -> None:
    study.table["age"] *= 1.5


def edit_a_group(study: StudyOnDisk) -> None:
    study.table.loc[7, "family"] = "family-39"


def edit_a_map(study: StudyOnDisk) -> None:
    study.maps[7] += 1
    np.save(study.folder / "maps.npy", study.maps)


def edit_the_seed(study: StudyOnDisk) -> None:
    study.config["seed"] += 1


@pytest.mark.parametrize("edit", [edit_a_target, edit_a_group, edit_a_map, edit_the_seed])
def test_what_was_kept_for_other_data_is_not_used(
    tmp_path: Path, fits: Path, edit: Callable[[StudyOnDisk], None]
) -> None:
    fresh, study = a_study(tmp_path / "fresh"), a_study(tmp_path / "edited")
    edit(fresh)
    expected = run(fresh)
    n_fits = count(fits)
    run(study)
    shutil.copytree(study.pool / "checkpoint", tmp_path / "old")
    shutil.rmtree(study.pool)
    shutil.copytree(tmp_path / "old", study.pool / "checkpoint")
    n_before = count(fits)
    edit(study)

    found = run(study)

    assert found == expected
    assert count(fits) - n_before == n_fits


@pytest.fixture
def left_behind(fast_path: Path) -> tuple[Path, Path]:
    """Return a pool, and the checkpoint of a task that was done when its worker was killed."""
    pool = a_pool(fast_path, 3)
    SimulatedWorker(pool, 1).do(0)
    done, waiting = (pool / "checkpoints" / Pool(pool).grid.id(one) for one in (0, 1))
    done.mkdir()
    waiting.mkdir()
    (done / "aa.jsonl").touch()
    return pool, done


def check(pool: Path, *, repair: bool) -> list[str]:
    context = RepairContext(is_alive=lambda _: False, server_time=time.time(), repair=repair)
    return list(map(str, check_pool(Pool(pool), context)))


def test_doctor_names_the_checkpoint_of_a_task_that_is_done(left_behind: tuple[Path, Path]) -> None:
    pool, folder = left_behind

    (finding,) = check(pool, repair=False)

    assert finding.startswith(f"note: checkpoints/{folder.name}: its task is done")
    assert folder.exists()


def test_a_repair_removes_only_checkpoints_of_tasks_that_are_done(
    left_behind: tuple[Path, Path],
) -> None:
    pool, _ = left_behind

    (finding,) = check(pool, repair=True)

    assert finding.endswith("repaired: removed")
    assert [one.name for one in (pool / "checkpoints").iterdir()] == [Pool(pool).grid.id(1)]
    assert check(pool, repair=False) == []
