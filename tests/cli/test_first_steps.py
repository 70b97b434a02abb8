"""The first minutes: wrong names, arguments in another order, Ctrl-C, and what is proposed next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.errors import Fault
from jobpool.pool import Pool
from jobpool.table.arrays import n_counted
from tests.conftest import Jobpool
from tests.support.builders import a_pool

STUDY = """
runner: function
axes: {site: [berlin, oslo], factor: {from: 1, to: 4}}
function: {call: "tests.support.tasks:nothing"}
passes:
  first: {cores: 1, memory_gb: 1, walltime: 10m, only: "site=oslo"}
"""

# Python runs this module before all others: SIGINT arrives while the module {name} is asked for
INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
sys.meta_path.insert(0, Interrupting())
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY, encoding="utf-8")
    return file


def test_a_command_that_is_misspelt_names_the_one_that_was_meant(jobpool: Jobpool) -> None:
    done = jobpool("statsu", "pool")

    assert done.returncode == 2
    assert "No such command 'statsu'; did you mean 'status'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "index", "found"),
    [("jobpool st", 1, "status"), ("jobpool submit --k", 2, "--keep-full")],
)
def test_a_shell_can_complete_commands(words: str, index: int, found: str) -> None:
    program = "import sys; sys.argv = ['jobpool']; from jobpool.__main__ import main; main()"
    asked = {"_JOBPOOL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == [found]


@pytest.mark.parametrize("name", ["typer", "jobpool.cli.status", "jobpool.overview.status"])
def test_ctrl_c_while_modules_are_loaded_ends_without_a_traceback(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(name=name))
    path = os.pathsep.join([str(tmp_path), *sys.path])

    done = subprocess.run(
        [sys.executable, "-m", "jobpool", "status", a_pool(tmp_path, 1)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in {-signal.SIGINT, 128 + signal.SIGINT}
    assert done.stderr == ""


def test_a_pool_in_place_of_an_experiment_is_named(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool(tmp_path, 1)

    done = jobpool("init", pool, tmp_path / "another")

    assert done.returncode == Fault.INPUT
    assert f"{pool}: is a pool; give the experiment file first" in done.stderr


def test_init_of_a_pool_that_is_there_says_how_to_go_on(
    tmp_path: Path, config: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 1)

    done = jobpool("init", config, pool)

    assert done.returncode == Fault.INPUT
    assert f"is a pool already; run its tasks with: jobpool run {pool}; add tasks" in done.stderr


def test_init_proposes_no_more_jobs_than_there_are_tasks(config: Path, jobpool: Jobpool) -> None:
    done = jobpool("init", config, config.parent / "pool")

    assert done.stdout.endswith("--pass first --jobs 4\n")


def test_a_selection_that_a_shell_cut_off_says_where_quotes_are_needed(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    done = jobpool("status", a_pool(tmp_path, 1), "--only", "parcels")

    assert done.returncode == Fault.INPUT
    assert "a shell takes > and < for itself where they are not in quotes" in done.stderr


def test_an_extension_names_the_passes_that_it_adopts(config: Path, jobpool: Jobpool) -> None:
    pool = config.parent / "pool"
    jobpool("init", config, pool)
    config.write_text(
        STUDY.replace("10m", "20m") + "  second: {cores: 2, memory_gb: 2, walltime: 1h}\n"
    )

    done = jobpool("extend", config, pool)

    assert done.stdout.splitlines() == [
        f"added 0 tasks to {pool}, which had 8",
        "adopted what changed in: passes.first, passes.second",
    ]


def test_an_extension_that_would_change_nothing_for_workers_is_refused(
    config: Path, jobpool: Jobpool
) -> None:
    pool = config.parent / "pool"
    jobpool("init", config, pool)
    config.write_text(STUDY + "workers: {heartbeat: 10s}\n")

    done = jobpool("extend", config, pool)

    assert done.returncode == Fault.INPUT
    assert "workers: the pool was made with others (heartbeat)" in done.stderr


def test_a_link_to_an_empty_folder_leads_to_the_pool(config: Path, jobpool: Jobpool) -> None:
    folder, link = config.parent / "scratch", config.parent / "pool"
    folder.mkdir()
    link.symlink_to(folder)

    done = jobpool("init", config, link)

    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert n_counted(Pool(folder).counts()) == 8


def test_a_link_to_nothing_leads_to_the_pool(config: Path, jobpool: Jobpool) -> None:
    link = config.parent / "pool"
    link.symlink_to("scratch")

    done = jobpool("init", config, link)

    assert done.returncode == 0, done.stderr
    assert n_counted(Pool(config.parent / "scratch").counts()) == 8


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Return a folder in which this user may make nothing, with an own folder in it."""
    closed = tmp_path / "closed"
    (closed / "own").mkdir(parents=True)
    closed.chmod(0o555)
    return closed


def without_roots_power(*words: object) -> "subprocess.CompletedProcess[str]":
    power = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    program = [sys.executable, "-m", "jobpool", *map(str, words)]
    is_root = os.geteuid() == 0
    return subprocess.run(
        [*power, *program] if is_root else program, capture_output=True, text=True, check=False
    )


def test_an_own_folder_below_a_closed_one_can_be_a_pool(config: Path, closed: Path) -> None:
    done = without_roots_power("init", config, closed / "own")

    assert done.returncode == 0, done.stderr
    assert n_counted(Pool(closed / "own").counts()) == 8
    assert not [*(closed / "own").glob(".*")]


def test_the_folder_that_is_closed_is_named(config: Path, closed: Path) -> None:
    done = without_roots_power("init", config, closed / "new" / "pool")

    assert done.returncode == Fault.FILE_SYSTEM
    assert done.stderr.startswith(f"jobpool: {closed}: Permission denied, so {closed}/new/pool ")


def test_a_file_in_the_way_is_named(config: Path, jobpool: Jobpool) -> None:
    done = jobpool("init", config, config / "below" / "pool")

    assert done.returncode == Fault.FILE_SYSTEM
    assert done.stderr.startswith(f"jobpool: {config}: Not a directory, so ")


def test_a_pool_that_an_older_jobpool_extended_can_be_extended(
    config: Path, jobpool: Jobpool
) -> None:
    pool = config.parent / "pool"
    jobpool("init", config, pool)
    of_before = (pool / "pool.json").read_bytes()
    config.write_text(STUDY.replace("oslo]", "oslo, rome]"))
    jobpool("extend", config, pool)
    (pool / "pool.json").write_bytes(of_before)  # an older one does not write what it read

    done = jobpool("extend", config, pool)

    assert (done.returncode, done.stdout.split(" to ")[0]) == (0, "added 0 tasks"), done.stderr
    assert jobpool("status", pool).returncode == 0
