"""Whether tasks fail too often with a worker, or on a node, to go on there.

    bad-nodes/NODE.json    checked JSON: since when nothing is started there, and why

A worker on which every task fails would go through the whole pool and produce nothing but errors.
It leaves after ten equal errors in a row. If many different tasks failed on its node and not on
other nodes, it excludes the node: for a day, workers take no task there.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from jobpool.disk.files import read_json, write_json
from jobpool.disk.inside import make_folder, paths_in, remove
from jobpool.disk.validation import has_shape, is_number, is_text
from jobpool.errors import quoted
from jobpool.journal.attempts import Attempt, survey
from jobpool.pool import Ending
from jobpool.task import Cause, Claim
from jobpool.units import DAY_S

SAME_ERROR = 10  # tasks in a row that ended in one and the same error: the study is at fault
CHECK_NODE = 5  # tasks in a row that ended in any error: the node may be at fault
FEWEST_TASKS = 5  # different tasks that must have failed on a node
FAILED_SHARE = 0.8  # of the attempts on the node
DONE_SHARE = 0.5  # of the attempts on all other nodes: else the tasks are to blame
FORMAT = 1
FOLDER = "bad-nodes"
READMITTED_AFTER_S = DAY_S
_SHAPE = {"node": is_text, "since": is_number, "why": is_text}


class FailureMonitor:
    """Counts the tasks in a row that failed in one worker.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    node : str
        The worker's node.
    now : callable
        The clock.
    """

    def __init__(self, pool: Path, node: str, now: Callable[[], float] = time.time) -> None:
        self._pool, self._node, self._now = pool, node, now
        self._errors: list[int] = []
        self._checked_at = 0  # how many there were when the node was last checked

    def note(self, claim: Claim, ending: Ending) -> None:
        """Count the end of a task."""
        if ending.cause is Cause.DONE:
            self._errors.clear()
            self._checked_at = 0
        elif ending.cause is Cause.ERROR and claim.attempts == 0:
            # a task that also failed elsewhere says nothing about this worker
            self._errors.append(ending.feedback.error)

    def why_not_start(self) -> str:
        """Return why no task should be tried on this node, or an empty text."""
        excluded = excluded_nodes(self._pool, self._now()).get(self._node)
        return "" if excluded is None else f"tasks fail on this node, {self._node}: {excluded.why}"

    def why_leave(self) -> str:
        """Return why no more tasks should be tried here, or an empty text."""
        n_failed = len(self._errors)
        if n_failed != self._checked_at and n_failed % CHECK_NODE == 0:
            seen = survey(self._pool)
            self._checked_at = n_failed
            for found in nodes_to_exclude(seen.failed, seen.n_done):
                if found.node == self._node:
                    exclude_node(self._pool, found)
                    return f"tasks fail on this node, {self._node}, and not on others: {found.why}"
        last = self._errors[-SAME_ERROR:]
        if len(last) == SAME_ERROR and len(set(last)) == 1:
            what = f"{SAME_ERROR} tasks in a row failed with the same error"
            return f"{what}; see: jobpool errors {quoted(self._pool)}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludedNode:
    """A node on which workers take no task for a while."""

    node: str
    since: float  # seconds since the epoch
    why: str


@dataclass(slots=True)
class _NodeCounts:
    n_done: int = 0
    n_failed: int = 0
    failed: set[str] = field(default_factory=set)
    since: float = 0.0  # when an attempt last failed there


def nodes_to_exclude(
    attempts: Iterable[Attempt], n_done: Mapping[str, int] | None = None
) -> tuple[ExcludedNode, ...]:
    """Return the nodes that are to blame for the failures on them.

    At least 5 different tasks failed there with an error or were lost, these were at least 80 %
    of the attempts there that show anything, and on all other nodes together most were done. An
    attempt that ended for lack of memory or time, or was stopped, says nothing about its node.

    Parameters
    ----------
    attempts : iterable of Attempt
        In any order.
    n_done : mapping, optional
        How many attempts ended well on each node, besides those.

    Returns
    -------
    tuple of ExcludedNode
        Sorted by name; each is excluded from the time of its last failure.
    """
    counts: defaultdict[str, _NodeCounts] = defaultdict(_NodeCounts)
    for node, n in (n_done or {}).items():
        counts[node].n_done = n
    for attempt in attempts:
        here = counts[attempt.node or ""]
        if attempt.cause is Cause.DONE:
            here.n_done += 1
        elif attempt.cause.is_poison:
            here.n_failed += 1
            here.failed.add(attempt.task)
            here.since = max(here.since, attempt.ended)
    n_ended_well = sum(one.n_done for one in counts.values())
    n_all = n_ended_well + sum(one.n_failed for one in counts.values())
    return tuple(
        ExcludedNode(node=node, since=here.since, why=_why(here))
        for node, here in sorted(counts.items())
        if node
        and len(here.failed) >= FEWEST_TASKS
        and here.n_failed >= FAILED_SHARE * (here.n_failed + here.n_done)
        and n_ended_well - here.n_done > DONE_SHARE * (n_all - here.n_failed - here.n_done)
    )


def _why(here: _NodeCounts) -> str:
    n_attempts = here.n_failed + here.n_done
    return (
        f"{here.n_failed:,} of {n_attempts:,} attempts failed there, of {len(here.failed):,} "
        "different tasks; on other nodes most are done"
    )


def exclude_node(pool: Path, excluded: ExcludedNode) -> None:
    """Exclude a node: all workers leave it, and none is started there.

    Raises
    ------
    StorageError
        If the disk refuses the file.
    """
    path = _file(pool, excluded.node)
    make_folder(path.parent)
    write_json(path, {"format": FORMAT, **asdict(excluded)})


def excluded_nodes(pool: Path, now: float) -> Mapping[str, ExcludedNode]:
    """Return the nodes, by name, that were excluded less than a day ago.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    now : float
        Seconds since the epoch.
    """
    found = (_read(path) for path in paths_in(pool / FOLDER, "*.json"))
    return {one.node: one for one in found if one and now - one.since < READMITTED_AFTER_S}


def _read(path: Path) -> ExcludedNode | None:
    with suppress(FileNotFoundError):
        line = read_json(path)
        if line is not None and has_shape(line, _SHAPE):
            since = float(str(line["since"]))
            return ExcludedNode(node=str(line["node"]), since=since, why=str(line["why"]))
    return None


def readmit_node(pool: Path, node: str) -> bool:
    """Let workers use a node again, and say whether it was excluded."""
    return remove(_file(pool, node))


def _file(pool: Path, node: str) -> Path:
    return pool / FOLDER / f"{quote(node, safe='')}.json"
