"""Whether a worker, or its node, fails too often to go on.

    bad-nodes/NODE.json    written by the worker that found it out

A worker that fails at everything would go through the whole pool, and leave nothing but errors.
"""

import time
from collections.abc import Callable
from pathlib import Path

from jobpool.execution.nodes import read_bad_nodes, suspect_nodes, write_bad_node
from jobpool.journal.attempts import all_attempts
from jobpool.pool import Ending
from jobpool.task import Cause, Claim

SAME_ERROR = 10  # tasks in a row that ended in one and the same error: the study is at fault
LOOK_AT_NODE = 5  # tasks in a row that ended in any error: the node may be


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
