"""The scripts a user submits: what they ask for, and what they do with a stand-in jobpool.

Under a real SLURM they run in tests/slurm.
"""

import os
import subprocess
from pathlib import Path

import pytest

from jobpool.installation import asset
from jobpool.scheduler.base import MARGIN_S
from jobpool.scheduler.slurm.scripts import script_text

SCRIPTS = ("first_pass", "second_pass", "by_fold", "worker")
STAND_IN = """\
#!/bin/sh
if [ "$1" = --version ]; then echo jobpool 9.9; exit; fi
echo "$0 is process $$, called with: $*"
"""
BROKEN = "#!/nowhere/python\n"


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/pool.json").touch()
    return tmp_path / "pool"


def text_of(script: str) -> str:
    return asset(f"sbatch/{script}.sbatch").read_text(encoding="utf-8")


def options_of(script: str) -> list[str]:
    lines = text_of(script).splitlines()
    return [line.split()[1] for line in lines if line.startswith("#SBATCH ")]


def steps_of(script: str) -> str:
    """Return the part of a script that does something, but for its last command."""
    return text_of(script).partition("\npool=")[2].partition("\n# exec:")[0]


def a_program(folder: Path, text: str = STAND_IN) -> Path:
    folder.mkdir()
    program = folder / "jobpool"
    program.write_text(text)
    program.chmod(0o755)
    return program


def start(
    script: str, *arguments: object, begun: Path, **settings: object
) -> "subprocess.CompletedProcess[str]":
    """Run a script as SLURM does: its output goes to the file `begun`, which is appended to."""
    job = {"SLURM_JOB_ID": "12345", "SLURM_JOB_NAME": script, "PATH": os.environ["PATH"]}
    command = ["bash", str(asset(f"sbatch/{script}.sbatch")), *map(str, arguments)]
    environment = job | {name: str(value) for name, value in settings.items()}
    with begun.open("a") as output:
        return subprocess.run(
            command, env=environment, stdout=output, stderr=output, text=True, check=False
        )


@pytest.mark.parametrize("name", ["logs", "logs/12", "logs/12/worker-12345.log", "starts"])
def test_no_link_of_a_pool_is_followed_by_a_job(tmp_path: Path, pool: Path, name: str) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (pool / name).parent.mkdir(parents=True, exist_ok=True)
    (pool / name).symlink_to(private)

    ended = start("worker", pool, begun=tmp_path / "begun", JOBPOOL=a_program(tmp_path / "bin"))

    assert ended.returncode == 1
    assert f"{name} is a symbolic link" in (tmp_path / "begun").read_text()
    assert list(private.iterdir()) == []


def test_a_file_that_slurm_reached_by_a_link_stays_where_it_is(tmp_path: Path, pool: Path) -> None:
    private = tmp_path / "private"
    private.write_text("mine\n")
    (pool / "logs").mkdir()
    (pool / "logs" / "worker-12345_6.log").symlink_to(private)
    array = {"SLURM_ARRAY_JOB_ID": "12345", "SLURM_ARRAY_TASK_ID": "6"}

    start("worker", pool, begun=private, JOBPOOL=a_program(tmp_path / "bin"), **array)

    assert private.read_text().startswith("mine\n")


def test_the_first_pass_asks_for_its_resources() -> None:
    assert options_of("first_pass") == [
        *("--job-name=first_pass", "--cpus-per-task=1", "--mem=4G", "--time=0-03:00:00"),
        *("--nodes=1", "--ntasks=1", "--signal=B:USR1@120", "--requeue"),
        *("--open-mode=append", "--output=jobpool-%j.log"),
    ]


@pytest.mark.parametrize(
    ("script", "resources"),
    [
        ("second_pass", ["--cpus-per-task=16", "--mem=64G", "--time=1-06:00:00"]),
        ("by_fold", ["--cpus-per-task=4", "--mem=16G", "--time=0-12:00:00"]),
    ],
)
def test_the_other_passes_differ_in_their_resources_only(script: str, resources: list[str]) -> None:
    expected = [f"--job-name={script}", *resources, *options_of("first_pass")[4:]]

    assert options_of(script) == expected


def test_a_submitted_worker_leaves_its_resources_to_the_command_line() -> None:
    assert options_of("worker") == options_of("first_pass")[4:]


