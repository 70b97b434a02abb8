"""The sbatch lines of a pass are exact, and few."""

import os
import pwd
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.errors import Fault, SchedulerError
from jobpool.execution.health import ExcludedNode, exclude_node
from jobpool.experiment.config import Pass
from jobpool.pool import Pool
from jobpool.scheduler.base import count_queued, for_other_memory, job_prefix
from jobpool.scheduler.slurm.programs import run_program
from jobpool.scheduler.slurm.stuck import stuck_by
from jobpool.scheduler.slurm.submit import (
    output_pattern,
    read_queue,
    sbatch_lines,
    with_chosen,
    without_nodes,
)
from jobpool.task import Cause, Feedback
from tests.conftest import Jobpool
from tests.support.builders import a_pool
from tests.support.simulated import end_claim

FIRST = Pass(name="first", cores=1, memory_gb=4, walltime_s=3 * 3600, max_running=50)
PASSES = """
passes:
  first: {cores: 2, memory_gb: 0.2, walltime: 3h, max_running: 4, only: ["number<8"]}
"""


def lines_of(one: Pass, jobs: int, max_array_size: int = 10_001) -> list[str]:
    lines = sbatch_lines(
        one,
        jobs,
        ("worker.sbatch", "/data/pool"),
        name="study-first",
        log_folder=Path("/data/pool/logs"),
        max_array_size=max_array_size,
    )
    return [shlex.join(line) for line in lines]


class Programs:
    """Answers in turn, as programs would, and remembers what was run."""

    def __init__(self, *answers: str | SchedulerError) -> None:
        self.answers = list(answers)
        self.ran: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.ran.append(command)
        answer = self.answers.pop(0)
        if isinstance(answer, SchedulerError):
            raise answer
        return answer


def a_pool_with_passes(folder: Path) -> Path:
    pool = a_pool(folder, n_tasks=10)
    with (pool / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)
    return pool


