"""What SLURM says of many jobs at once: one squeue, and one sacct for those that ended.

Nothing is kept. What is asked for is a run of a job: a job that SLURM started again has the same
number as before, and a restart count that is higher by one.

Numbers of jobs begin anew at some sites, and accounting keeps old ones: a line counts only if its
user, its name and its times fit what the worker knew of its job. Without such a line there is no
word about the job, nor about its memory.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from jobpool.errors import SchedulerError
from jobpool.scheduler.slurm.programs import RunProgram
from jobpool.scheduler.status import JobRun, JobStatus, Phase
from jobpool.task import Cause
from jobpool.units import parse_memory

MOST_NAMED = 1000  # jobs on a command line; to ask for more, all jobs are listed
SKEW_S = 300.0  # that the clocks of the controller and of a node may differ by
NEAR_S = 5.0  # by which they differ as a rule
# names that programs are told to set, whatever the job is called: Open MPI, Lightning and others
_NO_NAMES = frozenset({"bash", "interactive", "sh"})

REQUEUED = "REQUEUED"
_ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "COMPLETING", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", REQUEUED, "REVOKED", "SPECIAL_EXIT", "TIMEOUT"),
    }
)
_CAUSE_OF_STATE: Mapping[str, Cause] = {
    "OUT_OF_MEMORY": Cause.MEMORY,
    "TIMEOUT": Cause.TIME,
    "DEADLINE": Cause.TIME,
    "PREEMPTED": Cause.PREEMPTED,
    REQUEUED: Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
    "CANCELLED": Cause.CANCELLED,
}
# widths instead of separators: these SLURM has always known
_QUEUE_FIELDS = (
    "JobID:20,JobArrayID:64,State:32,RestartCnt:12,Exit_Code:12,PreemptTime:32,UserID:16,"
    "SubmitTime:32,StartTime:32,EndTime:32,Reason:64,NodeList:1024"
)
_QUEUE_LINE = re.compile(
    r"(?P<number>\d+) +(?P<job>\S+) +(?P<state>\S+) +(?P<restarts>\d+) +(?P<status>[\d:]+) +"
    r"(?P<preempted>\S+) +(?P<uid>\d+) +(?P<submit>\S+) +(?P<start>\S+) +(?P<end>\S+) +"
    r"(?P<reason>\S+|\S.*\S)(?: {2,}(?P<node>\S*) *)?"
)
_RECORD_FIELDS = "JobID,JobIDRaw,State,ExitCode,MaxRSS,NodeList,Start,End,UID,JobName"
_RECORD_LINE = re.compile(
    r"(?P<job>[^.|]+)(?:\.(?P<step>[^|]+))?\|(?P<number>\d*)[^|]*\|(?P<state>\w+)[^|]*\|"
    r"(?P<status>[\d:]*)\|(?P<rss>[^|]*)\|(?P<node>[^|]*)\|"
    r"(?P<start>[^|]*)\|(?P<end>[^|]*)\|(?P<uid>\d*)\|(?P<name>.*)"
)
# both begin with the number of a job; and an error that comes with code 0 is no greeting
_MAY_BE_ROW = re.compile(r"\d+[\s|_.+]|.*\berror\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmStatus:
    """What SLURM says of one run of a job."""

    job: str
    state: str = ""  # in full, such as OUT_OF_MEMORY; empty: listed nowhere
    restarts: int = 0  # of the run
    exit_code: int = 0
    signal: int = 0
    node: str = ""
    max_rss_mb: float | None = None  # as SLURM's accounting saw it, of all tasks of the run
    is_preempted: bool = False  # SLURM is taking its place for another
    waits: bool = False  # in the queue, for the first time or again
    started: float | None = None  # seconds since the epoch, as are the other times
    ended: float | None = None
    uid: int | None = None
    name: str = ""  # empty: not asked for

    def status(self) -> JobStatus:
        """Return the same in the words of all schedulers.

        Examples
        --------
        >>> SlurmStatus(job="12", state="TIMEOUT").status().cause
        <Cause.TIME: 'time'>
        """
        return JobStatus(
            job=self.job,
            phase=self._phase,
            cause=Cause.PREEMPTED if self.is_preempted else _CAUSE_OF_STATE.get(self.state),
            word=self.state,
            restarts=self.restarts,
            exit_code=self.exit_code,
            signal=self.signal,
            node=self.node,
            max_rss_mb=self.max_rss_mb,
        )

    @property
    def _phase(self) -> Phase:
        if not self.state:
            return Phase.UNLISTED
        if self.waits:
            return Phase.WAITING
        if self.has_ended:
            return Phase.ENDING if self.is_ending else Phase.ENDED
        return Phase.SUSPENDED if self.state == "SUSPENDED" else Phase.RUNNING

    @property
    def has_ended(self) -> bool:
        """Whether nothing of this run goes on, or it is being killed."""
        return self.state in _ENDED

    @property
    def is_ending(self) -> bool:
        """Whether it is still ending: the cause is not known yet."""
        return self.state == "COMPLETING"

    def is_of_job(self, one: JobRun) -> bool:
        """Say whether user and name are those of the job that a worker knew."""
        inside = one.inside
        if inside is None:
            return True
        other_name = bool(self.name and inside.name) and self.name != inside.name
        other_user = None not in {self.uid, inside.uid} and self.uid != inside.uid
        return not other_user and (not other_name or inside.name in _NO_NAMES)

    def is_around(self, one: JobRun) -> bool:
        """Say whether it is a run of that job in whose time the worker began."""
        if not self.is_of_job(one):
            return False
        if one.inside is None:
            return True
        began = one.inside.began
        first, last = self.started, self.ended if self.has_ended else None
        return (first is None or first <= began + SKEW_S) and (
            last is None or began <= last + SKEW_S
        )


def ask(runs: Collection[JobRun], run: RunProgram) -> Mapping[JobRun, SlurmStatus]:
    """Return what SLURM says of runs of jobs.

    sacct is asked only about runs that squeue does not show as running. Where there is no
    accounting, or sacct does not answer, squeue's answer stands.

    Parameters
    ----------
    runs : collection of JobRun
        Those to ask about; without any, nothing is asked.
    run : callable
        Runs a program and returns what it prints.

    Returns
    -------
    mapping
        Holds each of `runs`.

    Raises
    ------
    SchedulerError
        If squeue does not answer.
    """
    seen = _ask_queue(runs, run)
    open_ends = [one for one in runs if seen[one].has_ended or not seen[one].state]
    if not open_ends:
        return seen
    try:
        recorded = _records(open_ends, run)
    except SchedulerError:
        return seen
    return dict(seen) | {
        one: _join(seen[one], recorded[one]) for one in open_ends if one in recorded
    }


def _ask_queue(runs: Collection[JobRun], run: RunProgram) -> Mapping[JobRun, SlurmStatus]:
    jobs = sorted({one.job for one in runs})
    if not jobs:
        return {}
    command = ["squeue", "--noheader", "--all", "--array", "--states=all", "-O", _QUEUE_FIELDS]
    if len(jobs) <= MOST_NAMED:
        command += ["--jobs", ",".join(jobs)]
    try:
        text = run(command)
    except SchedulerError as error:
        if "Invalid job id" not in str(error):
            raise
        text = ""  # squeue says so when it has forgotten the only job it is asked about
    lines = _rows("squeue", text, _QUEUE_LINE)
    # by its own number, too: so a worker may be named that could not learn its place in an array
    listed = {line[key]: line for key in ("number", "job") for line in lines}
    return {one: _in_queue(one, listed.get(one.job)) for one in runs}


def _rows(program: str, text: str, form: re.Pattern[str]) -> list[re.Match[str]]:
    """Return the rows of an answer; what a site's wrapper prints around them is left out.

    Raises
    ------
    SchedulerError
        If there is something else than rows: that is not the same as an unlisted job.
    """
    found = []
    for line in text.splitlines():
        if row := form.fullmatch(line):
            found.append(row)
        elif _MAY_BE_ROW.match(line):
            what = f"{program} printed what jobpool cannot read: {line!r}; is it SLURM's?"
            raise SchedulerError(what)
    return found


def _in_queue(one: JobRun, line: re.Match[str] | None) -> SlurmStatus:
    if line is None:
        return SlurmStatus(job=one.job, restarts=one.restarts)
    unlisted = SlurmStatus(job=one.job, restarts=one.restarts)
    state, is_preempted = line["state"], line["preempted"] != "N/A"
    if int(line["restarts"]) > one.restarts or state == "PENDING":
        waits = int(line["restarts"]) == one.restarts
        again = replace(unlisted, state=REQUEUED, waits=waits, uid=int(line["uid"]))
        # a worker cannot have begun in a job that was submitted later, and never started yet
        if line["restarts"] == "0":
            again = replace(again, started=_time(line["submit"]))
        return again if again.is_around(one) else unlisted
    if state == "COMPLETING" and line["reason"] == "TimeLimit":
        state = "TIMEOUT"
    elif state == "COMPLETING" and is_preempted:
        state = "PREEMPTED"
    exit_code, signal = _exit_of(line["status"])
    found = SlurmStatus(
        job=one.job,
        state=state,
        restarts=one.restarts,
        exit_code=exit_code,
        signal=signal,
        node=line["node"],
        is_preempted=is_preempted,
        started=_time(line["start"]),
        ended=_time(line["end"]),
        uid=int(line["uid"]),
    )
    return found if found.is_around(one) else unlisted


def _time(text: str) -> float | None:
    """Return a time of this machine's zone as seconds since the epoch; None for ``Unknown``."""
    with suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    return None


