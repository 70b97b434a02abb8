"""Start the two sides of a probing, here or on two nodes, and wait for their reports."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from jobpool.checks.probes.run import Report, probe_folder, read_report
from jobpool.checks.probes.talk import ProbeError
from jobpool.errors import SchedulerError
from jobpool.scheduler.base import JobRun, Phase, Scheduler

HERE_S = 300.0
POLL_S = 0.05
ASK_EVERY_S = 30.0
ANSWER_S = 60.0
_GONE = {Phase.ENDED, Phase.UNLISTED}

Reports = tuple[Report, Report]
Tell = Callable[[str], None]


def partner(folder: Path) -> list[str]:
    """Return the command that runs a side, but for its number."""
    return [sys.executable, "-m", "jobpool.checks.probes.partner", str(folder)]


def probe_here(pools: tuple[Path, Path], lock: str, tell: Tell) -> Reports:
    """Probe with two processes of this host.

    Parameters
    ----------
    pools : two Path
        The pool as each side sees it: the same path twice, or that of two mounts.
    lock : str
        The kind of lock that the pool has.
    tell : callable
        Given a line from time to time.

    Raises
    ------
    ProbeError
        If a side fails or takes too long.
    """
    with probe_folder(pools[0], lock) as folder:
        sides = [
            subprocess.Popen(
                [*partner(pool / folder.name), str(number)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number, pool in enumerate(pools)
        ]
        try:
            return _wait_for_sides(folder, sides, tell)
        finally:
            for side in sides:
                side.kill()
                side.wait()
                if side.stderr:
                    side.stderr.close()


def _wait_for_sides(folder: Path, sides: Sequence["subprocess.Popen[str]"], tell: Tell) -> Reports:
    end = time.monotonic() + HERE_S
    while time.monotonic() < end:
        if all(side.poll() is not None for side in sides):
            if reports := _both(folder):
                return reports
            said = " ".join(side.stderr.read().strip() for side in sides if side.stderr)
            raise ProbeError(f"the probes ended without a report: {said}")
        tell("probing the file system")
        time.sleep(POLL_S)
    raise ProbeError(f"the probes took longer than {HERE_S:.0f} s")


def _both(folder: Path) -> Reports | None:
    first, second = read_report(folder, 0), read_report(folder, 1)
    return (first, second) if first and second else None


def probe_on_two_nodes(
    pool: Path,
    lock: str,
    options: Sequence[str],
    tell: Tell,
    *,
    scheduler: Scheduler,
    ask_every_s: float = ASK_EVERY_S,
) -> Reports:
    """Probe from two nodes by a job of the scheduler; it is cancelled if this is interrupted.

    Parameters
    ----------
    pool : Path
        The pool.
    lock : str
        The kind of lock that the pool has.
    options : sequence of str
        For the scheduler, in its own form.
    tell : callable
        Given a line from time to time.
    scheduler : Scheduler
        Starts the job.
    ask_every_s : float
        Seconds between two questions to it, and for which a report may be on its way.

    Raises
    ------
    SchedulerError
        If the scheduler does not take the job.
    ProbeError
        If the job ends without the reports of two nodes.
    """
    with probe_folder(pool.absolute(), lock) as folder:
        job = scheduler.submit_pair(partner(folder), folder, options)
        try:
            return _wait_for_job(folder, job, tell, scheduler, ask_every_s)
        except BaseException:
            with suppress(SchedulerError):
                scheduler.cancel([job])
            raise


def _wait_for_job(
    folder: Path, job: str, tell: Tell, scheduler: Scheduler, ask_every_s: float
) -> Reports:
    asked, phase = time.monotonic(), Phase.WAITING
    gone_since: float | None = None
    while True:
        if reports := _both(folder):
            if reports[0].host == reports[1].host:
                raise ProbeError(f"both tasks of job {job} ran on {reports[0].host}")
            return reports
        if gone_since and time.monotonic() - gone_since > ask_every_s:
            raise ProbeError(f"job {job} ended without two reports; it said: {_log(folder)}")
        if not gone_since and time.monotonic() - asked > ask_every_s:
            asked, phase = time.monotonic(), _phase(job, phase, scheduler)
            gone_since = time.monotonic() if phase in _GONE else None
        tell(f"job {job} on two nodes: {'has ended' if gone_since else phase}; Ctrl-C cancels it")
        time.sleep(10 * POLL_S)


def _phase(job: str, before: Phase, scheduler: Scheduler) -> Phase:
    """Return where a job stands; as before if nobody answers."""
    one = JobRun(job, 0)
    with suppress(SchedulerError):
        return scheduler.query([one], ANSWER_S)[one].phase
    return before


def _log(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "job.log").read_text(errors="replace").strip()[-2000:] or "nothing"
    return "nothing"
