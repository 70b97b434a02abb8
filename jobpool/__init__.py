"""Run a grid of tasks from one folder on a cluster's shared disk, with any number of workers.

What notebooks and scripts use stands here, and is loaded when it is first used:

    init(config, pool)    make a pool, and open it
    open(pool)            open a pool that is there
    Pool, Task            what these return, and what a pool holds
    JobpoolError          the base of all errors, and its kinds

docs/python.md shows each at work. Every other module is internal, and may change with any release.
"""

from importlib import import_module

TYPE_CHECKING = False  # without `typing`, which takes as long to load as all the rest
if TYPE_CHECKING:
    from jobpool.api.pool import Pool, init, open
    from jobpool.api.tables import Task
    from jobpool.errors import (
        AccessError,
        BrokenLockError,
        ConfigError,
        DamagedStateError,
        DataError,
        JobpoolError,
        OutOfTimeError,
        PoolError,
        RequestError,
        SchedulerError,
        SchedulerMissingError,
        SelectionError,
        StartError,
        StorageError,
    )

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "BrokenLockError",
    "ConfigError",
    "DamagedStateError",
    "DataError",
    "JobpoolError",
    "OutOfTimeError",
    "Pool",
    "PoolError",
    "PoolGoneError",
    "RequestError",
    "SchedulerError",
    "SchedulerMissingError",
    "SelectionError",
    "StartError",
    "StorageError",
    "Task",
    "init",
    "open",
]
_HOMES = {
    "Pool": "jobpool.api.pool",
    "Task": "jobpool.api.tables",
    "init": "jobpool.api.pool",
    "open": "jobpool.api.pool",
}  # all others: jobpool.errors


def __getattr__(name: str) -> object:
    """Load what is public when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES.get(name, "jobpool.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the names that are public."""
    return [*__all__, "__version__"]