@pytest.mark.parametrize("script", SCRIPTS[1:])
def test_all_scripts_take_the_same_steps(script: str) -> None:
    assert steps_of(script) == steps_of("first_pass")
    assert len(steps_of(script)) > 1000


@pytest.mark.parametrize("script", [*SCRIPTS, "cache_fill"])
def test_each_script_is_committed_as_its_template_makes_it(script: str) -> None:
    assert text_of(script) == script_text(script)


def test_the_scripts_warn_as_long_before_the_end_as_a_worker_leaves() -> None:
    assert f"--signal=B:USR1@{MARGIN_S:.0f}" in options_of("worker")


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_line_is_a_shell_error(script: str) -> None:
    checked = subprocess.run(
        ["bash", "-n", asset(f"sbatch/{script}.sbatch")], capture_output=True, check=False
    )

    assert checked.stderr == b""


def test_the_worker_gets_what_stands_after_the_pool(tmp_path: Path, pool: Path) -> None:
    program = a_program(tmp_path / "bin")

    ended = start("first_pass", pool, "--only", "x=a b", begun=tmp_path / "begun", JOBPOOL=program)

    log = (pool / "logs/12/first_pass-12345.log").read_text()
    assert ended.returncode == 0
    assert log.splitlines()[1].endswith(f"called with: work {pool} --only x=a b")


def test_the_by_fold_pass_skips_tasks_of_all_folds(tmp_path: Path, pool: Path) -> None:
    program = a_program(tmp_path / "bin")

    start("by_fold", pool, "--only", "fold=1", begun=tmp_path / "begun", JOBPOOL=program)

    log = (pool / "logs/12/by_fold-12345.log").read_text()
    assert f"work {pool} --only fold=1 --skip fold=all" in log


@pytest.mark.parametrize("warning", ["USR1", "USR2"])
def test_a_warning_before_the_worker_hears_it_ends_no_job(
    tmp_path: Path, pool: Path, warning: str
) -> None:
    program = a_program(
        tmp_path / "bin", STAND_IN.replace("echo jobpool", f"kill -{warning} $PPID; echo")
    )

    ended = start("first_pass", pool, begun=tmp_path / "begun", JOBPOOL=program)

    assert ended.returncode == 0
    assert f"called with: work {pool}" in (pool / "logs/12/first_pass-12345.log").read_text()


def test_the_log_names_the_program_that_runs(tmp_path: Path, pool: Path) -> None:
    program = a_program(tmp_path / "bin")
    path = f"{program.parent}:{os.environ['PATH']}"

    start("first_pass", pool, begun=tmp_path / "begun", PATH=path)

    log = (pool / "logs/12/first_pass-12345.log").read_text()
    assert log.splitlines()[0].endswith(f": jobpool 9.9, {program}")


def test_the_first_log_moves_into_the_pool(tmp_path: Path, pool: Path) -> None:
    begun = tmp_path / "begun"
    begun.write_text("from SLURM's prolog\n")

    start("first_pass", pool, begun=begun, JOBPOOL=a_program(tmp_path / "bin"))

    assert not begun.exists()
    log = (pool / "logs/12/first_pass-12345.log").read_text()
    assert log.startswith("from SLURM's prolog\n")


def test_a_log_that_is_no_file_stays_where_it_is(tmp_path: Path, pool: Path) -> None:
    start("first_pass", pool, begun=Path("/dev/null"), JOBPOOL=a_program(tmp_path / "bin"))

    assert Path("/dev/null").is_char_device()
    assert "called with" in (pool / "logs/12/first_pass-12345.log").read_text()


ARRAY_TASK = {"SLURM_ARRAY_JOB_ID": 999, "SLURM_ARRAY_TASK_ID": 0, "SLURM_JOB_ID": 1003}


def with_squeue(folder: Path, answer: str) -> dict[str, object]:
    """Return settings under which squeue prints something, unless a user's filter reaches it."""
    program = folder / "slurm" / "squeue"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ -n \"$SQUEUE_STATES\" ] || printf '{answer}'\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "SQUEUE_STATES": "PD"}


