"""What a table came from: which pool, which experiment, when, and by which jobpool."""

import hashlib

from jobpool import __version__
from jobpool.pool import Pool
from jobpool.table.arrays import n_counted
from jobpool.task import Json, TaskState
from jobpool.units import utc_iso

KEY = "jobpool"  # under which a data frame and a file keep it


def provenance(pool: Pool, **about: Json) -> dict[str, Json]:
    """Return what a table of this pool came from.

    Parameters
    ----------
    pool : Pool
        The pool.
    **about
        What is known besides, such as the selection.
    """
    text = (pool.folder / "experiment.yaml").read_bytes()
    counts = pool.counts()
    return {
        "pool": pool.folder.resolve().name,
        "experiment": pool.info.name,
        "jobpool": __version__,
        "experiment_sha256": hashlib.sha256(text).hexdigest(),
        "experiment_text": text.decode("utf-8", "replace"),
        "seed": pool.experiment().seed,
        "collected": utc_iso(pool.now()),
        "tasks": {
            "done": counts[TaskState.DONE],
            "all": n_counted(counts),
        },
        **about,
    }
