"""SLURM: its programs, variables and words, which nothing outside knows.

    scheduler     the whole of it, as `jobpool.scheduler.base` asks
    variables     which variables of the user reach its programs
    programs      run one of its programs
    own_job       the job that this process runs in, whatever variables it has inherited
    environment   what this process has of that job
    jobs          squeue and sacct about many jobs
    limits        scontrol and sinfo about the cluster
    submit        sbatch lines, the queue, scancel
    answers       what sbatch's answer means: which jobs there are now
    scripts       the batch scripts in ``sbatch/``

Programs are run as lists, with a timeout, a few times in a worker's life at most.
"""
