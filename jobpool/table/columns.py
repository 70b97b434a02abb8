"""The names that jobpool itself gives to columns, and how no other name gets lost among them.

An axis of such a name is refused when the experiment file is checked. A pool of an earlier jobpool
may have one: there the axis keeps its name, and the column of jobpool gets a prefix. What a result
holds under a name that is taken gets another prefix. So a table has one column for each name.

What writes a table makes its columns by `listed`: a column that is not in the lists here is an
error there, and is known here to be no name for an axis.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

ID = "task"
OF_RESULTS = ("task_seconds", "failed_attempts", "worker", "peak_memory_mb", "cores", "ended")
RERUN_PENDING = "rerun_pending"  # of results, while a task of the pool is rerun
MIXTURE = "mixture"  # of results, where some are made of other inputs than most
OF_ATTEMPTS = (
    *("fence", "worker", "cause", "started", "ended", "cores", "memory_mb", "cpu_s"),
    *("peak_memory_mb", "read_mb", "written_mb", "error", "traceback", "node", "job", "found_by"),
    *("clock_jump_s", "seconds"),
)
OF_SCORES = ("metric", "score")  # collect --long
OF_INCOMPLETE = ("n_parts", "missing")
OF_SOURCE = ("pool", "experiment", "collected")  # at the end of each CSV file
OF_REPORT = ("tasks", "core-hours", "results", "what", "parts", "state", "missing")
# of steps, and of searches over the pool, so that pools made now can be opened then
KEPT = ("step", "bracket", "configuration", "stage")

_PLACES: Mapping[str, tuple[str, ...]] = {
    "is a column of every results table": (ID, *OF_RESULTS),
    "is a column of results while tasks are rerun": (RERUN_PENDING,),
    "is a column of results of different inputs": (MIXTURE,),
    "is a column of the table of attempts": OF_ATTEMPTS,
    "is a column of the table of scores": OF_SCORES,
    "is a column of the table of incomplete sets": OF_INCOMPLETE,
    "is a column of every CSV file": OF_SOURCE,
    "is a column of the report": OF_REPORT,
    "is kept for an axis that jobpool will make itself": KEPT,
}

OURS = "jobpool_"  # before a column of jobpool whose name an axis has
OF_RESULT = "result_"  # before what a result holds under a name that is taken
OF_VALUE = "value_"  # before what is known of an axis value under a name that is taken

Column = TypeVar("Column")


def why_not(axis: str) -> str | None:
    """Return why an axis cannot have a name, or None if it can.

    Examples
    --------
    >>> why_not("cores"), why_not("site")
    ('is a column of every results table', None)
    """
    return next((why for why, names in _PLACES.items() if axis in names), None)


def set_apart(names: Iterable[str], taken: Collection[str], prefix: str) -> dict[str, str]:
    """Return the name of each column beside others: with the prefix where it is taken.

    Examples
    --------
    >>> set_apart(["cores", "ended"], ["site", "cores"], OURS)
    {'cores': 'jobpool_cores', 'ended': 'ended'}
    >>> set_apart(["cores", "result_cores"], ["cores"], OF_RESULT)
    {'cores': 'result_result_cores', 'result_cores': 'result_cores'}
    """
    wanted = dict.fromkeys(names)
    found: dict[str, str] = {}
    for name in wanted:
        shown = writable(name)
        while shown in taken or (shown != name and shown in wanted):
            shown = prefix + shown
        found[name] = shown
    return found


def writable(text: str) -> str:
    r"""Return a text as every file can hold it: half a surrogate pair becomes its escape.

    File names that are no UTF-8 have such halves; UTF-8, and so no table, has a place for them.

    Examples
    --------
    >>> writable("caf\u00e9"), writable("caf\udce9")
    ('caf\xe9', 'caf\\udce9')
    """
    return text.encode("utf-8", "backslashreplace").decode()


def listed(names: tuple[str, ...], columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return columns in the order of a list of this module, which names them all.

    Raises
    ------
    ValueError
        If a column is not in the list, or lacks.
    """
    if columns.keys() != set(names):
        other = ", ".join(sorted(columns.keys() ^ set(names)))
        raise ValueError(f"columns and their list in {__name__} differ: {other}")
    return {name: columns[name] for name in names}


def beside_report(axis: str) -> str:
    """Return how the report calls the column of an axis beside its own ones.

    Examples
    --------
    >>> beside_report("site"), beside_report("tasks")
    ('site', 'tasks (axis)')
    """
    return f"{axis} (axis)" if axis in (ID, "worker", *OF_REPORT) else axis
