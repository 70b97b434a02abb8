"""One probing: both sides are started, here or on two nodes, and their reports are waited for.

    POOL/probe-RANDOM/     made for one probing, and removed after it
        plan.json          the kind of lock that the pool has
        report-N.json      what side N found: host and probes; written when all are done
        mail-0, mail-1     see `jobpool.checks.probes.talk`

Each side is a process of its own, started by this one or by the scheduler::

    python -m jobpool.checks.probes.run FOLDER NUMBER
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobpool.checks.probes.probes import Probe, Probed, probe_room, probes_of
from jobpool.checks.probes.talk import ProbeError, Side, SilentPartnerError, lay_out_mail
from jobpool.disk.files import read_json, write_json
from jobpool.disk.locks import LOCKS
from jobpool.errors import JobpoolError, SchedulerError
from jobpool.scheduler.base import Scheduler
from jobpool.scheduler.detect import find_scheduler
from jobpool.scheduler.status import JobRun, Phase
from jobpool.units import HOUR_S

OLD_S = HOUR_S  # no probing takes so long: its folder was left by a process that was killed
PREFIX = "probe-"
HERE_S = 300.0
POLL_S = 0.05
ASK_EVERY_S = 30.0
ANSWER_S = 60.0
_GONE = {Phase.ENDED, Phase.UNLISTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one side found."""

    host: str
    probes: tuple[Probed, ...]

    @property
    def locks(self) -> dict[str, bool]:
        """Say of each kind of lock whether it holds between the two sides."""
        found = {one.name.removeprefix("lock "): one.well is True for one in self.probes}
        return {kind: found[kind] for kind in LOCKS if kind in found}


Reports = tuple[Report, Report]
Tell = Callable[[str], None]


def partner(folder: Path) -> list[str]:
    """Return the command that runs a side, without its number."""
    return [sys.executable, "-m", "jobpool.checks.probes.run", str(folder)]


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
            raise ProbeError(f"the probes ended without a report: {said}; {ProbeError.advice}")
        tell("probing the file system")
        time.sleep(POLL_S)
    raise ProbeError(f"the probes took longer than {HERE_S:.0f} s")


def _both(folder: Path) -> Reports | None:
    first, second = read_report(folder, 0), read_report(folder, 1)
    return (first, second) if first and second else None


def read_report(folder: Path, number: int) -> Report | None:
    """Return what a side found, or None as long as its probes run."""
    try:
        content: Any = read_json(folder / f"report-{number}.json")
    except FileNotFoundError:
        return None
    if content is None:
        return None
    return Report(host=content["host"], probes=tuple(Probed(**one) for one in content["probes"]))


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
        Seconds between two questions to it, and how long a report may be on its way.

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
    """Return the phase of a job; as before if the scheduler does not answer."""
    one = JobRun(job, 0)
    with suppress(SchedulerError):
        return scheduler.query([one], ANSWER_S)[one].phase
    return before


def _log(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "job.log").read_text(errors="replace").strip()[-2000:] or "nothing"
    return "nothing"


@contextmanager
def probe_folder(pool: Path, lock: str) -> Iterator[Path]:
    """Yield a folder in the pool that is ready for both sides; it is removed afterwards."""
    for old in pool.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > OLD_S:
                shutil.rmtree(old, ignore_errors=True)
    folder = pool / f"{PREFIX}{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        lay_out_mail(folder)
        write_json(folder / "plan.json", {"lock": lock})
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(folder: str, number: str) -> int:
    """Run one side; return the exit code."""
    try:
        job = find_scheduler().own_job()
        host = (job.node if job else None) or socket.gethostname()
        run_side(Path(folder), int(number), host)
    except JobpoolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run_side(folder: Path, number: int, host: str) -> None:
    """Run all probes as one of the two sides, and write the report.

    Raises
    ------
    SilentPartnerError
        If the other side never comes, or comes no more.
    """
    plan = read_json(folder / "plan.json") or {}
    side = Side(folder=folder, number=number)
    side.meet()
    found = [probe_room(folder)]
    for name, probe in probes_of(str(plan["lock"])).items():
        side.next_probe()
        found.append(_run(probe, name, side))
    report: dict[str, Any] = {"host": host, "probes": [asdict(one) for one in found]}
    write_json(folder / f"report-{number}.json", report)


def _run(probe: Probe, name: str, side: Side) -> Probed:
    try:
        return probe(side)
    except SilentPartnerError:
        raise
    except (OSError, JobpoolError) as error:
        what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        return Probed(name=name, well=False, what=f"failed: {what}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