@pytest.mark.parametrize(
    ("answer", "log"),
    [
        # the folder follows the job's own number, which is another for each task of the array
        ("999 999_1 0\\n1003 999_0 0\\n", "1/first_pass-999_0.log"),
        ("1003 999_0 2\\n", "1/first_pass-999_0-restart2.log"),
        ("1003 1003 0\\n", "1/first_pass-1003.log"),  # 999_0 is the job that submitted it
        ("", "1/first_pass-1003-restart1.log"),  # its own number is wrong in no case
    ],
)
def test_a_job_is_named_as_squeue_names_it(
    tmp_path: Path, pool: Path, answer: str, log: str
) -> None:
    settings = ARRAY_TASK | {"SLURM_RESTART_COUNT": 1} | with_squeue(tmp_path, answer)

    start(
        "first_pass",
        pool,
        begun=tmp_path / "begun",
        JOBPOOL=a_program(tmp_path / "bin"),
        **settings,
    )

    assert (pool / "logs" / log).exists()


def test_a_job_whose_log_slurm_named_after_the_array_asks_nothing(
    tmp_path: Path, pool: Path
) -> None:
    (pool / "logs").mkdir()
    settings = ARRAY_TASK | with_squeue(tmp_path, "1003 wrong 0\\n")
    program = a_program(tmp_path / "bin", STAND_IN + 'echo "in job $JOBPOOL_JOB"\n')

    start("worker", pool, begun=pool / "logs/worker-999_0.log", JOBPOOL=program, **settings)

    assert "in job 1003 999_0 0" in (pool / "logs/1/worker-999_0.log").read_text()


def test_a_job_in_an_array_hands_its_array_to_no_task_of_another_job(
    tmp_path: Path, pool: Path
) -> None:
    settings = ARRAY_TASK | with_squeue(tmp_path, "1003 1003 0\\n")
    program = a_program(tmp_path / "bin", STAND_IN + 'echo "array: ${SLURM_ARRAY_JOB_ID-none}"\n')

    start("first_pass", pool, begun=tmp_path / "begun", JOBPOOL=program, **settings)

    assert "array: none" in (pool / "logs/1/first_pass-1003.log").read_text()


def test_a_restarted_job_has_a_log_of_its_own(tmp_path: Path, pool: Path) -> None:
    program = a_program(tmp_path / "bin")
    again = {"SLURM_RESTART_COUNT": 1} | with_squeue(tmp_path, "12345 12345 1\\n")

    start("first_pass", pool, begun=tmp_path / "begun", JOBPOOL=program)
    start("first_pass", pool, begun=tmp_path / "begun", JOBPOOL=program, **again)

    names = sorted(file.name for file in (pool / "logs/12").iterdir())
    assert names == ["first_pass-12345-restart1.log", "first_pass-12345.log"]


def test_a_job_name_with_a_slash_is_one_file(tmp_path: Path, pool: Path) -> None:
    program = a_program(tmp_path / "bin")

    start("worker", pool, begun=tmp_path / "begun", JOBPOOL=program, SLURM_JOB_NAME="a/b")

    assert (pool / "logs/12/a_b-12345.log").exists()


@pytest.mark.parametrize("arguments", [[], ["no/such/pool"]])
def test_a_wrong_pool_is_named_where_slurm_writes(tmp_path: Path, arguments: list[str]) -> None:
    begun = tmp_path / "begun"

    ended = start("first_pass", *arguments, begun=begun)

    assert ended.returncode == 1
    assert begun.read_text().startswith(f"no pool at '{''.join(arguments)}', seen from ")


def test_an_environment_without_jobpool_is_one_clear_line(tmp_path: Path, pool: Path) -> None:
    ended = start("first_pass", pool, begun=tmp_path / "begun", PATH="/usr/bin:/bin")

    log = (pool / "logs/12/first_pass-12345.log").read_text()
    assert ended.returncode == 1
    assert "'jobpool' does not run on " in log
    assert "export JOBPOOL=/path/bin/jobpool" in log


def test_an_environment_whose_python_is_gone_is_one_clear_line(tmp_path: Path, pool: Path) -> None:
    program = a_program(tmp_path / "bin", BROKEN)

    ended = start("first_pass", pool, begun=tmp_path / "begun", JOBPOOL=program)

    assert ended.returncode == 1
    log = (pool / "logs/12/first_pass-12345.log").read_text()
    assert f"'{program}' does not run on " in log


def test_a_script_called_without_sbatch_says_how(tmp_path: Path, pool: Path) -> None:
    begun = tmp_path / "begun"

    ended = start("first_pass", pool, begun=begun, SLURM_JOB_ID="")

    assert ended.returncode != 0
    assert "without SLURM: jobpool run POOL" in begun.read_text()
