"""What the workers' own files say about each task: the second witness beside the state table."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobpool.checks.findings import Finding, note, problem
from jobpool.pool import Pool
from jobpool.task import Cause, Json
from jobpool.workerfiles import KINDS, all_lines


@dataclass(frozen=True, slots=True)
class ResultSeen:
    """A result on disk."""

    fence: int
    worker: int
    ended: float


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """An attempt on disk."""

    fence: int
    worker: int
    cause: Cause
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What results and attempts say, by position in the pool."""

    results: dict[int, list[ResultSeen]]
    attempts: dict[int, list[AttemptSeen]]
    damaged: tuple[tuple[Path, int], ...]  # lines within a file that do not fit their checksum
    torn: tuple[Path, ...]  # files whose last line was cut short
    n_strange: int  # lines about tasks that the pool does not have

    def last_fence(self, position: int) -> int:
        """Return the highest number of a claim that is known to have been on the task."""
        seen: Sequence[ResultSeen | AttemptSeen] = (
            *self.results.get(position, ()),
            *self.attempts.get(position, ()),
        )
        return max((one.fence for one in seen), default=0)

    def failures(self, position: int) -> int:
        """Return how many attempts count against the task."""
        attempts = self.attempts.get(position, ())
        return len({(one.fence, one.worker) for one in attempts if one.cause.counts})


def gather(pool: Pool) -> Evidence:
    """Read every result and attempt of a pool."""
    positions = {name: position for position, name in enumerate(pool.grid.ids())}
    results: dict[int, list[ResultSeen]] = {}
    attempts: dict[int, list[AttemptSeen]] = {}
    damaged: list[tuple[Path, int]] = []
    torn: list[Path] = []
    strange: Counter[str] = Counter()
    for kind in ("results", "attempts"):
        for path, number, line in all_lines(pool.folder, kind):
            if line is None:
                if _is_torn(path, number):
                    torn.append(path)
                else:
                    damaged.append((path, number))
                continue
            position = positions.get(str(line["task"]))
            if position is None:
                strange[kind] += 1
            elif kind == "results":
                results.setdefault(position, []).append(_result(path, line))
            else:
                attempts.setdefault(position, []).append(_attempt(line))
    return Evidence(
        results=results,
        attempts=attempts,
        damaged=tuple(damaged),
        torn=tuple(torn),
        n_strange=strange.total(),
    )


def _result(path: Path, line: dict[str, Json]) -> ResultSeen:
    return ResultSeen(int(str(line["fence"])), int(path.stem, 16), float(str(line["ended"])))


def _attempt(line: dict[str, Json]) -> AttemptSeen:
    worker = int(str(line["worker"]), 16)
    cause = Cause(str(line["cause"]))
    return AttemptSeen(int(str(line["fence"])), worker, cause, float(str(line["ended"])))


def _is_torn(path: Path, number: int) -> bool:
    """Say whether a damaged line is the last one, and was not written to its end."""
    content = path.read_bytes()
    return not content.endswith(b"\n") and content.count(b"\n") == number - 1


def examine_lines(pool: Path, evidence: Evidence) -> Iterator[Finding]:
    """Yield what is wrong with the files of results and attempts themselves."""
    for path in evidence.torn:
        what = "its last line was cut short when the worker was killed; it does not count"
        yield note(str(path.relative_to(pool)), what)
    for path, number in evidence.damaged:
        what = f"line {number} is damaged"
        yield problem(str(path.relative_to(pool)), what, repairable=True)
    if evidence.n_strange:
        what = f"{evidence.n_strange:,} of the lines are about tasks that this pool does not have"
        yield note(", ".join(sorted(KINDS)), what)


def set_aside(path: Path, numbers: Sequence[int]) -> bytes:
    """Return the content of a file without some lines, which are kept in ``NAME.damaged``."""
    lines = path.read_bytes().splitlines(keepends=True)
    wanted = set(numbers)
    with path.with_name(f"{path.name}.damaged").open("ab") as stream:
        stream.writelines(line for n, line in enumerate(lines, start=1) if n in wanted)
    return b"".join(line for n, line in enumerate(lines, start=1) if n not in wanted)
