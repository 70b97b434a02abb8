"""`jobpool cache` as typed, and the script that SLURM runs for it.

What needs no process of its own runs in this one: the runner takes a second to load.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from jobpool.admin.create import create_pool
from jobpool.brain.arrays import Array
from jobpool.cli.cache import cache
from jobpool.errors import Fault
from jobpool.experiment.config import load_experiment
from jobpool.runners import forms_of
from jobpool.scheduler.base import fill_name, job_prefix
from jobpool.units import parse_size
from tests.conftest import Jobpool
from tests.scheduler.test_sbatch_scripts import options_of, start, steps_of, text_of
from tests.support.brain_study import StudyOnDisk
from tests.support.builders import a_pool
from tests.support.cache_study import flip

PASSES = {"first": {"cores": 2, "memory_gb": 8, "walltime": "1h", "only": ["target=age"]}}


@pytest.fixture
def pool(fast_path: Path) -> Path:
    """Return the pool of a study with two parcellations."""
    study = StudyOnDisk(fast_path)
    study.config["passes"] = PASSES
    study.pool.rmdir()
    runner = study.checked()
    experiment = load_experiment(study.file, forms=forms_of)
    create_pool(study.pool, experiment, runner.task_grid(), runner.prepare, now=time.time())
    return study.pool


def typed(*words: object) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(cache, [str(word) for word in words])


def files_of(pool: Path, pattern: str) -> list[Path]:
    return sorted((pool / "cache" / "roi").rglob(pattern))


def test_fill_makes_everything(pool: Path, jobpool: Jobpool) -> None:
    filled = jobpool("cache", "fill", pool)

    assert filled.returncode == 0, filled.stderr
    assert filled.stdout.startswith("2 of 2 parcellations are there: ")
    assert "packed 2 of 2" in filled.stderr
    assert len(files_of(pool, "*.npy")) == 2


def test_processes_on_one_machine_share_a_fill(pool: Path, jobpool: Jobpool) -> None:
    filled = jobpool("cache", "fill", pool, "--workers", 2)

    assert filled.returncode == 0, filled.stderr
    assert [path.suffix for path in files_of(pool, "*.*")] == [".json", ".npy"] * 2


def test_a_parcellation_without_values_is_named(pool: Path) -> None:
    np.save(pool.parent / "soft.npy", np.arange(7))

    filled = typed("fill", pool)

    assert filled.exit_code == 1
    assert filled.stdout.startswith("1 of 2 parcellations are there: ")
    assert "soft.npy: does not fit the maps: it has 7 vertices, not 900" in filled.stderr


def test_a_stopped_fill_leaves_nothing_half_done(pool: Path) -> None:
    command = [sys.executable, "-m", "jobpool", "cache", "fill", str(pool)]
    typed("fill", pool)
    for path in files_of(pool, "*.npy"):
        path.unlink()
    key = files_of(pool, "*.json")[0]
    lease = pool / "cache" / "roi" / "leases" / key.name
    lease.write_text("{}")  # as if another made it: this process can only wait

    waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert waiting.stderr is not None
    first = waiting.stderr.readline()
    waiting.send_signal(signal.SIGUSR1)
    _, said = waiting.communicate(timeout=30)

    assert waiting.returncode == Fault.TASK, first
    assert said.splitlines()[-1] == "stopped: what was computed is kept"
    assert files_of(pool, ".*.tmp") == []


def test_info_shows_what_there_is(pool: Path) -> None:
    typed("fill", pool)

    shown = typed("info", pool)

    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["120", "participants", "in", "1", "span"]
    assert lines[2:4] == [
        ["parcellation", "kind", "parcels", "size", "state"],
        ["hard", "hard", "12", "23.5", "kB", "packed"],
    ]
    assert shown.stdout.splitlines()[-1].endswith(" in 4 files")


def test_info_of_an_empty_cache_makes_no_file(pool: Path) -> None:
    shown = typed("info", pool)

    assert "0 B in 0 files" in shown.stdout
    assert not (pool / "cache" / "roi").exists()


def test_damage_is_an_exit_code(pool: Path) -> None:
    typed("fill", pool)
    path = files_of(pool, "*.npy")[0]
    flip(path, -1)

    found = typed("verify", pool)

    assert found.exit_code == Fault.POOL
    assert found.stdout.splitlines() == [f"damaged: {path}", "1 damaged file left"]


def test_damage_is_repaired_on_demand(pool: Path) -> None:
    typed("fill", pool)
    flip(files_of(pool, "*.npy")[0], -1)

    repaired = typed("verify", pool, "--repair")

    assert repaired.exit_code == 0
    assert repaired.stdout.splitlines()[-1] == "all is well"
    assert len(files_of(pool, "*.npy")) == 1


def test_prune_says_what_it_removes(pool: Path) -> None:
    typed("fill", pool)
    maps = pool.parent / "maps.npy"
    np.save(maps, np.load(maps) + 1)

    shown = typed("prune", pool, "--dry-run")
    pruned = typed("prune", pool)
    again = typed("prune", pool)

    assert shown.stdout.startswith("would remove 4 files, 33.")
    assert pruned.stdout.startswith("removed 4 files, 33.")
    assert again.stdout == "nothing to remove\n"


def test_prune_keeps_to_a_limit(pool: Path) -> None:
    typed("fill", pool)

    pruned = typed("prune", pool, "--limit", "25kB")

    assert "above the limit" in pruned.stdout
    assert len(files_of(pool, "*.npy")) == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("20GB", 20_000_000_000), ("1.5 kB", 1500), ("7b", 7)]
)
def test_a_limit_is_read_with_its_unit(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "words", [["prune", "--limit", "20"], ["fill", "--jobs", "3"], ["fill", "--workers", "0"]]
)
def test_wrong_usage_is_refused(tmp_path: Path, words: list[str]) -> None:
    refused = typed(words[0], tmp_path, *words[1:])

    assert refused.exit_code == 2


def test_a_pool_without_brain_maps_has_no_cache(tmp_path: Path, jobpool: Jobpool) -> None:
    refused = jobpool("cache", "info", a_pool(tmp_path, n_tasks=1))

    assert refused.returncode == 1
    assert "function, has no ROI cache; only evaluate has one" in refused.stderr


def test_a_fill_is_submitted_as_one_array(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("JOBPOOL", "/opt/bin/jobpool")

    shown = typed("fill", pool, "--submit", "--jobs", 20, "--dry-run")

    line = shlex.split(shown.stdout)
    name = fill_name(job_prefix(pool, "study"))
    assert line[:6] == [
        *("sbatch", "--parsable", f"--job-name={name}", "--array=0-0"),
        *("--cpus-per-task=1", "--mem=4096M"),
    ]
    assert line[-3] == "--export=ALL,JOBPOOL=/opt/bin/jobpool"
    assert Path(line[-2]).name == "cache_fill.sbatch"
    assert line[-1] == str(pool)


def test_a_fill_takes_the_resources_of_a_pass(pool: Path) -> None:
    shown = typed("fill", pool, "--submit", "--pass", "first", "--dry-run")

    assert " --cpus-per-task=2 --mem=8192M --time=0-01:00:00 " in shown.stdout
    assert "--only" not in shown.stdout


def test_a_full_cache_is_not_submitted(pool: Path) -> None:
    typed("fill", pool)

    shown = typed("fill", pool, "--submit", "--jobs", 20)

    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "everything is there" in shown.stderr


def test_the_script_asks_for_its_resources() -> None:
    expected = ["--job-name=cache_fill", *options_of("first_pass")[1:]]

    assert options_of("cache_fill") == expected


def test_the_script_takes_the_steps_of_the_others() -> None:
    here, there = "without SLURM: jobpool cache fill POOL", "without SLURM: jobpool run POOL"

    assert steps_of("cache_fill").replace(here, there) == steps_of("first_pass")


def test_the_script_ends_in_a_fill(tmp_path: Path) -> None:
    assert text_of("cache_fill").splitlines()[-1] == 'exec "$JOBPOOL" cache fill "$@"'

    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "pool.json").touch()
    program = tmp_path / "jobpool"
    program.write_text('#!/bin/sh\necho "called with: $*"\n')
    program.chmod(0o755)

    ended = start("cache_fill", tmp_path / "pool", begun=tmp_path / "begun", JOBPOOL=program)

    assert ended.returncode == 0
    (log,) = (tmp_path / "pool" / "logs").rglob("*.log")
    assert log.read_text().splitlines()[-1] == f"called with: cache fill {tmp_path / 'pool'}"


def rewrite(path: Path, values: Array) -> None:
    """Replace an array, keeping size and time."""
    status = path.stat()
    np.save(path, values)
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_contents_of_unchanged_files_are_the_same(pool: Path) -> None:
    typed("fill", pool)

    done = typed("verify", pool, "--contents")

    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        ["computed 2 packed files again: the same", "all is well"],
    )


def test_maps_of_the_same_size_and_time_with_other_values_are_found(pool: Path) -> None:
    typed("fill", pool)
    maps = np.load(pool.parent / "maps.npy")
    maps[[7, 90]] += 1
    rewrite(pool.parent / "maps.npy", maps)

    done = typed("verify", pool, "--contents")

    assert done.exit_code == Fault.POOL
    assert "changed: maps of 2 participants: 007, 090" in done.stdout
    assert "all is well" not in done.stdout
    assert typed("verify", pool).exit_code == 0


def test_a_parcellation_of_the_same_size_and_time_with_other_labels_is_found(pool: Path) -> None:
    typed("fill", pool)
    labels = np.load(pool.parent / "hard.npy")
    rewrite(pool.parent / "hard.npy", np.roll(labels, 1))

    done = typed("verify", pool, "--contents")

    again = typed("verify", pool, "--contents")

    assert (done.exit_code, again.exit_code) == (Fault.POOL, Fault.POOL)
    assert "hard.npy: holds something else than when its values were computed" in done.stdout


def test_maps_that_can_no_longer_be_used_are_found(pool: Path) -> None:
    typed("fill", pool)
    maps = np.load(pool.parent / "maps.npy")
    maps[7, 3] = np.nan
    rewrite(pool.parent / "maps.npy", maps)

    done = typed("verify", pool, "--contents")

    assert done.exit_code == Fault.POOL
    assert "the map of 007 has values that are not finite" in done.stdout