def _exit_of(status: str) -> tuple[int, int]:
    """Return code and signal from ``2:0``, or from what wait(2) gives, as squeue prints it."""
    code, colon, signal = status.partition(":")
    if colon:
        return int(code), int(signal)
    status_word = int(code or 0)  # a step on a node that failed has none
    return status_word >> 8 & 0xFF, status_word & 0x7F


def _records(runs: Sequence[JobRun], run: RunProgram) -> dict[JobRun, SlurmStatus]:
    """Return what accounting says of runs of jobs; those that it does not know are missing."""
    jobs = sorted({one.job for one in runs})[:MOST_NAMED]
    shape = ["--noheader", "--parsable2", f"--format={_RECORD_FIELDS}"]
    text = run(["sacct", "--duplicates", *shape, "--jobs", ",".join(jobs)])
    found: dict[str, list[SlurmStatus]] = {}
    number_of: dict[str, str] = {}  # of the job that accounting knows by that name
    for line in _rows("sacct", text, _RECORD_LINE):
        number, row, step, rss_mb = _record(line)
        rows = found.setdefault(number, [])
        if not step:
            rows.append(row)
            number_of |= {number: number, row.job: number}
        elif rows and rss_mb is not None:  # a step stands behind its run
            rows[-1] = replace(rows[-1], max_rss_mb=max(rss_mb, rows[-1].max_rss_mb or 0.0))
    rows_of = {one: _row_of(one, found.get(number_of.get(one.job, ""), [])) for one in runs}
    return {one: replace(row, job=one.job) for one, row in rows_of.items() if row is not None}


