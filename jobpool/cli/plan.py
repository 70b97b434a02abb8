"""``jobpool plan``: remaining tasks by size, and the arrays to submit next."""

import os
from contextlib import nullcontext
from typing import Annotated

import typer

from jobpool.cli.options import AsJson, PoolArgument, Trust, say
from jobpool.cli.output import columns, put


def plan(
    pool: PoolArgument,
    jobs: Annotated[
        int, typer.Option(min=1, help="Jobs in the queue at the same time, of all sizes.")
    ] = 200,
    submit: Annotated[bool, typer.Option("--submit", help="Submit them.")] = False,
    json: AsJson = False,
    trust: Trust = None,
) -> None:
    """Show the remaining tasks by required size, and the arrays to submit next.

    Each waiting task goes to the cheapest pass in which it finishes with a probability of at
    least 80 %, judging by other tasks. For tasks that fit no pass, a larger size is proposed.

    \b
    jobpool plan POOL
    jobpool plan POOL --jobs 500 --submit
    jobpool plan POOL --json
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start
    from jobpool.plan.plan_text import json_text, plan_text, read_plan
    from jobpool.plan.sending import Sending
    from jobpool.plan.submission import alone, send
    from jobpool.pool import Pool

    opened = Pool(pool)
    if submit:
        opened = opened.trusting(trust or ())  # a pass may hold any option of the scheduler
    with alone(opened) if submit else nullcontext():
        made = read_plan(opened, jobs, must_ask=submit)
        if json:
            print(json_text(opened, made, made.around.limits))
        else:
            put(plan_text(opened, made, made.around, columns()))
        if submit:
            send(opened, made, made.around, Sending(show=print, say=say, trust=tuple(trust or ())))
