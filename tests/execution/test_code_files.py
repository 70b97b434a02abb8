"""What a worker runs: what it read and checked at its start, and nothing that came later."""

import os
from pathlib import Path

import pytest

from jobpool.disk.files import read_json, write_json
from jobpool.errors import Fault, PoolError
from jobpool.pool import Pool
from jobpool.table.code_files import EXPERIMENT, OF_OWNER, CodeFiles, handed_over
from jobpool.task import TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool, an_experiment

# the first task puts another experiment into the pool, then its process dies
CODE = """
import os
from pathlib import Path

POOL = Path(__file__).parent.parent / "pool"

def first(number):
    new = POOL / "new"
    new.write_text((POOL / "{name}").read_text().replace("mine:first", "mine:swapped"))
    new.chmod(0o600)
    new.rename(POOL / "{name}")
    if not (POOL / "died").exists():
        (POOL / "died").touch()
        os._exit(1)
    return {{"ran": "first"}}

def swapped(number):
    (POOL / "swapped").touch()
"""


def test_a_new_task_process_runs_what_the_worker_had_checked(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 3, call="mine:first")
    (tmp_path / "study" / "mine.py").write_text(CODE.format(name=EXPERIMENT))

    done = jobpool("work", pool)

    assert done.returncode == 0, done.stderr
    assert (pool / "died").exists()
    assert not (pool / "swapped").exists()
    assert Pool(pool).counts()[TaskState.DONE] >= 2  # by the second process


def test_a_process_is_handed_all_that_was_read(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 2)
    descriptor = os.dup(Pool(pool, files=CodeFiles(pool, ())).hand_over())
    before = {name: (pool / name).read_bytes() for name in OF_OWNER}
    for name in OF_OWNER:
        (pool / name).unlink()

    files = handed_over(pool, descriptor)

    assert {name: files.content(name) for name in OF_OWNER} == before
    assert len(Pool(pool, files=files).grid) == 2


def edit(pool: Path, before: str, after: str) -> None:
    file = pool / EXPERIMENT
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")


PASSES = "seed: 1\npasses: {a: {memory_gb: 1, walltime: 1h}}\n"


@pytest.mark.parametrize(
    "after", ["call: textwrap:dedent", "call: tests.support.tasks:nothing\n  more: 1"]
)
def test_an_experiment_edited_in_the_pool_is_noticed(
    tmp_path: Path, jobpool: Jobpool, after: str
) -> None:
    pool = a_pool(tmp_path, 2)
    edit(pool, "call: tests.support.tasks:nothing", after)

    done = jobpool("work", pool)

    assert done.returncode == Fault.POOL
    assert "experiment.yaml: was edited in the pool" in done.stderr
    assert "jobpool extend CONFIG" in done.stderr
    assert Pool(pool).counts()[TaskState.WAITING] == 2


def test_an_edited_experiment_is_put_back_by_its_own_file(tmp_path: Path, jobpool: Jobpool) -> None:
    file = an_experiment(tmp_path / "study").file
    file.write_text(file.read_text() + "axes: {number: [1, 2]}\n")
    jobpool("init", file, tmp_path / "pool")
    edit(tmp_path / "pool", "seed: 1", "seed: 2")

    done = jobpool("extend", file, tmp_path / "pool")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pool" / EXPERIMENT).read_bytes() == file.read_bytes()
    assert Pool(tmp_path / "pool").experiment().seed == 1


def test_passes_edited_in_the_pool_are_taken(tmp_path: Path, jobpool: Jobpool) -> None:
    file = an_experiment(tmp_path / "study").file
    file.write_text(file.read_text() + "axes: {number: [1, 2]}\n")
    pool = tmp_path / "pool"
    jobpool("init", file, pool)
    edit(pool, "seed: 1\n", PASSES)

    assert [one.name for one in Pool(pool).experiment().passes] == ["a"]
    assert "experiment.yaml: was edited in the pool" in jobpool("doctor", pool).stdout
    kept = jobpool("extend", pool / EXPERIMENT, pool)
    assert kept.returncode == 0, kept.stderr
    assert "was edited" not in jobpool("doctor", pool).stdout


def test_another_grid_in_the_place_of_a_pools_own_is_noticed(tmp_path: Path) -> None:
    pool, other = a_pool(tmp_path / "one", 2), a_pool(tmp_path / "other", 2)
    (other / "tasks.npz").write_bytes(b"PK" + (other / "tasks.npz").read_bytes()[2:] + b"\0")
    (other / "tasks.npz").replace(pool / "tasks.npz")

    with pytest.raises(PoolError, match=r"tasks\.npz: damaged, or not the file that pool\.json"):
        Pool(pool).grid  # noqa: B018


def test_a_pool_without_digests_opens(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 2)
    found = read_json(pool / "pool.json")
    assert found is not None
    former = {name: value for name, value in found.items() if not name.endswith("_sha256")}
    write_json(pool / "pool.json", former)
    (pool / "pool.json").chmod(0o600)

    done = jobpool("work", pool)

    assert done.returncode == 0, done.stderr
    assert Pool(pool).counts()[TaskState.DONE] == 2
