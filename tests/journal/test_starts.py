"""Jobs that cannot start: whoever fails tells the pool, and no more of them are sent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobpool.installation import asset
from jobpool.journal.starts import HEAD, forget_starts, read_starts
from jobpool.pool import Pool
from tests.conftest import Jobpool
from tests.support.builders import a_pool

PROGRAM = str(Path(sys.executable).with_name("jobpool"))


def start_job(
    pool: Path,
    job: int,
    program: object = PROGRAM,
    *words: str,
    name: str = "first",
    node: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Run the batch script as a node of SLURM does."""
    variables = {"SLURM_JOB_ID": job, "SLURM_JOB_NAME": name, "SLURMD_NODENAME": node or f"n{job}"}
    variables |= {"JOBPOOL": program, "SLURM_JOB_END_TIME": int(time.time()) + 3600}
    return subprocess.run(
        ["bash", asset("sbatch/worker.sbatch"), pool, *words],
        env={**os.environ, **{key: str(value) for key, value in variables.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def a_program(folder: Path, text: str) -> Path:
    file = folder / "program"
    file.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def test_a_job_without_jobpool_tells_the_pool_by_its_batch_script(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)

    start_job(pool, 7, "/nowhere/jobpool")

    (one,) = read_starts(pool, time.time()).open()
    assert (one.job, one.name, one.node) == ("7", "first", "n7")
    assert "'/nowhere/jobpool' does not run" in one.said
    assert "No such file or directory" in one.tail[-1]
    assert one.log == "logs/0/first-7.log"


def test_a_worker_whose_code_is_gone_tells_the_pool(tmp_path: Path) -> None:
    pool = a_pool(tmp_path, call="gone_module:f")

    start_job(pool, 7)

    (one,) = read_starts(pool, time.time()).open()
    assert "No module named 'gone_module'" in one.said


def test_a_worker_that_is_killed_before_it_is_ready_is_seen_by_the_file_that_it_leaves(
    tmp_path: Path,
) -> None:
    pool, kill = a_pool(tmp_path), f"kill -{signal.SIGILL.value} $$"
    program = a_program(tmp_path, f'[ "$1" = work ] && echo last words && {kill}; echo jobpool 1')

    start_job(pool, 7, program)

    assert read_starts(pool, time.time()).open() == ()
    (one,) = read_starts(pool, time.time() + 3600).open()
    assert "ended without a word" in one.said
    assert one.tail[-1] == "last words"


def test_a_job_that_still_runs_is_not_taken_for_failed(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    start_job(pool, 7, a_program(tmp_path, "true"))

    assert not read_starts(pool, time.time() + 3600, running={"7"}).open()
    assert read_starts(pool, time.time() + 3600, running=set()).open()


def test_a_worker_that_starts_well_leaves_no_trace_of_the_starts_before(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    start_job(pool, 7, "/nowhere/jobpool")

    start_job(pool, 8, PROGRAM, "--max-tasks", "1")

    assert read_starts(pool, time.time() + 3600).open() == ()


def test_a_worker_of_an_older_jobpool_is_not_taken_for_failed(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    old = a_program(tmp_path, f'unset JOBPOOL_START; exec {PROGRAM} "$@"')

    start_job(pool, 8, old, "--max-tasks", "1")

    assert read_starts(pool, time.time() + 3600).open() == ()


@pytest.mark.parametrize("command", ["status", "errors", "plan", "doctor"])
def test_a_job_that_could_not_start_is_shown(
    jobpool: Jobpool, tmp_path: Path, command: str
) -> None:
    pool = a_pool(tmp_path)
    start_job(pool, 7, "/nowhere/jobpool")

    shown = jobpool(command, pool)

    assert "1 job could not start, the last on n7" in shown.stdout
    assert "'/nowhere/jobpool' does not run" in shown.stdout


def test_why_says_that_jobs_cannot_start(jobpool: Jobpool, tmp_path: Path) -> None:
    pool = a_pool(tmp_path, 1)
    start_job(pool, 7, "/nowhere/jobpool")

    shown = jobpool("why", pool, Pool(pool).grid.id(0))

    assert "1 job could not start" in shown.stdout


def test_status_as_json_names_the_jobs_that_could_not_start(
    jobpool: Jobpool, tmp_path: Path
) -> None:
    pool = a_pool(tmp_path)
    start_job(pool, 7, "/nowhere/jobpool")

    found = json.loads(jobpool("status", pool, "--json").stdout)

    assert [one["job"] for one in found["failed_starts"]] == ["7"]


def test_two_failed_starts_refuse_nothing(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    for_all = [start_job(pool, job, "/nowhere/jobpool") for job in (7, 8)]

    assert len(for_all) == 2
    assert read_starts(pool, time.time()).refusal("first") == ""


def test_three_failed_starts_in_a_row_with_the_same_words_refuse_the_next(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    _ = [start_job(pool, job, "/nowhere/jobpool") for job in (7, 18, 120)]

    why = read_starts(pool, time.time()).refusal("first")

    assert "3 jobs could not start, the last on n120" in why


def test_jobs_of_another_name_that_start_well_are_sent_on(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    start_job(pool, 6, PROGRAM, "--max-tasks", "1", name="second")
    _ = [start_job(pool, job, "/nowhere/jobpool") for job in (7, 18, 120)]

    found = read_starts(pool, time.time())

    assert found.refusal("second") == ""
    assert found.refusal("first") != ""


def test_a_link_that_another_user_put_there_is_never_written_through(tmp_path: Path) -> None:
    pool, precious = a_pool(tmp_path), tmp_path / "precious"
    precious.write_text("mine", encoding="utf-8")
    (pool / "starts" / "7.failed").symlink_to(precious)
    (pool / "starts" / "7.starting").symlink_to(precious)

    start_job(pool, 7, "/nowhere/jobpool")
    start_job(pool, 7, PROGRAM, "--max-tasks", "1")

    assert precious.read_text(encoding="utf-8") == "mine"


def test_a_person_says_that_starts_may_be_tried_again(jobpool: Jobpool, tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    _ = [start_job(pool, job, "/nowhere/jobpool") for job in (7, 8, 9)]

    said = jobpool("release", pool, "--starts")

    assert "3 failed starts are forgotten" in said.stdout
    assert read_starts(pool, time.time()).open() == ()


def test_what_a_failed_job_wrote_cannot_steer_a_terminal(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)

    start_job(pool, 7, a_program(tmp_path, r"printf '\e[2Jbad\n' >&2; exit 3"))

    (one,) = read_starts(pool, time.time()).open()
    assert one.tail == (" [2Jbad",)


def test_forgetting_leaves_the_last_good_start(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    start_job(pool, 8, PROGRAM, "--max-tasks", "1")

    forget_starts(pool)

    assert list(read_starts(pool, time.time()).good) == ["first"]


def test_a_node_where_starts_fail_while_they_succeed_elsewhere_is_told_from_the_others(
    tmp_path: Path,
) -> None:
    pool = a_pool(tmp_path)
    _ = [start_job(pool, job, "/nowhere/jobpool", node="n1") for job in (1, 2)]
    start_job(pool, 3, PROGRAM, "--max-tasks", "1", node="n2")
    start_job(pool, 4, "/nowhere/jobpool", node="n1")

    found = read_starts(pool, time.time())

    assert list(found.bad_nodes()) == ["n1"]
    assert found.refusal("first") == ""
    assert len(found.open()) == 3


def test_a_node_that_starts_a_job_again_is_no_longer_bad(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    _ = [start_job(pool, job, "/nowhere/jobpool", node="n1") for job in (1, 2, 3)]
    start_job(pool, 4, PROGRAM, "--max-tasks", "1", node="n2")
    start_job(pool, 5, PROGRAM, "--max-tasks", "1", node="n1")

    assert read_starts(pool, time.time()).bad_nodes() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to another user needs root")
def test_a_job_of_another_member_is_given_time_to_start(tmp_path: Path) -> None:
    pool = a_pool(tmp_path)
    (pool / "starts").mkdir(exist_ok=True)
    files = [pool / "starts" / f"{job}.starting" for job in (7, 8)]
    for file in files:
        file.write_text(f"{HEAD}\nname=first\n", encoding="utf-8")
    os.chown(files[1], 12345, -1)

    starts = read_starts(pool, time.time() + 120, running=())

    assert [one.job for one in starts.failed] == ["7"]
