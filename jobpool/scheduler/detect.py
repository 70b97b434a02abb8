"""Which scheduler this process has: the user's choice, a worker record's, or the one found here."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import which

from jobpool.errors import RequestError, listing
from jobpool.scheduler.base import Scheduler
from jobpool.scheduler.none import ThisMachine
from jobpool.scheduler.slurm.scheduler import Slurm
from jobpool.scheduler.status import USUAL

SCHEDULERS: Mapping[str, Callable[[], Scheduler]] = {"slurm": Slurm, "none": ThisMachine}
VARIABLE = "JOBPOOL_SCHEDULER"  # a user's own choice


def find_scheduler(environment: Mapping[str, str] = os.environ) -> Scheduler:
    """Return the scheduler of this process: the user's choice, or the one found here.

    Inside a job of SLURM, or where its programs are, it is SLURM; elsewhere none.

    Raises
    ------
    RequestError
        If the user chose one that is not known.

    Examples
    --------
    >>> find_scheduler({"JOBPOOL_SCHEDULER": "none"}).name, find_scheduler({"PATH": ""}).name
    ('none', 'none')
    >>> find_scheduler({"SLURM_JOB_ID": "12"}).name
    'slurm'
    """
    if chosen := environment.get(VARIABLE):
        return _chosen(chosen)
    is_here = "SLURM_JOB_ID" in environment or which("squeue", path=environment.get("PATH"))
    return Slurm() if is_here else ThisMachine()


def submitting_scheduler(environment: Mapping[str, str] = os.environ) -> Scheduler:
    """Return the scheduler to submit to: the user's choice, or the usual one.

    A machine where the cluster's programs are not found is not filled with workers instead.

    Raises
    ------
    RequestError
        If the user chose one that is not known.

    Examples
    --------
    >>> submitting_scheduler({"PATH": ""}).name
    'slurm'
    """
    return _chosen(environment.get(VARIABLE) or USUAL)


def worker_program(environment: Mapping[str, str] = os.environ) -> str:
    """Return the path of the jobpool that runs in the jobs: the user's choice, or this one."""
    return environment.get("JOBPOOL") or str(Path(sys.executable).with_name("jobpool"))


def scheduler_named(name: str) -> Scheduler:
    """Return the scheduler that a worker's record names; without a name, the usual one.

    One that this version does not know cannot be asked; nothing is asked then.
    """
    return SCHEDULERS.get(name or USUAL, ThisMachine)()


def _chosen(name: str) -> Scheduler:
    if name not in SCHEDULERS:
        # not a `SchedulerError`: a scheduler that does not answer is waited for
        what = f"there is no such scheduler; write one of: {listing(sorted(SCHEDULERS))}"
        raise RequestError(f"{VARIABLE}={name}", what)
    return SCHEDULERS[name]()
