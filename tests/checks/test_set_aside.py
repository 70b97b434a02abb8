"""What a repair takes out of files: its user's alone, and of use to nobody else."""

import stat
from pathlib import Path

import pytest

from jobpool.checks.housekeeping import set_aside_lines
from jobpool.disk.files import checked_line, read_json, set_aside
from jobpool.errors import ConfigError, PoolError
from jobpool.experiment.config import read_yaml
from jobpool.table.grid import read_grid
from jobpool.table.settings import WorkerSettings, read_info
from tests.conftest import Jobpool
from tests.support.builders import a_pool


def test_what_is_taken_out_is_the_owners_alone(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 3, settings=WorkerSettings(shared="group"))
    jobpool("work", pool)
    file = next((pool / "results").rglob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"fence"', b'"fance"', 1))
    (pool / "state" / "00").write_bytes(b"no state")

    jobpool("doctor", pool, "--repair", "--force")

    kept = sorted(path.name for path in pool.rglob("*.damaged"))
    assert kept == ["00.damaged", f"{file.name}.damaged"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in pool.rglob("*.damaged")} == {0o600}


def test_what_was_kept_before_stays(tmp_path: Path) -> None:
    set_aside(tmp_path / "a", b"first")
    set_aside(tmp_path / "a", b"second")

    assert (tmp_path / "a.damaged").read_bytes().endswith(b"\nfirst")
    assert (tmp_path / "a.damaged.2").read_bytes().endswith(b"\nsecond")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "private").write_bytes(b"mine")
    (tmp_path / "a.damaged").symlink_to(tmp_path / "private")
    (tmp_path / "a.damaged.2").symlink_to(tmp_path / "missing")

    kept = set_aside(tmp_path / "a", b"x")

    assert kept == tmp_path / "a.damaged.3"
    assert (tmp_path / "private").read_bytes() == b"mine"
    assert not (tmp_path / "missing").exists()


def test_what_was_taken_out_is_no_file_that_says_which_code_runs(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 1)
    yaml, grid = (pool / "experiment.yaml").read_bytes(), (pool / "tasks.npz").read_bytes()
    settings = read_json(pool / "pool.json")
    assert settings is not None

    set_aside(tmp_path / "experiment.yaml", yaml).rename(pool / "experiment.yaml")
    set_aside(tmp_path / "tasks.npz", grid).rename(pool / "tasks.npz")
    set_aside(tmp_path / "pool.json", checked_line(settings)).rename(pool / "pool.json")

    with pytest.raises(ConfigError, match="not YAML"):
        read_yaml(pool / "experiment.yaml")
    with pytest.raises(PoolError, match="damaged"):
        read_grid(pool / "tasks.npz")
    with pytest.raises(PoolError, match="damaged"):
        read_info(pool)


def test_a_line_that_is_whole_by_now_stays(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 3)
    jobpool("work", pool)
    file = next((pool / "results").rglob("*.jsonl"))
    before = file.read_bytes()

    assert set_aside_lines(file, [2]) is None
    assert file.read_bytes() == before


def test_a_repair_names_where_the_lines_are_now(tmp_path: Path) -> None:
    file = tmp_path / "results" / "00" / "a.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no line\n")
    file.with_name("a.jsonl.damaged").touch()

    assert set_aside_lines(file, [1]) == file.with_name("a.jsonl.damaged.2")
