"""Run one of SLURM's programs; say clearly why it gave no answer."""

import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import PurePath

from jobpool.errors import SchedulerError, SchedulerMissingError
from jobpool.scheduler.slurm.variables import environment_of

TIMEOUT_S = 60.0

RunProgram = Callable[[Sequence[str]], str]


def run_program(
    command: Sequence[str], timeout_s: float = TIMEOUT_S, *, with_errors: bool = False
) -> str:
    r"""Return what a program prints, run without the options that a user set by variables.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; no shell reads them.
    timeout_s : float
        Seconds after which it is killed: a busy controller may not answer for long.
    with_errors : bool
        Whether what it prints on standard error is part of the answer.

    Raises
    ------
    SchedulerMissingError
        If it is not there.
    SchedulerError
        If it does not answer in time, or ends with another code than 0.

    Examples
    --------
    >>> run_program(["echo", "12;cluster"])
    '12;cluster\n'
    """
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment_of(PurePath(command[0]).name),
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        what = f"{command[0]} cannot be run: {error.strerror}"
        advice = "work on a node that has SLURM's commands, or without SLURM: jobpool run POOL"
        raise SchedulerMissingError(f"{what}; {advice}") from error
    except subprocess.TimeoutExpired as error:
        what = f"{command[0]} did not answer within {timeout_s:g} s"
        raise SchedulerError(f"{what}; try again when the controller is less busy") from error
    if ended.returncode != 0:
        said = ended.stderr.strip() or ended.stdout.strip() or "it printed nothing"
        what = f"{shlex.join(command)}\nended with code {ended.returncode}: {said}"
        # named here, as a "; " in what the program says must not be taken for the next step
        advice = "correct what it refuses, or try again when the controller answers"
        raise SchedulerError(f"{what}; {advice}")
    return ended.stdout + (ended.stderr if with_errors else "")


def on_cluster(run: RunProgram, cluster: str | None) -> RunProgram:
    """Return what runs programs for a cluster that the user chose; None: for the local one."""
    if cluster is None:
        return run

    def run_there(command: Sequence[str]) -> str:
        return run([command[0], f"--clusters={cluster}", *command[1:]])

    return run_there