def _row_of(one: JobRun, rows: Sequence[SlurmStatus]) -> SlurmStatus | None:
    """Return the row about a run, among all that accounting has of jobs with its number."""
    if one.inside is None:
        return rows[one.restarts] if len(rows) > one.restarts else None
    fitting = [row for row in rows if row.is_around(one)]
    latest = one.inside.began + NEAR_S
    # the last that had started when the worker began; if the clocks differ, the first after it
    before = [row for row in fitting if row.started is None or row.started <= latest]
    return next(iter(before[-1:] or fitting[:1]), None)


def _record(line: re.Match[str]) -> tuple[str, SlurmStatus, str, float | None]:
    """Return a job's own number, a run, the name of its step if it is one, and its memory."""
    code, signal = _exit_of(line["status"])
    row = SlurmStatus(
        job=line["job"],
        state=line["state"],
        exit_code=code,
        signal=signal,
        node=line["node"],
        started=_time(line["start"]),
        ended=_time(line["end"]),
        uid=int(line["uid"]) if line["uid"] else None,
        name=line["name"],
    )
    return line["number"], row, line["step"] or "", parse_memory(line["rss"])


def _join(seen: SlurmStatus, recorded: SlurmStatus) -> SlurmStatus:
    """Merge what squeue and sacct say: an end that sacct knows is final."""
    if not recorded.has_ended or seen.state in {"TIMEOUT", "PREEMPTED"}:
        return replace(seen, max_rss_mb=recorded.max_rss_mb)
    return replace(recorded, restarts=seen.restarts, is_preempted=seen.is_preempted)
