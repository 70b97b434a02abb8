"""The scheduler that starts the workers: SLURM, or none.

    status      where a run of a job stands; all that `jobpool status` loads, with polling
    base        what is asked of a scheduler, and the neutral words of its other answers
    detect      which one this process has
    polling     one worker asks about jobs, all read the answer
    machine     what the kernel says of any machine and its cgroups
    none        this machine alone: workers are processes
    simulated   in memory, for tests
    slurm/      SLURM, and the only place that knows its programs, words and variables

Workers, liveness, plan and the command line call in through `base` and `detect`.
"""
