"""What SLURM is asked about many jobs at once, and how its answers are read and shared."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from jobpool.errors import SchedulerError, SchedulerMissingError
from jobpool.liveness.postmortem import Evidence, cause_of_death
from jobpool.scheduler.polling import Cluster, StatusPoller, answer_about, read_statuses
from jobpool.scheduler.slurm.jobs import MOST_NAMED, SlurmStatus, ask
from jobpool.scheduler.slurm.programs import RunProgram, run_program
from jobpool.scheduler.slurm.scheduler import Slurm
from jobpool.scheduler.status import JobRun, SeenInside
from jobpool.task import Cause

NOW = 1_800_000_000.0
# of whom a job is, and when it was submitted, began and ended
TIMES = f"0  {3 * '2026-11-21T12:00:00  '}"
OF_JOB = "2026-11-21T12:00:00|2026-11-21T12:30:00|0|study-c7e1-first"
# as SLURM 22.05 prints it, but for the width of its columns
QUEUE = {
    "1": f"1     SUSPENDED   0  0    N/A  {TIMES}  None             n1",
    "2_1": f"2_1   RUNNING     0  0    N/A  {TIMES}  None             n1",
    "3": f"3     FAILED      0  768  N/A  {TIMES}  NonZeroExitCode  n1",
    "6": f"6     PENDING     1  0    N/A  {TIMES}  Nodes required for job are DOWN  ",
    "7": f"7     FAILED      0  9    N/A  {TIMES}  None             n1",
    "11": f"11    COMPLETING  0  0    N/A  {TIMES}  None             n1",
    "13": f"13    COMPLETING  0  0    N/A  {TIMES}  TimeLimit        n1",
    "14": f"14    COMPLETING  0  0    2026-11-21T12:30:50  {TIMES}  None  n2",
    "15": f"15    RUNNING     0  0    2026-11-21T12:30:50  {TIMES}  None  n2",
}
RECORDS = {
    "3": f"3|FAILED|3:0||n1|{OF_JOB}\n3.batch|FAILED|3:0|1080K|n1|{OF_JOB}",
    "6": f"6|NODE_FAIL|0:0||n1|{OF_JOB}\n6.batch|CANCELLED||3352K|n1|{OF_JOB}\n"
    f"6|PENDING|0:0||None assigned|{OF_JOB}",
    "7": f"7|FAILED|0:9||n1|{OF_JOB}\n7.batch|CANCELLED|0:9|0.5G|n1|{OF_JOB}\n"
    f"7.extern|COMPLETED|0:0|2M|n1|{OF_JOB}",
    "9": f"9|TIMEOUT|0:0||n1|{OF_JOB}\n9.batch|CANCELLED|0:15|3352K|n1|{OF_JOB}",
    "11": f"11|CANCELLED by 0|0:0||n1|{OF_JOB}\n11.batch|CANCELLED|0:0||n1|{OF_JOB}",
    "16": f"16|RUNNING|0:0||n1|{OF_JOB}",
}


def _number(job: str) -> str:
    """Return the own number of a job; that of 2_1 is another than that of its array."""
    return job.replace("_", "0")


def _with_number(record: str) -> str:
    job, _, rest = record.partition("|")
    return f"{job}|{_number(job)}|{rest}"


class Controller:
    """Stands in for squeue and sacct: prints what it has been given, and counts its calls."""

    def __init__(
        self, queue: Mapping[str, str] = QUEUE, records: Mapping[str, str] | None = RECORDS
    ) -> None:
        self.queue, self.records = queue, records
        self.calls: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.calls.append(command)
        jobs = command[-1].split(",")
        if command[0] == "sacct":
            if self.records is None:
                raise SchedulerError("Slurm accounting storage is disabled")
            known = (self.records[job].splitlines() for job in jobs if job in self.records)
            return "".join(f"{_with_number(line)}\n" for lines in known for line in lines)
        lines = [f"{_number(job)}  {self.queue[job]}" for job in jobs if job in self.queue]
        if len(jobs) == 1 and not lines:
            raise SchedulerError("slurm_load_jobs error: Invalid job id specified")
        return "".join(f"{line}\n" for line in lines)

    @property
    def programs(self) -> list[str]:
        return [command[0] for command in self.calls]


def seen_of(job: str, restarts: int = 0, *, controller: Controller | None = None) -> SlurmStatus:
    one = JobRun(job, restarts)
    return ask([one], controller or Controller())[one]


def test_running_jobs_cost_one_question() -> None:
    controller = Controller()

    seen = ask([JobRun("1", 0), JobRun("2_1", 0)], controller)

    assert controller.programs == ["squeue"]
    assert controller.calls[0][-2:] == ["--jobs", "1,2_1"]
    assert [one.state for one in seen.values()] == ["SUSPENDED", "RUNNING"]


def test_accounting_is_asked_once_for_what_does_not_run() -> None:
    controller = Controller()

    ask([JobRun(job, 0) for job in ("1", "3", "7", "9")], controller)

    assert controller.programs == ["squeue", "sacct"]
    assert controller.calls[1][-1] == "3,7,9"


def test_nothing_to_ask_costs_nothing() -> None:
    controller = Controller()

    assert ask([], controller) == {}
    assert controller.calls == []


def test_many_jobs_are_not_named_on_a_command_line() -> None:
    controller = Controller()

    ask([JobRun(str(job), 0) for job in range(MOST_NAMED + 1)], controller)

    assert "--jobs" not in controller.calls[0]
    assert controller.calls[1][-1].count(",") == MOST_NAMED - 1


def test_code_of_a_failed_job_is_read() -> None:
    seen = seen_of("3")

    assert (seen.state, seen.exit_code, seen.signal, seen.node) == ("FAILED", 3, 0, "n1")


def test_the_largest_memory_of_all_steps_counts() -> None:
    seen = seen_of("7")

    assert (seen.state, seen.signal, seen.max_rss_mb) == ("FAILED", 9, 512.0)


def test_a_job_that_squeue_forgot_is_found_in_accounting() -> None:
    assert seen_of("9").state == "TIMEOUT"


def test_an_unknown_job_is_listed_nowhere() -> None:
    seen = seen_of("9999")

    assert (seen.state, seen.has_ended) == ("", False)


def test_a_job_that_squeue_forgot_while_accounting_thinks_it_runs_is_listed_nowhere() -> None:
    assert seen_of("16").state == ""


def test_without_accounting_the_word_of_squeue_stands() -> None:
    seen = seen_of("7", controller=Controller(records=None))

    assert (seen.state, seen.signal, seen.max_rss_mb) == ("FAILED", 9, None)


def test_the_earlier_run_of_a_requeued_job_ended_as_accounting_says() -> None:
    seen = seen_of("6", restarts=0)

    assert (seen.state, seen.node) == ("NODE_FAIL", "n1")


def test_without_accounting_the_earlier_run_was_requeued() -> None:
    seen = seen_of("6", restarts=0, controller=Controller(records=None))

    assert (seen.state, seen.has_ended) == ("REQUEUED", True)


def test_the_present_run_of_a_requeued_job_goes_on() -> None:
    queue = {"6": f"6  RUNNING  1  0  N/A  {TIMES}  None  n1"}

    seen = seen_of("6", restarts=1, controller=Controller(queue))

    assert (seen.state, seen.has_ended) == ("RUNNING", False)


@pytest.mark.parametrize(
    ("job", "state"), [("11", "CANCELLED"), ("13", "TIMEOUT"), ("14", "PREEMPTED")]
)
def test_a_job_that_is_being_killed_says_why(job: str, state: str) -> None:
    seen = seen_of(job)

    assert (seen.state, seen.is_ending) == (state, False)


def test_a_job_that_is_being_killed_says_nothing_without_accounting() -> None:
    assert seen_of("11", controller=Controller(records=None)).is_ending


def test_an_answer_that_cannot_be_read_is_no_answer() -> None:
    with pytest.raises(SchedulerError, match="cannot read"):
        seen_of("1", controller=Controller({"1": "JOBID PARTITION"}))


def test_what_a_sites_wrapper_prints_around_an_answer_is_left_out() -> None:
    plain = Controller()

    def greeting(command: Sequence[str]) -> str:
        return f"Welcome to alps, 2026\n\n{plain(command)}2026-12-24: maintenance\n"

    one = JobRun("9", 0)
    assert ask([one], greeting)[one] == seen_of("9")


def test_an_error_that_comes_with_code_0_is_no_answer() -> None:
    with pytest.raises(SchedulerError, match="cannot read"):
        ask([JobRun("1", 0)], lambda _: "slurm_load_jobs error: Unable to contact controller\n")


def test_newer_exit_codes_are_read() -> None:
    controller = Controller({"3": f"3  FAILED  0  3:0  N/A  {TIMES}  None  n1"}, None)

    assert seen_of("3", controller=controller).exit_code == 3


def test_a_machine_without_squeue_says_so(tmp_path: Path) -> None:
    with pytest.raises(SchedulerMissingError, match="cannot be run"):
        run_program([str(tmp_path / "squeue")])


def test_a_hanging_squeue_does_not_hold_a_worker_up(tmp_path: Path) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    squeue.chmod(stat.S_IRWXU)
    run = partial(run_program, timeout_s=0.2)

    with pytest.raises(SchedulerError, match=r"did not answer within 0\.2 s"):
        ask([JobRun("1", 0)], lambda command: run([str(squeue), *command[1:]]))


# numbers of jobs that begin anew


BEGAN = datetime.fromisoformat("2026-11-21T12:00:02").timestamp()
INSIDE = SeenInside(began=BEGAN, uid=0, name="study-c7e1-first")
DAY_S = 86_400.0


def seen_by(inside: SeenInside, controller: Controller, job: str = "9") -> SlurmStatus:
    one = JobRun(job, 0, inside)
    return ask([one], controller)[one]


def accounting(*rows: str) -> Controller:
    """Return a controller whose queue is empty: each row is state, begin, end, user and name."""
    lines = []
    for row in rows:
        state, start, end, uid, name = row.split()
        lines += [f"9|{state}|0:0||n1|{start}|{end}|{uid}|{name}"]
        lines += [f"9.batch|{state}|0:0|2G|n1|{start}|{end}||batch"]
    return Controller({}, {"9": "\n".join(lines)})


OWN = "TIMEOUT 2026-11-21T12:00:00 2026-11-21T12:30:00 0 study-c7e1-first"


@pytest.mark.parametrize(
    "row",
    [
        "OUT_OF_MEMORY 2026-11-20T12:00:00 2026-11-20T12:30:00 0 study-c7e1-first",
        "OUT_OF_MEMORY 2026-11-22T12:00:00 2026-11-22T12:30:00 0 study-c7e1-first",
        "OUT_OF_MEMORY 2026-11-21T12:00:00 2026-11-21T12:30:00 1000 study-c7e1-first",
        "OUT_OF_MEMORY 2026-11-21T12:00:00 2026-11-21T12:30:00 0 other",
    ],
    ids=["ended before", "began later", "another user", "another name"],
)
def test_what_accounting_has_of_another_job_with_the_same_number_is_no_word(row: str) -> None:
    seen = seen_by(INSIDE, accounting(row))

    assert (seen.state, seen.max_rss_mb) == ("", None)
    assert seen_by(INSIDE, accounting(row, OWN)).state == "TIMEOUT"
    assert seen_by(INSIDE, accounting(OWN, row)).state == "TIMEOUT"


def test_each_run_of_a_requeued_job_has_its_own_row() -> None:
    again = "CANCELLED 2026-11-21T12:01:00 2026-11-21T12:30:00 0 study-c7e1-first"
    first = "NODE_FAIL 2026-11-21T12:00:00 2026-11-21T12:00:30 0 study-c7e1-first"
    both = accounting(first, again)

    states = [seen_by(replace(INSIDE, began=BEGAN + s), both).state for s in (0, 60)]

    assert states == ["NODE_FAIL", "CANCELLED"]


def test_clocks_that_differ_by_a_minute_hide_no_evidence() -> None:
    assert seen_by(replace(INSIDE, began=BEGAN - 60), accounting(OWN)).state == "TIMEOUT"


def test_a_name_that_programs_are_told_to_set_is_no_name_of_a_job() -> None:
    assert seen_by(replace(INSIDE, name="bash"), accounting(OWN)).state == "TIMEOUT"


@pytest.mark.parametrize(
    "line",
    [
        f"9  RUNNING  0  0  N/A  {TIMES}  None  n1",
        f"9  FAILED   0  9  N/A  {TIMES}  None  n1",
        f"9  PENDING  0  0  N/A  {TIMES}  Priority  ",
    ],
    ids=["runs", "ended", "waits"],
)
def test_a_line_of_the_queue_about_a_later_job_is_no_word(line: str) -> None:
    before = replace(INSIDE, began=BEGAN - DAY_S)

    assert seen_by(before, Controller({"9": line}, {})).state == ""
    assert seen_by(INSIDE, Controller({"9": line}, {})).state != ""


def test_an_answer_from_before_a_worker_began_is_about_another_job(tmp_path: Path) -> None:
    one = JobRun("1", 0, INSIDE)
    asking(tmp_path, Controller()).ask([one], NOW)
    shared = read_statuses(tmp_path, HPC)

    later = JobRun("1", 0, replace(INSIDE, began=NOW + DAY_S))

    assert answer_about(shared, one) is not None
    assert answer_about(shared, later) is None


# answers that all workers share


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


HPC, OTHER = Cluster("slurm", "hpc"), Cluster("slurm", "other")


def asking(folder: Path, run: RunProgram, cluster: str | None = "hpc") -> StatusPoller:
    return StatusPoller(folder, Slurm(run), cluster, interval_s=60.0, patience_s=20.0)


def test_of_two_workers_one_asks(folder: Path) -> None:
    controller = Controller()

    asking(folder, controller).ask([JobRun("1", 0)], NOW)
    asking(folder, controller).ask([JobRun("1", 0)], NOW + 1)

    assert controller.programs == ["squeue"]
    assert read_statuses(folder, HPC)[JobRun("1", 0)].status.word == "SUSPENDED"


def test_an_interval_lies_between_two_questions_of_the_pool(folder: Path) -> None:
    controller = Controller()
    period = NOW // 60 * 60

    asking(folder, controller).ask([JobRun("1", 0)], period + 50)
    asking(folder, controller).ask([JobRun("1", 0)], period + 70)  # a new period, but soon after

    assert controller.programs == ["squeue"]


def test_a_job_is_missing_since_the_first_answer_without_it(folder: Path) -> None:
    controller = Controller()

    asking(folder, controller).ask([JobRun("9999", 0)], NOW)
    asking(folder, controller).ask([JobRun("9999", 0)], NOW + 120)

    answer = read_statuses(folder, HPC)[JobRun("9999", 0)]
    assert (answer.asked, answer.missing_since) == (NOW + 120, NOW)


def test_no_answer_leaves_what_was_known(folder: Path) -> None:
    asking(folder, Controller()).ask([JobRun("1", 0)], NOW)
    garbled = Controller({"1": "slurm_load_jobs: Zero Bytes were transmitted"})

    asking(folder, garbled).ask([JobRun("1", 0)], NOW + 120)

    assert read_statuses(folder, HPC)[JobRun("1", 0)].asked == NOW


def test_two_clusters_do_not_share_their_jobs(folder: Path) -> None:
    asking(folder, Controller()).ask([JobRun("1", 0)], NOW)

    assert read_statuses(folder, OTHER) == {}


def test_a_damaged_file_of_answers_counts_as_none(folder: Path) -> None:
    asking(folder, Controller()).ask([JobRun("1", 0)], NOW)
    (file,) = folder.glob("slurm-*.json")
    file.write_bytes(file.read_bytes()[:-20])

    assert read_statuses(folder, HPC) == {}


def test_a_worker_outside_a_job_asks_which_cluster_this_is(folder: Path) -> None:
    poller = asking(folder, lambda _: "Version = 23\nClusterName  = hpc\n", None)

    assert poller.find_cluster()
    assert (poller.covers(HPC), poller.covers(OTHER)) == (True, False)


def test_a_controller_that_does_not_tell_its_cluster_may_answer_later(folder: Path) -> None:
    def silent(command: Sequence[str]) -> str:
        raise SchedulerError("Unable to contact slurm controller")

    poller = asking(folder, silent, None)

    assert (poller.find_cluster(), poller.covers(HPC)) == (False, True)


def test_a_worker_without_slurms_programs_takes_no_turn(folder: Path) -> None:
    def missing(command: Sequence[str]) -> str:
        raise SchedulerMissingError("squeue cannot be run")

    assert not asking(folder, missing).covers(HPC)


# causes


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("OUT_OF_MEMORY", Cause.MEMORY),
        ("TIMEOUT", Cause.TIME),
        ("DEADLINE", Cause.TIME),
        ("PREEMPTED", Cause.PREEMPTED),
        ("REQUEUED", Cause.PREEMPTED),
        ("SUSPENDED", Cause.PREEMPTED),
        ("NODE_FAIL", Cause.NODE),
        ("BOOT_FAIL", Cause.NODE),
        ("CANCELLED", Cause.CANCELLED),
        ("COMPLETED", Cause.LOST),
        ("FAILED", Cause.LOST),
        ("RUNNING", Cause.LOST),
        ("", Cause.LOST),
    ],
)
def test_each_state_of_a_job_has_its_cause(state: str, cause: Cause) -> None:
    found, why = cause_of_death(Evidence(seen=SlurmStatus(job="12", state=state).status()))

    assert found is cause
    assert state in why


def test_a_killed_worker_whose_task_had_nearly_all_memory_ran_out_of_it() -> None:
    killed = SlurmStatus(job="12", state="FAILED", signal=9).status()

    noted, why = cause_of_death(Evidence(seen=killed, memory_mb=1000, peak_mb=901))
    little, _ = cause_of_death(Evidence(seen=killed, memory_mb=1000, peak_mb=899))

    assert (noted, little) == (Cause.MEMORY, Cause.LOST)
    assert why == "the scheduler reports job 12 as FAILED by signal 9; its task used 901 of 1000 MB"


def test_slurms_own_measure_of_memory_counts() -> None:
    killed = SlurmStatus(job="12", state="FAILED", signal=9, max_rss_mb=1001).status()

    cause, _ = cause_of_death(Evidence(seen=killed, memory_mb=1000, peak_mb=10))

    assert cause is Cause.MEMORY


def test_who_beat_until_its_end_ran_out_of_time() -> None:
    cause, why = cause_of_death(Evidence(was_at_its_end=True))

    assert (cause, why) == (
        Cause.TIME,
        "the worker vanished without a final record, at the end of its job",
    )


@pytest.mark.parametrize(
    ("job", "cause"),
    [("11", Cause.CANCELLED), ("13", Cause.TIME), ("15", Cause.PREEMPTED), ("2_1", None)],
)
def test_a_stopped_worker_hears_why(job: str, cause: Cause | None) -> None:
    assert seen_of(job).status().cause is cause


def test_a_task_of_an_array_is_found_by_its_own_number() -> None:
    as_squeue_answers = Controller({"201": QUEUE["2_1"]})

    assert seen_of("201", controller=as_squeue_answers).state == "RUNNING"


def test_accounting_finds_a_task_of_an_array_by_its_own_number() -> None:
    records = {"201": f"2_1|TIMEOUT|0:0||n1|{OF_JOB}\n2_1.batch|CANCELLED|0:15|3352K|n1|{OF_JOB}"}

    seen = seen_of("201", controller=Controller({}, records))

    assert (seen.job, seen.state, seen.max_rss_mb) == ("201", "TIMEOUT", 3352 / 1024)
