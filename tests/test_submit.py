"""The sbatch lines of a pass are exact, and few."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobpool.errors import SlurmError
from jobpool.experiment import Pass
from jobpool.slurm.programs import run_program
from jobpool.slurm.submit import read_max_array_size, sbatch_lines, submit
from tests.builders import a_pool
from tests.conftest import Jobpool

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

    def __init__(self, *answers: str | SlurmError) -> None:
        self.answers = list(answers)
        self.ran: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.ran.append(command)
        answer = self.answers.pop(0)
        if isinstance(answer, SlurmError):
            raise answer
        return answer


def a_pool_with_passes(folder: Path) -> Path:
    pool = a_pool(folder, n_tasks=10)
    with (pool / "experiment.yaml").open("a", encoding="utf-8") as file:
        file.write(PASSES)
    return pool


def test_200_jobs_are_one_throttled_array() -> None:
    assert lines_of(FIRST, 200) == [
        "sbatch --parsable --job-name=study-first --array=0-199%50 --cpus-per-task=1 --mem=4096M "
        "--time=0-03:00:00 --output=/data/pool/logs/%x-%j.log worker.sbatch /data/pool"
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
        "--output=/data/pool/logs/%x-%j.log --qos=low '--comment=two words' "
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


def test_no_job_is_no_submission() -> None:
    with pytest.raises(ValueError, match="jobs must be 1 or more"):
        lines_of(FIRST, 0)


def test_the_size_of_an_array_is_asked_once() -> None:
    scontrol = Programs("MaxArrayTasks = 5\nMaxArraySize            = 10001\nMaxDBDMsgs = 1")

    size = read_max_array_size(scontrol)

    assert size == 10_001
    assert scontrol.ran == [["scontrol", "show", "config"]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [("MaxArraySize = 0", "has no job arrays"), ("nonsense", "names no MaxArraySize")],
)
def test_a_cluster_without_arrays_is_named(answer: str, message: str) -> None:
    with pytest.raises(SlurmError, match=message):
        read_max_array_size(Programs(answer))


def test_the_ids_of_the_jobs_come_back() -> None:
    sbatch = Programs("sbatch: a remark of the cluster\n12\n", "13;alps\n")

    job_ids = submit([["sbatch", "a"], ["sbatch", "b"]], sbatch)

    assert job_ids == ("12", "13")
    assert sbatch.ran == [["sbatch", "a"], ["sbatch", "b"]]


def test_a_refused_line_names_what_was_submitted_before_it() -> None:
    sbatch = Programs("12", SlurmError("sbatch: error: Invalid account"))

    with pytest.raises(SlurmError, match=r"Invalid account\nsubmitted before that: 12"):
        submit([["sbatch", "a"], ["sbatch", "b"]], sbatch)


def test_a_program_that_is_not_there_is_named_with_the_way_out() -> None:
    with pytest.raises(
        SlurmError, match=r"no-such-program cannot be run: No such file.*jobpool run"
    ):
        run_program(["no-such-program"])


def test_a_program_that_hangs_is_given_up() -> None:
    with pytest.raises(SlurmError, match=r"sleep did not answer within 0\.05 s"):
        run_program(["sleep", "60"], timeout_s=0.05)


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(SlurmError, match="ended with code 3: no such partition"):
        run_program(["sh", "-c", "echo no such partition >&2; exit 3"])


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
        *("sbatch", "--parsable", "--job-name=test-first", "--array=0-5%4"),
        "--cpus-per-task=2",
    ]
    assert Path(line[script]).name == "worker.sbatch"
    assert line[script + 1 :] == [str(pool), "--only", "number<8", "--only", "number<7"]


def test_no_more_jobs_than_waiting_tasks_are_submitted(tmp_path: Path, jobpool: Jobpool) -> None:
    pool = a_pool_with_passes(tmp_path)

    shown = jobpool("submit", pool, "--pass", "first", "--jobs", 200, "--dry-run")

    assert "--array=0-7%4" in shown.stdout
    assert "only 8 tasks wait: 8 jobs instead of 200" in shown.stderr


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


def test_submitting_without_slurm_says_what_to_do(
    tmp_path: Path, jobpool: Jobpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = a_pool_with_passes(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")

    refused = jobpool("submit", pool, "--pass", "first")

    assert refused.returncode == 1
    assert "scontrol cannot be run" in refused.stderr
    assert "jobpool run POOL" in refused.stderr
