"""``jobpool submit``: SLURM jobs with the resources of a pass, or as `jobpool plan` says."""

from typing import Annotated

import typer

from jobpool.cli.options import Only, PoolArgument, Skip, Trust, say


def submit(
    pool: PoolArgument,
    pass_name: Annotated[
        str | None, typer.Option("--pass", metavar="NAME", help="A pass of the experiment file.")
    ] = None,
    keep_full: Annotated[
        bool,
        typer.Option(
            "--keep-full",
            help="Top up the queue for the remaining tasks, by required size; see plan.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Workers to submit, 1 if not given; with --keep-full: jobs of this pool in the "
            "queue at the same time, 200 if not given.",
        ),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the sbatch lines, submit nothing.")
    ] = False,
    trust: Trust = None,
) -> None:
    """Submit workers to SLURM as throttled job arrays.

    The exact sbatch lines are printed.
    With --pass, cores, memory, time and selection come from the pass; --only and --skip narrow it
    further. With --keep-full, they come from jobpool plan; that command may be run from cron: it
    counts this pool's jobs, and submits what is missing. The workers run the jobpool that
    submits, or the one that the variable JOBPOOL names.

    \b
    jobpool submit POOL --pass first --jobs 200 --dry-run
    jobpool submit POOL --pass first --jobs 200
    jobpool submit POOL --pass second --jobs 10 --only pipeline=svm
    jobpool submit POOL --keep-full --jobs 300
    """
    from jobpool.plan.arrays import USUAL_JOBS
    from jobpool.plan.sending import Sending
    from jobpool.plan.submission import submit_pass, top_up
    from jobpool.pool import Pool

    opened = Pool(pool)
    sending = Sending(show=print, say=say, trust=tuple(trust or ()), dry_run=dry_run)
    if keep_full:
        if pass_name or only or skip:
            what = "--keep-full takes passes and selections from the experiment"
            raise typer.BadParameter(f"{what}: leave out --pass, --only and --skip")
        top_up(opened, jobs or USUAL_JOBS, sending)
        return
    if pass_name is None:
        raise typer.BadParameter("give --pass NAME, or --keep-full")
    narrowed = {"only": tuple(only or ()), "skip": tuple(skip or ())}
    submit_pass(opened, pass_name, jobs or 1, sending, **narrowed)
