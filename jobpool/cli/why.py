"""``jobpool why``: what one task waits for."""

import os
from typing import Annotated

import typer

from jobpool.cli.options import PoolArgument


def why(
    pool: PoolArgument,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or how it begins.")],
) -> None:
    """Explain in a line what a task waits for, and show what is known of it.

    \b
    jobpool why POOL l5ciunfhmh5g
    jobpool why POOL l5ciu
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads double NumPy's time to start
    from jobpool.plan.why import why as explain
    from jobpool.pool import Pool

    print(explain(Pool(pool), task))
