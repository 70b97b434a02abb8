"""Whether tasks fail too often with a worker, or on a node, to go on there.

    bad-nodes/NODE.json    checked JSON: since when nothing is started there, and why

A worker on which every task fails would go through the whole pool and leave nothing but errors.
It leaves after ten equal errors in a row. If many different tasks failed on its node and not on
others, it also names the node on disk: all workers leave that node for a day, then it is tried
again.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from jobpool.disk.files import read_json, write_json
from jobpool.disk.validation import has_shape, is_number, is_text
from jobpool.journal.attempts import Attempt, all_attempts
from jobpool.pool import Ending
from jobpool.task import Cause, Claim

SAME_ERROR = 10  # tasks in a row that ended in one and the same error: the study is at fault
LOOK_AT_NODE = 5  # tasks in a row that ended in any error: the node may be
FEWEST_TASKS = 5  # different tasks that must have failed on a node
FAILED_SHARE = 0.8  # of the attempts on the node
DONE_SHARE = 0.5  # of the attempts on all other nodes: else the tasks are to blame
FORMAT = 1
FOLDER = "bad-nodes"
FORGOTTEN_AFTER_S = 86400.0
_SHAPE = {"node": is_text, "since": is_number, "why": is_text}


class Doubts:
    """Counts the tasks in a row that failed with one worker.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    node : str
        Where the worker runs.
    now : callable
        The clock.
    """

    def __init__(self, pool: Path, node: str, now: Callable[[], float] = time.time) -> None:
        self._pool, self._node, self._now = pool, node, now
        self._errors: list[int] = []
        self._looked_at = 0  # how many there were when the node was last judged

    def note(self, claim: Claim, ending: Ending) -> None:
        """Count the end of a task."""
        if ending.cause is Cause.DONE:
            self._errors.clear()
            self._looked_at = 0
        elif ending.cause is Cause.ERROR and claim.attempts == 0:
            # a task that failed elsewhere, too, says nothing about this worker
            self._errors.append(ending.lesson.error)

    def why_not_start(self) -> str:
        """Return why this node should be left at once, or an empty text."""
        bad = read_bad_nodes(self._pool, self._now()).get(self._node)
        return "" if bad is None else f"tasks fail on this node, {self._node}: {bad.why}"

    def why_leave(self) -> str:
        """Return why no more tasks should be tried here, or an empty text."""
        n_failed = len(self._errors)
        if n_failed != self._looked_at and n_failed % LOOK_AT_NODE == 0:
            self._looked_at = n_failed
            for bad in suspect_nodes(all_attempts(self._pool)):
                if bad.node == self._node:
                    write_bad_node(self._pool, bad)
                    return f"tasks fail on this node, {self._node}, and not on others: {bad.why}"
        last = self._errors[-SAME_ERROR:]
        if len(last) == SAME_ERROR and len(set(last)) == 1:
            what = f"{SAME_ERROR} tasks in a row failed with the same error"
            return f"{what}; see: jobpool errors {self._pool}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadNode:
    """A node on which nothing is to be started."""

    node: str
    since: float  # seconds since the epoch
    why: str


@dataclass(slots=True)
class _Seen:
    n_done: int = 0
    n_failed: int = 0
    failed: set[str] = field(default_factory=set)
    since: float = 0.0  # when an attempt last failed there


def suspect_nodes(attempts: Iterable[Attempt]) -> tuple[BadNode, ...]:
    """Return the nodes to blame for what failed on them.

    At least 5 different tasks failed there with an error or were lost, these were at least 80 %
    of the attempts there that show anything, and on all other nodes together most were done. An
    attempt that ended for lack of memory or time, or was stopped, says nothing about its node.

    Parameters
    ----------
    attempts : iterable of Attempt
        In any order.

    Returns
    -------
    tuple of BadNode
        In the order of their names, each since its last failure: it is left from then on.
    """
    seen: defaultdict[str, _Seen] = defaultdict(_Seen)
    for attempt in attempts:
        here = seen[attempt.node or ""]
        if attempt.cause is Cause.DONE:
            here.n_done += 1
        elif attempt.cause.is_poison:
            here.n_failed += 1
            here.failed.add(attempt.task)
            here.since = max(here.since, attempt.ended)
    n_done = sum(one.n_done for one in seen.values())
    n_all = n_done + sum(one.n_failed for one in seen.values())
    return tuple(
        BadNode(node=node, since=here.since, why=_why(here))
        for node, here in sorted(seen.items())
        if node
        and len(here.failed) >= FEWEST_TASKS
        and here.n_failed >= FAILED_SHARE * (here.n_failed + here.n_done)
        and n_done - here.n_done > DONE_SHARE * (n_all - here.n_failed - here.n_done)
    )


def _why(here: _Seen) -> str:
    n_attempts = here.n_failed + here.n_done
    return (
        f"{here.n_failed:,} of {n_attempts:,} attempts failed there, of {len(here.failed):,} "
        "different tasks; on other nodes most are done"
    )


def write_bad_node(pool: Path, bad_node: BadNode) -> None:
    """Let all workers know of a node; they leave it, and start nothing there.

    Raises
    ------
    StorageError
        If the disk refuses it.
    """
    path = _file(pool, bad_node.node)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"format": FORMAT, **asdict(bad_node)})


def read_bad_nodes(pool: Path, now: float) -> Mapping[str, BadNode]:
    """Return the nodes, by name, that were written less than a day ago.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    now : float
        Seconds since the epoch.
    """
    found = (_read(path) for path in sorted((pool / FOLDER).glob("*.json")))
    return {one.node: one for one in found if one and now - one.since < FORGOTTEN_AFTER_S}


def _read(path: Path) -> BadNode | None:
    with suppress(FileNotFoundError):
        line = read_json(path)
        if line is not None and has_shape(line, _SHAPE):
            since = float(str(line["since"]))
            return BadNode(node=str(line["node"]), since=since, why=str(line["why"]))
    return None


def forget_node(pool: Path, node: str) -> bool:
    """Let workers run on a node again, and say whether they would not have."""
    try:
        _file(pool, node).unlink()
    except FileNotFoundError:
        return False
    return True


def _file(pool: Path, node: str) -> Path:
    return pool / FOLDER / f"{quote(node, safe='')}.json"
