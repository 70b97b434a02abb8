"""Pools of several people: who may write, and whose code runs."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobpool.errors import Fault, PoolError
from jobpool.pool import Pool
from jobpool.table.code_files import check_owner
from jobpool.table.settings import WorkerSettings
from jobpool.task import TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.places import CHECKOUT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others needs root")
GROUP = WorkerSettings(shared="group")
NOBODY = 65534
KEPT = "-rw-r-----"  # what says which code runs: the owner's alone to change


def modes(pool: Path, kind: int) -> set[str]:
    """Return the permissions of all files or folders of a pool."""
    found = [pool, *pool.rglob("*")]
    return {
        stat.filemode(p.stat().st_mode)[1:] for p in found if stat.S_IFMT(p.stat().st_mode) == kind
    }


def test_a_pool_is_private_unless_it_says_otherwise(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 3)

    jobpool("work", pool)

    assert modes(pool, stat.S_IFDIR) == {"rwx------"}
    assert modes(pool, stat.S_IFREG) == {"rw-------"}


def test_all_files_of_a_shared_pool_can_be_written_by_the_group(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 3, settings=GROUP)

    jobpool("work", pool)

    assert modes(pool, stat.S_IFDIR) == {"rwxrws---"}
    kept = {path.name for path in pool.rglob("*") if stat.filemode(path.stat().st_mode) == KEPT}
    assert modes(pool, stat.S_IFREG) == {"rw-rw----", KEPT[1:]}
    record = next((pool / "workers").rglob("*.json")).name
    assert kept == {"pool.json", "experiment.yaml", "tasks.npz", record}


def give_away(pool: Path) -> Path:
    for path in (pool, *pool.rglob("*")):
        os.chown(path, NOBODY, -1)
    return pool


@needs_root
def test_the_pool_of_somebody_else_is_not_worked_on(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = give_away(a_pool(tmp_path, 3, settings=GROUP))

    done = jobpool("work", pool)

    assert done.returncode == Fault.POOL
    assert "pool.json: belongs to nobody, whose pool says which code its tasks run" in done.stderr
    assert Pool(pool).counts()[TaskState.WAITING] == 3


@needs_root
@pytest.mark.parametrize("command", [("work",), ("run", "--workers", "2")])
def test_the_pool_of_somebody_who_is_trusted_is_worked_on(
    tmp_path: Path, jobpool: Jobpool, command: tuple[str, ...]
) -> None:
    pool = give_away(a_pool(tmp_path, 3, settings=GROUP))

    done = jobpool(command[0], pool, *command[1:], "--trust", "nobody")

    assert done.returncode == 0, done.stderr
    assert Pool(pool).counts()[TaskState.DONE] == 3


@needs_root
def test_an_experiment_that_somebody_else_put_into_an_own_pool_is_noticed(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 1)
    os.chown(pool / "experiment.yaml", NOBODY, -1)

    with pytest.raises(PoolError, match=r"experiment\.yaml: belongs to nobody"):
        check_owner(pool)


# modules are loaded by a first pool: the other user may not be able to read Python's own folder
TWO_USERS = """
import os, sys
from pathlib import Path
from jobpool.table.settings import set_umask
from tests.support.workers import work
work(Path(sys.argv[1]))
set_umask("group")
child = os.fork()
if child == 0:
    os.setgroups([])
    os.setuid(int(sys.argv[3]))
work(Path(sys.argv[2]))
if child == 0:
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that all can look into: a pytest that starts closes its own to others."""
    with tempfile.TemporaryDirectory(prefix="jobpool-shared-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
def test_two_users_of_one_group_empty_a_pool_together(open_folder: Path) -> None:
    first, pool = a_pool(open_folder / "first", 1), a_pool(open_folder, 20_000, settings=GROUP)

    done = subprocess.run(
        [sys.executable, "-c", TWO_USERS, str(first), str(pool), str(NOBODY)],
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )

    owners = {path.stat().st_uid for path in (pool / "results").rglob("*.jsonl")}
    assert done.returncode == 0, done.stderr
    assert Pool(pool).counts()[TaskState.DONE] == 20_000
    assert owners == {0, NOBODY}


def test_an_experiment_that_others_can_change_is_refused(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 1, settings=GROUP)
    (pool / "experiment.yaml").chmod(0o660)

    done = jobpool("work", pool)

    assert done.returncode == Fault.POOL
    assert "experiment.yaml: can be changed by others" in done.stderr


def test_a_pool_without_its_experiment_is_no_traceback(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 1)
    (pool / "experiment.yaml").unlink()

    done = jobpool("work", pool)

    assert (done.returncode, "Traceback" in done.stderr) == (Fault.POOL, False)
    assert "experiment.yaml: missing; restore it from a backup" in done.stderr


def test_what_a_person_does_leaves_a_shared_pool_open_to_the_group(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 3, settings=GROUP)

    jobpool("hold", pool, "--all")
    jobpool("release", pool, "--all")
    jobpool("doctor", pool, "--repair")

    assert modes(pool, stat.S_IFREG) == {"rw-rw----", KEPT[1:]}
