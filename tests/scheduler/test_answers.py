"""What sbatch's answers mean: one number, none, a refusal, or a job after all."""

import shlex
from collections.abc import Sequence

import pytest

from jobpool.errors import SchedulerError
from jobpool.scheduler.slurm.answers import job_in, submit

LINE = ("sbatch", "--parsable", "--job-name=study-first", "/data/connect/worker.sbatch")
TIMED_OUT = "sbatch did not answer within 60 s; try again when the controller is less busy"
SOCKET = (
    "sbatch\nended with code 1: sbatch: error: Batch job submission failed: "
    "Socket timed out on send/recv operation"
)


class Site:
    """A controller that hears of jobs, and an sbatch that answers in turn."""

    def __init__(self, *answers: str | SchedulerError, late: int | None = None) -> None:
        self.answers, self.late = list(answers), late
        self.names: dict[str, list[str]] = {"study-first": ["7"]}  # what was there before
        self.lines: list[Sequence[str]] = []
        self.looks = 0
        self.paused: list[float] = []

    def sbatch(self, command: Sequence[str]) -> str:
        self.lines.append(command)
        answer = self.answers.pop(0)
        if self.late == 0:
            self.names["study-first"].append(str(20 + len(self.lines)))
        if isinstance(answer, SchedulerError):
            raise answer
        return answer

    def squeue(self, command: Sequence[str]) -> str:
        self.looks += 1
        if self.late and self.looks > self.late:
            self.names["study-first"].append("30")
        name = command[-2].removeprefix("--name=")
        return "".join(f"{job}\n" for job in self.names.get(name, ()))

    def submit(self, n_lines: int = 1) -> tuple[str, ...]:
        return submit([LINE] * n_lines, self.sbatch, self.squeue, self.paused.append)


@pytest.mark.parametrize(
    "answer",
    [
        "12\n",
        "12;alps\n",
        "Welcome to alps, 2026\n12\n",
        "12;alps\nYour quota: 70 %\n\n",
        "sbatch: a remark\nSubmitted batch job 12\n",
        "Submitted batch job 12 on cluster alps\n",
    ],
)
def test_the_number_is_found_among_what_a_site_prints(answer: str) -> None:
    assert job_in(answer) == "12"


def test_the_numbers_of_all_arrays_come_back() -> None:
    site = Site("12\n", "13;alps\n")

    assert site.submit(2) == ("12", "13")
    assert (len(site.lines), site.looks) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        SchedulerError(TIMED_OUT),
        SchedulerError(SOCKET),
        "",
        "4\n5\n",
        "sbatch: error: a remark\n21",
    ],
)
def test_a_job_that_is_there_was_submitted_whatever_sbatch_said(
    answer: str | SchedulerError,
) -> None:
    site = Site(answer, late=0)

    assert site.submit() == ("21",)
    assert len(site.lines) == 1


def test_a_job_that_comes_after_sbatch_gave_up_was_submitted() -> None:
    site = Site(SchedulerError(TIMED_OUT), late=3)

    assert site.submit() == ("30",)
    assert site.paused == [0.0, 1.0, 4.0]


def test_two_arrays_of_one_name_are_told_apart() -> None:
    site = Site(SchedulerError(TIMED_OUT), SchedulerError(TIMED_OUT), late=0)

    assert site.submit(2) == ("21", "22")


def test_no_job_after_no_answer_is_an_error_that_says_where_to_look() -> None:
    site = Site(SchedulerError(TIMED_OUT))

    with pytest.raises(SchedulerError, match=r"look again later: squeue --me --name=study-first"):
        site.submit()


def test_a_queue_that_does_not_answer_either_leaves_open_whether_the_job_is_there() -> None:
    site = Site(SchedulerError(TIMED_OUT))

    def silent(command: Sequence[str]) -> str:
        if site.lines:
            raise SchedulerError("squeue did not answer within 60 s")
        return ""

    with pytest.raises(SchedulerError, match=r"sbatch did not answer(?s:.*)the job may be there"):
        submit([LINE], site.sbatch, silent, site.paused.append)


def test_a_refusal_is_not_waited_for() -> None:
    site = Site(SchedulerError(f"{shlex.join(LINE)}\nended with code 1: Invalid account"))

    with pytest.raises(SchedulerError, match="Invalid account"):
        site.submit()
    assert site.paused == [0.0, 1.0]


def test_a_refusal_with_code_0_is_quoted() -> None:
    site = Site("sbatch: error: your project has no hours left\n")

    with pytest.raises(SchedulerError, match="no job id: sbatch: error: your project has no hours"):
        site.submit()


def test_a_number_in_a_refusal_is_no_job() -> None:
    site = Site("sbatch: error: no hours left of\n70\n")

    with pytest.raises(SchedulerError, match="printed no job id: sbatch: error: no hours left"):
        site.submit()


def test_a_refused_line_names_what_was_submitted_before_it() -> None:
    site = Site("12", SchedulerError("sbatch: error: Invalid account"))

    with pytest.raises(SchedulerError, match=r"Invalid account\nsubmitted before that: 12"):
        site.submit(2)


def test_an_option_with_which_sbatch_submits_nothing_is_an_error() -> None:
    with pytest.raises(SchedulerError, match=r"(?s)--test-only.*printed no job id"):
        submit([["sbatch", "--test-only", "a"]], lambda _: "", shlex.join, lambda _: None)


def test_a_number_in_a_banner_of_squeue_is_no_job() -> None:
    users = iter(["132 users are here", "133 users are here", "134 users are here"])
    refusal = SchedulerError("sbatch: error: invalid account")

    def squeue(_command: Sequence[str]) -> str:
        return f"{next(users)}\n7\n"

    with pytest.raises(SchedulerError, match="invalid account"):
        submit([LINE], Site(refusal).sbatch, squeue, lambda _: None)
