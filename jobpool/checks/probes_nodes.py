"""Start the two sides of a probing, here or by SLURM on two nodes, and wait for their reports."""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from jobpool.checks.probes import Report, probe_folder, read_report
from jobpool.checks.probes_talk import ProbeError
from jobpool.errors import SlurmError
from jobpool.scheduler.slurm.programs import RunProgram, run_program

HERE_S = 300.0
POLL_S = 0.05
ASK_EVERY_S = 30.0

Reports = tuple[Report, Report]
Tell = Callable[[str], None]


def partner(folder: Path, number: int | str) -> list[str]:
    """Return the command that runs one side."""
    module = "jobpool.checks.probe_partner"
    return [sys.executable, "-m", module, str(folder), str(number)]


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
                partner(pool / folder.name, number),
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


def sbatch_line(folder: Path, options: Sequence[str]) -> tuple[str, ...]:
    """Return the command that submits both sides to two nodes.

    Examples
    --------
    >>> line = sbatch_line(Path("/data/pool/probe-1"), ["--partition=short"])
    >>> line[:4]
    ('sbatch', '--parsable', '--nodes=2', '--ntasks-per-node=1')
    >>> line[-2]
    '--partition=short'
    """
    side = shlex.join(partner(folder, "NUMBER")).replace("NUMBER", "$SLURM_PROCID")
    script = f"srun --kill-on-bad-exit=0 sh -c {shlex.quote(f'exec {side}')}"
    return (
        *("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--time=15"),
        *("--job-name=jobpool-doctor", f"--output={folder / 'job.log'}"),
        *options,  # last, so that the user's word counts
        f"--wrap={script}",
    )


def probe_by_slurm(
    pool: Path,
    lock: str,
    options: Sequence[str],
    tell: Tell,
    *,
    run: RunProgram = run_program,
    ask_every_s: float = ASK_EVERY_S,
) -> Reports:
    """Probe from two nodes by a SLURM job; it is cancelled if this is interrupted.

    Parameters
    ----------
    pool : Path
        The pool.
    lock : str
        The kind of lock that the pool has.
    options : sequence of str
        For sbatch, such as ``--partition=short``.
    tell : callable
        Given a line from time to time.
    run : callable
        Runs SLURM's programs.
    ask_every_s : float
        Seconds between two questions to SLURM, and for which a report may be on its way.

    Raises
    ------
    SlurmError
        If SLURM does not take the job.
    ProbeError
        If the job ends without the reports of two nodes.
    """
    with probe_folder(pool.absolute(), lock) as folder:
        job = run(sbatch_line(folder, options)).strip().splitlines()[-1].partition(";")[0]
        try:
            return _wait_for_job(folder, job, tell, run, ask_every_s)
        except BaseException:
            with suppress(SlurmError):
                run(["scancel", job])
            raise


def _wait_for_job(
    folder: Path, job: str, tell: Tell, run: RunProgram, ask_every_s: float
) -> Reports:
    asked, state = time.monotonic(), "PENDING"
    gone_since: float | None = None
    while True:
        if reports := _both(folder):
            if reports[0].host == reports[1].host:
                raise ProbeError(f"both tasks of job {job} ran on {reports[0].host}")
            return reports
        if gone_since and time.monotonic() - gone_since > ask_every_s:
            raise ProbeError(f"job {job} ended without two reports; it said: {_log(folder)}")
        if not gone_since and time.monotonic() - asked > ask_every_s:
            asked, state = time.monotonic(), _state(job, state, run)
            gone_since = None if state else time.monotonic()
        tell(f"job {job} on two nodes: {state.lower() or 'has ended'}; Ctrl-C cancels it")
        time.sleep(10 * POLL_S)


def _state(job: str, before: str, run: RunProgram) -> str:
    """Return what squeue says of a job: nothing once it has ended."""
    try:
        return run(["squeue", "--noheader", "--jobs", job, "--format=%T"]).strip()
    except SlurmError as error:
        return "" if "Invalid job id" in str(error) else before


def _log(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "job.log").read_text(errors="replace").strip()[-2000:] or "nothing"
    return "nothing"
