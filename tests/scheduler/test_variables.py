"""The user's variables for SLURM's programs: which of them reach those that jobpool runs."""

import pytest

from jobpool.errors import SchedulerError
from jobpool.scheduler.slurm.limits import read_limits
from jobpool.scheduler.slurm.programs import on_cluster, run_program
from jobpool.scheduler.slurm.variables import chosen_cluster, chosen_options, environment_of

USER = {
    "HOME": "/me",
    "TZ": "UTC",
    "SLURM_CONF": "/etc/slurm.conf",
    "SLURM_JWT": "token",
    "SQUEUE_PARTITION": "urgent",
    "SQUEUE_STATES": "PD",
    "SQUEUE_FORMAT": "%i",
    "SINFO_FORMAT": "%n",
    "SACCT_FORMAT": "User",
    "SCONTROL_ALL": "1",
    "SCANCEL_STATE": "PD",
    "SLURM_TIME_FORMAT": "%s",
    "SLURM_CLUSTERS": "alps",
    "SLURM_MEM_PER_CPU": "256",
    "SLURM_ARRAY_JOB_ID": "12",
    "SALLOC_WAIT": "1",
    "SBATCH_SIGNAL": "B:TERM@75",
    "SBATCH_WAIT": "1",
    "SBATCH_OUTPUT": "x",
    "SBATCH_QOS": "low",
}
REACHED_BY = {"HOME", "TZ", "SLURM_CONF", "SLURM_JWT"}


@pytest.mark.parametrize("program", ["squeue", "sacct", "sinfo", "scontrol", "scancel"])
def test_programs_that_are_asked_get_no_option_by_a_variable(program: str) -> None:
    assert environment_of(program, USER).keys() == REACHED_BY


def test_sbatch_keeps_what_the_user_chose_for_all_jobs() -> None:
    kept = environment_of("sbatch", USER).keys()

    assert {name for name in kept if name.startswith("SBATCH")} == {"SBATCH_QOS"}
    assert {name for name in kept if name.startswith("SLURM")} == {"SLURM_CONF", "SLURM_JWT"}


def test_a_job_inherits_the_users_variables_of_other_programs() -> None:
    assert environment_of("sbatch", USER)["SQUEUE_FORMAT"] == "%i"


def test_a_program_is_run_in_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "urgent")

    assert run_program(["sh", "-c", "echo ${SQUEUE_PARTITION-none}"]) == "none\n"


def test_the_users_choices_stand_on_the_command_line() -> None:
    user = {"SBATCH_PARTITION": "day", "SBATCH_ACCOUNT": "lab", "SBATCH_TIMELIMIT": "5"}

    assert chosen_options(user) == ("--account=lab", "--partition=day")


def test_the_partition_of_a_variable_is_the_one_that_a_plan_goes_by() -> None:
    answers = {"scontrol": "MaxArraySize = 1001", "sinfo": "day*|up|1:00|4|8\nlong|up|9:00|4|8"}

    limits = read_limits(lambda command: answers[command[0]], "long")

    assert [one.name for one in limits.partitions if one.is_default] == ["long"]


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({}, None),
        ({"SLURM_CLUSTERS": "alps"}, "alps"),
        ({"SLURM_CLUSTERS": "alps", "SBATCH_CLUSTERS": "jura"}, "jura"),
    ],
)
def test_jobs_go_to_the_cluster_that_a_variable_names(
    user: dict[str, str], cluster: str | None
) -> None:
    assert chosen_cluster(user) == cluster


def test_a_choice_of_several_clusters_is_refused() -> None:
    with pytest.raises(SchedulerError, match="SLURM_CLUSTERS=a,b names several clusters"):
        chosen_options({"SLURM_CLUSTERS": "a,b"})


def test_questions_about_the_jobs_go_to_the_chosen_cluster() -> None:
    run = on_cluster(" ".join, "alps")

    assert run(["squeue", "--me"]) == "squeue --clusters=alps --me"
