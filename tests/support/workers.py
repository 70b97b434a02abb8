"""Many real workers on one pool, forked, each running no-op tasks in its own process.

    python -m tests.support.workers drain POOL N SECONDS
    python -m tests.support.workers until-noticed POOL...

The first runs N workers until the pool is done. With SECONDS greater than zero it kills a random
one with SIGKILL every so often, and starts another in its place; it prints how many it killed.
The second forks one worker for each path given, all for one pool, as the mounts of a file system
show it. As soon as one of them notices that the lock does not lock, it prints the error and kills
the others.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobpool.errors import JobpoolError
from jobpool.execution.deadline import JobEnd
from jobpool.execution.supervisor import Outcome, StopSignals
from jobpool.journal.jsonl import new_worker_number
from jobpool.journal.workers import own_worker_record
from jobpool.pool import Pool
from jobpool.task import Cause, TaskState
from jobpool.worker import Limits, Worker


class Inline:
    """Runs a no-op task in the worker's own process."""

    peak_mb = 0.0
    job_end = JobEnd(None)

    def start(self) -> None:
        """Start nothing."""

    def is_ready(self) -> bool:
        """Say that it is."""
        return True

    def run(self, request: Mapping[str, Any]) -> Outcome:
        """Return the task's number."""
        return Outcome(cause=Cause.DONE, result={"value": request["point"][0][1]})

    def stop(self) -> None:
        """Stop nothing."""


def silent(line: str) -> None:
    """Report nothing."""


def work(folder: Path) -> None:
    worker_record = own_worker_record(started=time.time(), cores=1)
    make: Callable[[Callable[[], object]], Any] = lambda _beat: Inline()  # noqa: E731
    worker = Worker(
        Pool(folder, worker=new_worker_number()),
        worker_record,
        make,
        signals=StopSignals(),
        rng=random.Random(),
        report=silent,
    )
    worker.work(Limits())


def fork_worker(folder: Path) -> int:
    child = os.fork()
    if child == 0:
        code = 2
        try:
            work(folder)
            code = 0
        except JobpoolError as error:
            sys.stdout.write(f"{type(error).__name__}: {error}\n")
            code = 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def drain(folder: Path, n_workers: int, kill_every_s: float) -> int:
    pool, rng, kills = Pool(folder), random.Random(1), 0
    running = {fork_worker(folder) for _ in range(n_workers)}
    failed = 0
    while running:
        if kill_every_s:
            time.sleep(kill_every_s)
            victim = rng.choice(sorted(running))
            os.kill(victim, signal.SIGKILL)
            kills += 1
            time.sleep(0.001)
        child, status = os.waitpid(-1, 0)
        running.discard(child)
        code = os.waitstatus_to_exitcode(status)
        failed += code > 0
        if code != 0 and pool.counts()[TaskState.WAITING]:
            running.add(fork_worker(folder))
    work(folder)  # what the last victims held
    sys.stdout.write(f"{kills} killed, {failed} failed\n")
    return failed


def work_until_noticed(folders: list[Path]) -> int:
    """Return 1 if a worker noticed a broken lock, 0 if all left without an error."""
    running = {fork_worker(folder) for folder in folders}
    worst = 0
    while running:
        child, status = os.wait()
        running.discard(child)
        worst = max(worst, os.waitstatus_to_exitcode(status))
        if worst:
            for other in running:
                os.kill(other, signal.SIGKILL)
    return worst


def main(words: list[str]) -> int:
    if words[0] == "drain":
        return drain(Path(words[1]), int(words[2]), float(words[3]))
    return work_until_noticed([Path(word) for word in words[1:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
