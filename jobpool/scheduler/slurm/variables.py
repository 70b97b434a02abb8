"""Which variables of the user's environment reach SLURM's programs, and which only look like it.

SLURM's programs take options from variables, and a job hands its own ones on to what it submits. A
filter that the user set for `squeue` would hide jobs from us; ``SBATCH_SIGNAL`` of a wrapper, or
``SLURM_MEM_PER_CPU`` of a job around this process, would change the jobs that we submit. So each
program that we run gets an environment of its own:

1. What says how SLURM is reached is kept, for all programs.
2. `sbatch` keeps what says where a job runs, and on whose account; it stands on the command line,
   too, so that it is seen, and what a pass says wins.
3. Every other variable of SLURM and of its programs is left out.

The job inherits the environment of `sbatch`, so that the variables of other programs, such as
``SQUEUE_FORMAT``, stay in that one: a task may use them.
"""

import os
from collections.abc import Mapping

from jobpool.errors import SchedulerError

OF_SLURM = ("SLURM_", "SBATCH_")
OF_PROGRAMS = (*OF_SLURM, "SALLOC_", "SQUEUE_", "SACCT_", "SINFO_", "SCONTROL_", "SCANCEL_")
REACHED_BY = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET")
CHOSEN: Mapping[str, str] = {  # by the user, for the jobs: variable and option
    "SBATCH_ACCOUNT": "--account",
    "SBATCH_PARTITION": "--partition",
    "SBATCH_QOS": "--qos",
    "SBATCH_RESERVATION": "--reservation",
    "SBATCH_CONSTRAINT": "--constraint",
    "SBATCH_WCKEY": "--wckey",
}
CLUSTERS = ("SBATCH_CLUSTERS", "SLURM_CLUSTERS")  # the first that is set counts


def environment_of(program: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment in which one of SLURM's programs runs.

    Examples
    --------
    >>> user = {"HOME": "/me", "SLURM_CONF": "/c", "SQUEUE_USERS": "a", "SBATCH_WAIT": "1"}
    >>> environment_of("squeue", user)
    {'HOME': '/me', 'SLURM_CONF': '/c'}
    >>> environment_of("sbatch", user | {"SBATCH_ACCOUNT": "lab"})
    {'HOME': '/me', 'SLURM_CONF': '/c', 'SQUEUE_USERS': 'a', 'SBATCH_ACCOUNT': 'lab'}
    """
    submits = program == "sbatch"
    left_out = OF_SLURM if submits else OF_PROGRAMS
    kept = {*REACHED_BY, *(CHOSEN if submits else ())}
    return {
        name: value
        for name, value in environment.items()
        if name in kept or not name.startswith(left_out)
    }


def chosen_options(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the options that the user chose for all jobs by variables.

    Examples
    --------
    >>> chosen_options({"SBATCH_QOS": "low", "SBATCH_SIGNAL": "B:TERM@75"})
    ('--qos=low',)

    Raises
    ------
    SchedulerError
        If they name several clusters.
    """
    cluster = chosen_cluster(environment)
    options = [f"--clusters={cluster}"] if cluster else []
    options += [f"{CHOSEN[name]}={environment[name]}" for name in CHOSEN if environment.get(name)]
    return tuple(options)


def note_on_options(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return which of the user's variables for sbatch do not count, in one line; None if all do.

    Examples
    --------
    >>> note_on_options({"SBATCH_QOS": "low"}) is None
    True
    """
    names = sorted(
        name
        for name, value in environment.items()
        if name.startswith("SBATCH_") and value and name not in {*CHOSEN, *CLUSTERS}
    )
    if not names:
        return None
    what = f"not counted, as a pass says what its jobs are: {', '.join(names)}"
    return f"{what}; options that you want go into `sbatch` of the pass"


def chosen_cluster(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the cluster that the user chose for all jobs by a variable; None: the local one.

    Raises
    ------
    SchedulerError
        If it may be one of several: jobs are submitted, counted and cancelled on one.
    """
    for variable in CLUSTERS:
        if name := environment.get(variable, "").strip():
            if "," in name or name == "all":
                what = f"{variable}={name} names several clusters"
                advice = "a pool's jobs are counted on one of them: name that one"
                raise SchedulerError(f"{what}; {advice}")
            return name
    return None
