"""What cleaners remove under a worker: its folder for temporary files, its Python."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.journal.attempts import all_attempts
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause, TaskState
from tests.conftest import Jobpool
from tests.support.builders import a_pool

CODE = """
import os, pathlib, shutil, subprocess, sys, tempfile
def run(number):
    {removes}
    {fails}
"""


@pytest.mark.parametrize(
    "fails",
    [
        "tempfile.mkdtemp(dir=os.environ['TMPDIR'])",
        "subprocess.run(['mktemp'], check=True)",
        "raise ValueError('a message of any kind')",
    ],
)
def test_a_removed_folder_for_temporary_files_burns_no_task(
    tmp_path: Path, jobpool: Jobpool, fails: str
) -> None:
    removes = "shutil.rmtree(os.environ['TMPDIR'], ignore_errors=True)"
    (tmp_path / "mine.py").write_text(CODE.format(removes=removes, fails=fails))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    pool = a_pool(tmp_path, 5, call="mine:run")

    done = jobpool("work", pool, PYTHONPATH=tmp_path, TMPDIR=temporary)

    said = f"jobpool: the folder for temporary files was removed: {temporary}; put it back, or"
    assert (done.returncode, done.stderr.splitlines()[-1][: len(said)]) == (11, said)
    assert [one.cause for one in all_attempts(pool)] == [Cause.STORAGE]
    assert Pool(pool).counts()[TaskState.WAITING] == 5
    assert sum(Pool(pool).record(position).attempts for position in range(5)) == 0


def test_a_folder_for_temporary_files_that_never_was_there_blames_no_one(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool(tmp_path, 1, call="tests.support.tasks:fails")

    jobpool("work", pool, TMPDIR=tmp_path / "nowhere")

    assert [one.cause for one in all_attempts(pool)] == [Cause.ERROR]


@pytest.mark.parametrize("ends", ["import wave_of_nowhere", "os._exit(1)"])
def test_a_removed_python_burns_no_task(tmp_path: Path, ends: str) -> None:
    environment = tmp_path / "environment"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60
    )
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "all.pth").write_text("\n".join(path for path in sys.path if path))
    removes = f"shutil.rmtree({str(environment)!r}, ignore_errors=True)"
    (tmp_path / "mine.py").write_text(CODE.format(removes=removes, fails=ends))
    pool = a_pool(tmp_path, 5, call="mine:run")

    done = subprocess.run(
        [str(environment / "bin" / "python"), "-m", "jobpool", "work", str(pool)],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "jobpool: the Python environment was removed: " in done.stderr
    assert (done.returncode, "Traceback" in done.stderr) == (11, False)
    assert [one.cause for one in all_attempts(pool)] == [Cause.STORAGE]
    assert Pool(pool).counts()[TaskState.WAITING] == 5


def test_a_file_that_vanishes_under_a_memory_map_is_the_disks(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    (tmp_path / "mine.py").write_text(
        "import mmap, tempfile\n"
        "def run(number):\n"
        "    with tempfile.TemporaryFile() as file:\n"
        "        file.write(bytes(1 << 20))\n"
        "        file.flush()\n"
        "        there = mmap.mmap(file.fileno(), 1 << 20)\n"
        "        file.truncate(0)\n"
        "        return {'value': there[1 << 19]}\n"
    )
    quick = WorkerSettings(heartbeat_s=0.2)
    pool = a_pool(tmp_path, 1, call="mine:run", settings=quick)

    jobpool("work", pool, "--max-tasks", 1, PYTHONPATH=tmp_path)

    (attempt,) = all_attempts(pool)
    assert (attempt.cause, attempt.error) == (
        Cause.STORAGE,
        "the task process was terminated by signal SIGBUS",
    )
    assert Pool(pool).record(0).same == 1