def give_away(file: Path) -> None:
    """Make a file belong to another user, where that may be done."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, pwd.getpwnam("daemon").pw_uid, -1)


def test_200_jobs_are_one_throttled_array() -> None:
    assert lines_of(FIRST, 200) == [
        "sbatch --parsable --job-name=study-first --array=0-199%50 --cpus-per-task=1 --mem=4096M "
        "--time=0-03:00:00 --nodes=1 --ntasks=1 --signal=B:USR1@120 --requeue --open-mode=append "
        "--output=/data/pool/logs/%x-%A_%a.log worker.sbatch /data/pool"
    ]


def test_every_setting_of_a_pass_reaches_sbatch() -> None:
    one = Pass(
        name="second",
        cores=16,
        memory_gb=0.2,
        walltime_s=30 * 3600,
        partition="long",
        account="brain",
        only=("parcellation=schaefer*", "parcels>=400"),
        skip=("target=age",),
        sbatch=("--qos=low", "--comment=two words"),
    )

    assert lines_of(one, 2) == [
        "sbatch --parsable --job-name=study-first --array=0-1 --cpus-per-task=16 --mem=205M "
        "--time=1-06:00:00 --partition=long --account=brain "
        "--nodes=1 --ntasks=1 --signal=B:USR1@120 --requeue --open-mode=append "
        "--output=/data/pool/logs/%x-%A_%a.log --qos=low '--comment=two words' "
        "worker.sbatch /data/pool "
        "--only 'parcellation=schaefer*' --only 'parcels>=400' --skip target=age"
    ]


def arrays_of(one: Pass, jobs: int, max_array_size: int) -> list[str]:
    return [line.split("--array=")[1].split()[0] for line in lines_of(one, jobs, max_array_size)]


def test_an_array_may_be_as_large_as_the_cluster_allows() -> None:
    assert arrays_of(FIRST, 1001, 1001) == ["0-1000%50"]


def test_more_jobs_than_an_array_may_have_share_the_throttle() -> None:
    assert arrays_of(FIRST, 2005, 1001) == ["0-668%17", "0-667%17", "0-667%16"]


def test_a_throttle_below_the_number_of_arrays_still_lets_each_run() -> None:
    assert arrays_of(replace(FIRST, max_running=1), 4, 2) == ["0-1%1", "0-1%1"]


@pytest.mark.parametrize(
    ("options", "memory"),
    [
        (("--mem-per-cpu",), ["--mem-per-cpu=2731M"]),
        (("--mem-per-cpu=3G",), ["--mem-per-cpu=2731M", "--mem-per-cpu=3G"]),  # the last one wins
        (("--mem-per-gpu=9G",), ["--mem-per-gpu=9G"]),
        ((), ["--mem=8192M"]),
    ],
)
def test_memory_is_asked_for_in_the_way_that_a_pass_says(
    options: tuple[str, ...], memory: list[str]
) -> None:
    one = replace(FIRST, cores=3, memory_gb=8, sbatch=options)

    assert [word for word in lines_of(one, 1)[0].split() if word.startswith("--mem")] == memory


def test_a_size_modelled_on_a_pass_has_memory_of_its_own() -> None:
    model = replace(FIRST, sbatch=("--qos=low", "--mem=4G", "--mem-per-cpu=2G"))

    assert for_other_memory(model).sbatch == ("--qos=low", "--mem-per-cpu")


def test_no_job_is_no_submission() -> None:
    with pytest.raises(ValueError, match="jobs must be 1 or more"):
        lines_of(FIRST, 0)


def test_many_jobs_of_a_pass_without_a_throttle_get_a_polite_one() -> None:
    assert arrays_of(replace(FIRST, max_running=None), 101, 1001) == ["0-100%100"]


def test_few_jobs_of_a_pass_without_a_throttle_need_none() -> None:
    assert arrays_of(replace(FIRST, max_running=None), 100, 1001) == ["0-99"]


def test_nodes_are_left_out_unless_the_user_says_otherwise() -> None:
    one = without_nodes(replace(FIRST, sbatch=("--qos=low",)), ["n2", "n1"])

    assert one.sbatch == ("--exclude=n1,n2", "--qos=low")


def test_no_bad_node_is_no_option() -> None:
    assert without_nodes(FIRST, []) == FIRST


def test_the_jobs_of_two_pools_of_one_experiment_have_different_names(tmp_path: Path) -> None:
    first, second = (job_prefix(tmp_path / name, "my study") for name in ("a", "b"))

    assert first.startswith("my_study-")
    assert first != second


def test_jobs_in_the_queue_are_counted_by_size_with_one_question() -> None:
    squeue = Programs(
        "1|1|PENDING|Priority|test-1a2b-first\n2|2|RUNNING|None|test-1a2b-first\n"
        "3|3|COMPLETING|None|test-1a2b-first\n4|4|RUNNING|None|test-1a2b-96gb-2d\n"
        "5|5|RUNNING|None|test-9999-first\n6|6|PENDING|Priority|first_pass|x\n"
        "7|7|PENDING|JobHeldAdmin|test-1a2b-first\n"
    )

    counts = count_queued(read_queue(squeue), "test-1a2b-")

    assert counts == {"first": 2, "96gb-2d": 1}
    shape = "--format=%i|%F|%T|%r|%j"
    assert squeue.ran == [["squeue", "--me", "--noheader", "--all", "--array", shape]]


@pytest.mark.parametrize(
    ("state", "reason", "is_size"),
    [
        *(("PENDING", "JobHeldUser", False), ("PENDING", "DependencyNeverSatisfied", False)),
        *(("REQUEUE_HOLD", "None", False), ("SPECIAL_EXIT", "None", False)),
        *(("PENDING", "launch failed requeued held", False), ("PENDING", "BadConstraints", True)),
        *(("PENDING", "PartitionDown", True), ("PENDING", "PartitionTimeLimit", True)),
        *(("PENDING", "QOSMaxMemoryPerJob", True), ("PENDING", "QOSMinCpuNotSatisfied", True)),
        ("PENDING", "AssocMaxWallDurationPerJobLimit", True),
    ],
)
def test_a_job_that_waits_for_ever_is_told_from_others(
    state: str, reason: str, is_size: bool
) -> None:
    found = stuck_by(state, reason)

    assert found is not None
    assert found.is_size == is_size


@pytest.mark.parametrize(
    "reason",
    [
        *("Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Dependency", "None", ""),
        *("AssocGrpCpuLimit", "QOSMaxJobsPerUserLimit"),
        "ReqNodeNotAvail, UnavailableNodes:n[1-2]",
    ],
)
def test_a_job_that_will_run_by_itself_is_not_stuck(reason: str) -> None:
    assert stuck_by("PENDING", reason) is None


def test_signs_of_sbatchs_patterns_in_a_path_stand_for_themselves() -> None:
    assert output_pattern(Path("/data/100%j y"), "%x-%A_%a.log") == "/data/100%%j y/%x-%A_%a.log"


def test_a_path_that_turns_patterns_off_leaves_the_log_to_the_script() -> None:
    assert output_pattern(Path("/data/a\\b"), "%x-%A_%a.log") == "/dev/null"


def test_what_the_user_chose_for_all_jobs_gives_way_to_a_pass() -> None:
    chosen = ("--account=lab", "--partition=day", "--qos=low")

    one = with_chosen(replace(FIRST, partition="long", sbatch=("--qos=high",)), chosen)

    assert one.partition == "long"
    assert one.sbatch == ("--account=lab", "--qos=low", "--qos=high")  # sbatch takes the last


def test_a_program_that_is_not_there_is_named_with_the_way_out() -> None:
    with pytest.raises(
        SchedulerError, match=r"no-such-program cannot be run: No such file.*jobpool run"
    ):
        run_program(["no-such-program"])


def test_a_program_that_hangs_is_given_up() -> None:
    with pytest.raises(SchedulerError, match=r"sleep did not answer within 0\.05 s"):
        run_program(["sleep", "60"], timeout_s=0.05)


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(SchedulerError, match="ended with code 3: no such partition"):
        run_program(["sh", "-c", "echo no such partition >&2; exit 3"])


def test_what_a_failed_program_says_is_no_next_step() -> None:
    with pytest.raises(SchedulerError) as raised:
        run_program(["sh", "-c", "echo 'no such account; bye' >&2; exit 1"])

    assert raised.value.next_step.startswith("correct what it refuses, or try again")


def test_a_dry_run_prints_the_line_without_slurm(
    tmp_path: Path, jobpool: Jobpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = a_pool_with_passes(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("JOBPOOL", "/opt/bin/jobpool")

    shown = jobpool(
        "submit", pool, "--pass", "first", "--jobs", 6, "--only", "number<7", "--dry-run"
    )

    assert shown.returncode == 0, shown.stderr
    line = shlex.split(shown.stdout)
    script = line.index("--export=ALL,JOBPOOL=/opt/bin/jobpool") + 1
    assert line[:5] == [
        *("sbatch", "--parsable", f"--job-name={job_prefix(pool, 'test')}first", "--array=0-5%4"),
        "--cpus-per-task=2",
    ]
    assert Path(line[script]).name == "worker.sbatch"
    assert line[script + 1 :] == [str(pool), "--only", "number<8", "--only", "number<7"]


def test_options_by_variables_that_do_not_count_are_named(
    tmp_path: Path, jobpool: Jobpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_WAIT", "1")
    monkeypatch.setenv("SBATCH_SIGNAL", "B:TERM@75")
    monkeypatch.setenv("SBATCH_QOS", "1")

    shown = jobpool("submit", a_pool_with_passes(tmp_path), "--pass", "first", "--dry-run")

    assert "not counted, as a pass says what its jobs are: SBATCH_SIGNAL, SBATCH_WAIT" in (
        shown.stderr
    )
    assert " --qos=1 " in shown.stdout


@pytest.mark.parametrize(
    ("program", "option"),
    [
        ("/a b/c=d/jobpool", "--export=ALL,JOBPOOL=/a b/c=d/jobpool"),
        ("/a,b/jobpool", "--export=ALL,'JOBPOOL=/a,b/jobpool'"),  # else it would be /a
    ],
)
def test_any_path_of_the_program_reaches_the_job(
    tmp_path: Path,
    jobpool: Jobpool,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    option: str,
) -> None:
    monkeypatch.setenv("JOBPOOL", program)

    shown = jobpool("submit", a_pool_with_passes(tmp_path), "--pass", "first", "--dry-run")

    assert option in shlex.split(shown.stdout)


def test_no_more_jobs_than_waiting_tasks_are_submitted(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_with_passes(tmp_path)

    shown = jobpool("submit", pool, "--pass", "first", "--jobs", 200, "--dry-run")

    assert "--array=0-7%4" in shown.stdout
    assert "only 8 tasks waiting: 8 jobs instead of 200" in shown.stderr


def test_one_task_that_waits_is_spoken_of_as_one(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_with_passes(tmp_path)

    shown = jobpool(
        "submit", pool, "--pass", "first", "--jobs", 5, "--only", "number=0", "--dry-run"
    )

    assert "only 1 task waiting: 1 job instead of 5" in shown.stderr


@pytest.mark.parametrize(
    "options", [[], ["--keep-full", "--pass", "first"], ["--keep-full", "--only", "number=1"]]
)
def test_either_a_pass_is_given_or_the_queue_is_kept_full(
    tmp_path: Path, jobpool: Jobpool, options: list[str]
) -> None:
    pool = a_pool_with_passes(tmp_path)

    refused = jobpool("submit", pool, *options)

    assert refused.returncode == 2
    assert "--keep-full" in refused.stderr


def test_nothing_is_submitted_for_a_pool_of_somebody_else(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_with_passes(tmp_path)
    give_away(pool / "experiment.yaml")

    refused = jobpool("submit", pool, "--pass", "first", "--dry-run")

    assert refused.returncode == Fault.POOL
    assert "belongs to daemon, whose pool says which code its tasks run" in refused.stderr


def test_the_workers_trust_whom_the_submitter_trusts(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_with_passes(tmp_path)
    give_away(pool / "experiment.yaml")

    shown = jobpool("submit", pool, "--pass", "first", "--dry-run", "--trust", "daemon")

    assert f" {pool} --trust daemon --only " in shown.stdout


def test_nothing_is_submitted_to_a_node_on_which_tasks_fail(
    tmp_path: Path, jobpool: Jobpool
) -> None:
    pool = a_pool_with_passes(tmp_path)
    exclude_node(pool, ExcludedNode(node="n7", since=time.time(), why="5 of 5 attempts failed"))
    exclude_node(pool, ExcludedNode(node="n3", since=time.time() - 2 * 86400, why="long ago"))

    shown = jobpool("submit", pool, "--pass", "first", "--dry-run")

    assert " --exclude=n7 " in shown.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pass", "frist"], "no pass 'frist'; passes: first; did you mean 'first'?"),
        (["--pass", "first", "--only", "nummer=1"], "nummer"),
        (["--pass", "first", "--skip", "number>=0"], "no task waits for workers of pass 'first'"),
    ],
)
def test_what_cannot_be_submitted_is_one_clear_line(
    tmp_path: Path, jobpool: Jobpool, options: list[str], message: str
) -> None:
    pool = a_pool_with_passes(tmp_path)

    refused = jobpool("submit", pool, *options, "--dry-run")

    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_no_worker_is_submitted_that_would_see_no_task(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_with_passes(tmp_path)
    end_claim(pool, 0, Cause.MEMORY, Feedback(memory_mb=205))
    task = f"number={Pool(pool).grid.point(0)[0][1]}"

    refused = jobpool("submit", pool, "--pass", "first", "--only", task, "--dry-run")

    assert refused.returncode == 1
    assert "1 task had too little with as much as it has; larger jobs: jobpool plan" in (
        refused.stderr
    )


def test_submitting_without_slurm_says_what_to_do(
    tmp_path: Path, jobpool: Jobpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = a_pool_with_passes(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")

    refused = jobpool("submit", pool, "--pass", "first")

    assert refused.returncode == Fault.SCHEDULER
    assert "scontrol cannot be run" in refused.stderr
    assert "jobpool run POOL" in refused.stderr


def test_an_error_in_place_of_the_queue_is_no_empty_queue() -> None:
    with pytest.raises(SchedulerError, match="squeue printed no queue"):
        read_queue(lambda _: "slurm_load_jobs error: Unable to contact slurm controller\n")
