"""What sbatch's answer means: which jobs there are now, whatever it printed.

A wrapper of the site prints a banner before the job's number or behind it, a plugin refuses with
code 0, and a busy controller makes the job after sbatch has given up. So where an answer is not one
number, the queue is asked which new jobs of that name there are, before anything is called failed:
who submits again would have twice the jobs.
"""

import re
import shlex
import time
from collections.abc import Callable, Collection, Sequence

from jobpool.errors import SchedulerError
from jobpool.scheduler.base import NoRoomError
from jobpool.scheduler.slurm.programs import RunProgram

# "12", "12;cluster", and what sbatch prints without --parsable
_JOB = re.compile(r"(?:Submitted batch job )?(?P<job>\d+)(?:;\S*| on cluster \S+)?")
# the controller may have heard all the same, or may hear a while later
_UNCLEAR = re.compile(
    r"did not answer|timed? ?-?out|unable to contact|connect(ion)?\b|socket|zero bytes|"
    r"unexpected message|communication",
    re.IGNORECASE,
)
# a limit on the number of jobs, of an array, a user, an account or a quality of service
_NO_ROOM = re.compile(
    r"SubmitJob|job submit limit|accounting/QOS policy|job array|array (?:size|index)|"
    r"too many|at most|jobs? limit|limit of \d+|exceed\w* \w*jobs",
    re.IGNORECASE,
)
_PAUSES_S = (0.0, 1.0, 4.0, 10.0)  # before each look at the queue


def submit(
    lines: Sequence[Sequence[str]],
    run_sbatch: RunProgram,
    run: RunProgram,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Run sbatch lines, and return the ids of the jobs.

    Parameters
    ----------
    lines : sequence of sequence of str
        The argument lists.
    run_sbatch : callable
        Runs one, and returns all that it prints.
    run : callable
        Runs squeue: once before, and again where an answer of sbatch is unclear.
    pause : callable
        Waits so many seconds.

    Raises
    ------
    SchedulerError
        If a line is refused; it names the jobs that were submitted before.
    """
    job_ids: list[str] = []
    names = sorted({name for line in lines if (name := _name_of(line))})
    before = {name: _jobs_named(name, run) for name in names}
    for line in lines:
        name = _name_of(line)

        def new_jobs(name: str = name) -> tuple[str, ...]:
            there = _jobs_named(name, run) if name else ()
            return tuple(sorted({*there} - {*before.get(name, ()), *job_ids}, key=int))

        try:
            job_ids.append(_submit(line, run_sbatch, new_jobs, pause))
        except SchedulerError as error:
            said = f"\nsubmitted before that: {' '.join(job_ids)}" if job_ids else ""
            raise type(error)(f"{error}{said}") from error
    return tuple(job_ids)


def job_in(answer: str) -> str | None:
    r"""Return the only job number in what sbatch printed, or None if there is none, or several.

    Examples
    --------
    >>> job_in("Welcome to alps\n12;alps\nquota: 70 %\n")
    '12'
    """
    found = (_JOB.fullmatch(line.strip()) for line in answer.splitlines())
    jobs = {match["job"] for match in found if match}
    return jobs.pop() if len(jobs) == 1 else None


def _submit(
    line: Sequence[str],
    run: RunProgram,
    new_jobs: Callable[[], Sequence[str]],
    pause: Callable[[float], None],
) -> str:
    try:
        answer = run(line)
    except SchedulerError as error:
        why = error
    else:
        job = job_in(answer)
        if job is not None and "error" not in answer.lower():  # else the number may be any
            return job
        why = _no_number(line, answer)
    said = str(why).replace(shlex.join(line), "")  # a path may hold any word
    is_unclear, no_room = bool(_UNCLEAR.search(said)), bool(_NO_ROOM.search(said))
    n_looks = len(_PAUSES_S) if is_unclear else 1 if no_room else 2
    there: Sequence[str] = ()
    seen = "no such job is in the queue"
    for pause_s in _PAUSES_S[:n_looks]:
        pause(pause_s)
        try:
            there, seen = new_jobs(), "no such job is in the queue"
        except SchedulerError:
            seen = "squeue does not answer, so the job may be there"
        if there:
            return there[0]
    if no_room and not is_unclear:
        raise NoRoomError(str(why)) from why
    if is_unclear and (name := _name_of(line)):
        look = shlex.join(["squeue", "--me", f"--name={name}"])
        raise SchedulerError(f"{why}\n{seen}; look again later: {look}")
    raise why


def _no_number(line: Sequence[str], answer: str) -> SchedulerError:
    what = f"{shlex.join(line)}\nprinted no job id"
    if answer.strip() and "--test-only" not in line:
        return SchedulerError(f"{what}: {answer.strip()}; correct what it refuses")
    return SchedulerError(f"{what}; leave out options of sbatch that submit nothing")


def _name_of(line: Sequence[str]) -> str:
    """Return the name of the jobs, empty if the line gives none."""
    words = [word.partition("=")[2] for word in line if word.startswith("--job-name=")]
    return words[-1] if words else ""


def _jobs_named(name: str, run: RunProgram) -> Collection[str]:
    """Return the numbers of this user's jobs of a name, also of those that have just ended."""
    look = [
        "squeue",
        "--me",
        "--noheader",
        "--all",
        "--states=all",
        f"--name={name}",
        "--format=%F",
    ]
    lines = map(str.strip, run(look).splitlines())
    return {line for line in lines if line.isdecimal()}  # and no number in a site's banner
