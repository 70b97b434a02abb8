"""Nodes on which many different tasks fail: named, so that workers leave them.

    bad-nodes/NODE.json    checked JSON: since when nothing is started there, and why

A node that is named is left for a day; then it is tried again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from jobpool.disk.files import read_json, write_json
from jobpool.disk.validation import has_shape, is_number, is_text
from jobpool.journal.attempts import Attempt
from jobpool.task import Cause

FORMAT = 1
FOLDER = "bad-nodes"
FORGOTTEN_AFTER_S = 86400.0

FEWEST_TASKS = 5  # different tasks that must have failed on a node
FAILED_SHARE = 0.8  # of the attempts on the node
DONE_SHARE = 0.5  # of the attempts on all other nodes: else the tasks are to blame


_SHAPE = {"node": is_text, "since": is_number, "why": is_text}


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


def _file(pool: Path, node: str) -> Path:
    return pool / FOLDER / f"{quote(node, safe='')}.json"


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
