"""Which job this process runs in, whatever variables it has inherited.

A job hands its variables on to all that it submits, and SLURM replaces only those that the new job
has, too: in a job without an array ``SLURM_ARRAY_JOB_ID`` is that of the job around it, and in a
shell that outlived its job all of them are stale. So:

1. The number of the job is that of the cgroup, or of SLURM's own process above this one; the
   variable counts where neither can be seen.
2. The place in an array, and how often the job was restarted, count where the batch script has
   vouched for them (`VOUCHED`, bound to the job's number). Else SLURM is asked, once.
3. Without an answer the job goes by its bare number, which is never that of another.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from jobpool.errors import SchedulerError
from jobpool.scheduler.slurm.programs import RunProgram
from jobpool.units import parse_clock, parse_memory

VOUCHED = "JOBPOOL_JOB"  # "NUMBER LABEL RESTARTS", set by the batch scripts
AMBIGUOUS = ("SLURM_ARRAY_JOB_ID", "SLURM_RESTART_COUNT")  # set for some jobs only
_FIELDS = "JobID:20,JobArrayID:64,State:32,RestartCnt:12,TimeLeft:24,NumNodes:12,tres-alloc:1024"
_RUNNING = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "SIGNALING", "STOPPED"})
_IN_CGROUP = re.compile(r"/job_(?P<job>\d+)(?:/step_|$)")
_IN_TITLE = re.compile(rb"slurmstepd: \[(?P<job>\d+)\.")
_MOST_PARENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What SLURM says of a job that runs."""

    label: str  # as squeue names it, with its place in an array
    is_running: bool
    restarts: int
    left_s: float | None  # until its time limit; None: it has none
    has: Mapping[str, str] = field(default_factory=dict)  # on each node: ``mem``, ``cpu``...
    n_nodes: int = 1

    def number(self, name: str) -> int:
        """Return how many of a resource the job has on each node, 0 if it has none."""
        text = self.has.get(name, "")
        return int(text) // self.n_nodes if text.isdecimal() else 0

    @property
    def memory_mb(self) -> int | None:
        """The job's memory on each node."""
        total_mb = parse_memory(self.has.get("mem", ""))
        return int(total_mb / self.n_nodes) or None if total_mb else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnJob:
    """The job that this process runs in."""

    number: str  # its own, also in an array
    label: str  # as squeue names it, or its number
    restarts: int
    told: Told | None = None  # what SLURM said, if it was asked
    variables: Mapping[str, str] = field(default_factory=dict)  # those that are of this job


def find_own_job(environment: Mapping[str, str], root: Path, run: RunProgram) -> OwnJob | None:
    """Return the job that this process runs in, or None if it runs in none.

    Parameters
    ----------
    environment : mapping
        With SLURM's variables inside a job, its own or others.
    root : Path
        Where ``proc`` is.
    run : callable
        Runs squeue where the variables may be those of another job.
    """
    named = environment.get("SLURM_JOB_ID", "")
    if not named:
        return None
    seen = number_seen(root)
    number = seen or named
    known = _vouched(environment, number)
    is_clear = seen == named and (known or not any(map(environment.get, AMBIGUOUS)))
    told = None if is_clear else ask_about(number, run)
    if seen is None and told is not None and not told.is_running:
        return None  # the variables outlived their job
    of_job = environment if number == named else {}
    if told is None or not told.is_running:
        label, restarts = known or (number, _restarts(of_job))
        return OwnJob(number=number, label=label, restarts=restarts, variables=of_job)
    return OwnJob(
        number=number, label=told.label, restarts=told.restarts, told=told, variables=of_job
    )


def number_seen(root: Path) -> str | None:
    """Return the job whose cgroup, or whose process of SLURM, this process is in."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            if found := _IN_CGROUP.search(line):
                return found["job"]
    for command in _parents(root):
        if titled := _IN_TITLE.match(command):
            return titled["job"].decode()
    return None


def ask_about(number: str, run: RunProgram) -> Told | None:
    """Return what SLURM says of a job; None if it does not answer."""
    shape = ("--noheader", "--all", "--array", "--states=all", "--Format", _FIELDS)
    try:
        lines = run(["squeue", *shape, "--jobs", number]).splitlines()
    except SchedulerError as error:
        if "Invalid job id" not in str(error):
            return None
        lines = []
    rows = [line.split() for line in lines]
    for row in rows:
        if len(row) >= 6 and row[0] == number:
            _, label, state, restarts, left, n_nodes = row[:6]
            return Told(
                label=label,
                is_running=state in _RUNNING,
                restarts=int(restarts) if restarts.isdecimal() else 0,
                # of a limit that was shortened below what the job has run, squeue says INVALID
                left_s=0.0 if left == "INVALID" else parse_clock(left),
                has=dict(_pairs(row[6] if len(row) > 6 else "")),
                n_nodes=max(1, int(n_nodes) if n_nodes.isdecimal() else 1),
            )
    return Told(label="", is_running=False, restarts=0, left_s=None)


def asked_once(run: RunProgram) -> RunProgram:
    """Return what runs each command once, and then remembers its answer or its error."""
    answers: dict[tuple[str, ...], str | SchedulerError] = {}

    def remembered(command: Sequence[str]) -> str:
        key = tuple(command)
        if key not in answers:
            try:
                answers[key] = run(command)
            except SchedulerError as error:
                answers[key] = error
        answer = answers[key]
        if isinstance(answer, SchedulerError):
            raise answer
        return answer

    return remembered


def _vouched(environment: Mapping[str, str], number: str) -> tuple[str, int] | None:
    words = environment.get(VOUCHED, "").split()
    if len(words) == 3 and words[0] == number and words[2].isdecimal():
        return words[1], int(words[2])
    return None


def _restarts(environment: Mapping[str, str]) -> int:
    text = environment.get("SLURM_RESTART_COUNT", "")
    return int(text) if text.isdecimal() else 0


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for word in text.split(","):  # cpu=1,mem=200M,node=1,gres/gpu=2
        name, _, value = word.partition("=")
        yield name, value


def _parents(root: Path) -> Iterator[bytes]:
    """Yield the command lines of the processes above this one, the nearest first."""
    one = "self"
    with suppress(OSError, ValueError, IndexError):
        for _ in range(_MOST_PARENTS):
            stat = (root / "proc" / one / "stat").read_text(encoding="utf-8", errors="replace")
            one = stat.rpartition(")")[2].split()[1]
            if one in {"0", "1"}:
                return
            yield (root / "proc" / one / "cmdline").read_bytes()
