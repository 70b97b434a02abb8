"""The trial before jobs are submitted: whether tasks can run in the environment of the jobs.

The program that the jobs run is started here, as they start it, and starts the process of the tasks
without a task. Of the nodes nothing is known: what fails there alone, the pool is told by its jobs.
"""

import signal
import subprocess
from collections.abc import Callable

from jobpool.errors import RequestError
from jobpool.pool import Pool
from jobpool.scheduler.base import Trial

TRIAL_S = 180.0  # a study of thousands of maps on a slow disk takes a while
_USAGE = 2  # exit code of a program that does not know the option: an older one
_SKIPPED = "they were not tried before"


def try_tasks(pool: Pool, trial: Trial, say: Callable[[str], None]) -> None:
    """Refuse to submit jobs in which no task can be run.

    Parameters
    ----------
    pool : Pool
        The pool.
    trial : Trial
        What to run, and in which environment.
    say : callable
        Takes a line for a person, where nothing could be tried.

    Raises
    ------
    RequestError
        If tasks cannot be run.
    """
    try:
        ended = subprocess.run(
            trial.command,
            env=trial.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_S,
            check=False,
        )
    except OSError as error:
        say(f"{trial.command[0]}: {error.strerror} on this machine; {_SKIPPED}")
    except subprocess.TimeoutExpired:
        say(f"tasks were not ready to run within {TRIAL_S:.0f} s; {_SKIPPED}")
    else:
        if ended.returncode == _USAGE:
            say(f"{trial.command[0]} is an older jobpool; {_SKIPPED}")
        elif ended.returncode != 0:
            why = _words(ended.stderr) or _how(ended.returncode)
            what = f"tasks cannot be run in the environment that the jobs would have: {why}"
            step = "nothing was submitted; to submit all the same, run what --dry-run prints"
            raise RequestError(pool.folder, f"{what}; {step}")


def _words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [line.partition("jobpool: ")[2] for line in lines if line.startswith("jobpool: ")]
    return (own or lines or [""])[-1]


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
