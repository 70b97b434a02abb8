"""A pool under fire: python -m tests.support.chaos FOLDER --tasks 5000 --workers 12 --hits 48.

Makes a pool whose tasks raise, allocate, leave processes behind or ignore TERM, and lets real
workers empty it. At random moments one of them is killed, terminated, or stopped and continued
later; another is started in the place of each that ends. The hits are spread over the tasks that
are done. Then everything on disk is compared with everything else, and what is found is printed as
one line of JSON.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from jobpool.journal.attempts import Attempt, all_attempts, damaged_attempts
from jobpool.journal.jsonl import worker_name
from jobpool.journal.results import all_results
from jobpool.pool import Pool
from jobpool.table.settings import WorkerSettings
from jobpool.task import Cause, TaskState
from tests.support.builders import a_pool
from tests.support.tasks import is_poison

SETTINGS = WorkerSettings(heartbeat_s=0.5, lost_after_s=2.0, grace_s=1.0)
HITS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM)  # one after the other
LONGEST_STOP_S = 12.0  # most are stopped longer than a silent worker keeps its task
ORPHANS_S = 15.0
LOOK_S = 0.05


class Chaos:
    """Keeps workers running, and hits them.

    Parameters
    ----------
    folder : Path
        Everything is made in it.
    n_tasks : int
        Size of the pool.
    rng : random.Random
        Draws victims and moments.
    """

    def __init__(self, folder: Path, n_tasks: int, rng: random.Random) -> None:
        self.pool = a_pool(folder, n_tasks, call="tests.support.tasks:play", settings=SETTINGS)
        self.mark = f"{os.getpid()}-{time.time_ns()}"
        self.hits: Counter[str] = Counter()
        self.exits: Counter[int] = Counter()
        self._folder, self._rng = folder, rng
        self._running: dict[subprocess.Popen[bytes], Path] = {}  # and the log of each
        self._stopped: dict[int, float] = {}
        for name in ("firsts", "logs"):
            (folder / name).mkdir()

    def run(self, n_workers: int, n_hits: int) -> None:
        """Work the pool off."""
        opened = Pool(self.pool)
        every = len(opened.grid) / n_hits
        next_hit = self._rng.uniform(0, every)
        while True:
            counts = opened.counts()
            left = counts[TaskState.WAITING] + counts[TaskState.RUNNING]
            self._look_after()
            if not left and not self._running:
                return
            # as many as there is work for: at the end most tasks are with somebody already
            for _ in range(min(n_workers, left) - len(self._running)):
                self._start()
            ended = len(opened.grid) - left
            if ended >= next_hit and self.hits.total() < n_hits and self._hit():
                next_hit += self._rng.uniform(0, 2 * every)
            time.sleep(self._rng.uniform(0, 2 * LOOK_S))

    def _start(self) -> None:
        log = self._folder / "logs" / f"{self.exits.total() + len(self._running)}"
        environment = {"CHAOS": str(self._folder / "firsts"), "MARK": self.mark}
        with log.open("wb") as stream:
            worker = subprocess.Popen(
                [sys.executable, "-m", "jobpool", "work", str(self.pool), "--cores", "1"],
                env={**os.environ, **environment},
                stderr=stream,
            )
        self._running[worker] = log

    def _hit(self) -> bool:
        """Hit a worker that has begun a task, if there is one."""
        begun = [worker for worker, log in self._running.items() if b" task " in log.read_bytes()]
        active = [worker for worker in begun if worker.pid not in self._stopped]
        if not active:
            return False
        victim, number = self._rng.choice(active), HITS[self.hits.total() % len(HITS)]
        victim.send_signal(number)
        self.hits[number.name] += 1
        if number is signal.SIGSTOP:
            stop_s = self._rng.uniform(0, LONGEST_STOP_S)
            self._stopped[victim.pid] = time.monotonic() + stop_s
        return True

    def _look_after(self) -> None:
        """Continue those that were stopped long enough, and reap those that ended."""
        for worker in list(self._running):
            if time.monotonic() > self._stopped.get(worker.pid, float("inf")):
                del self._stopped[worker.pid]
                worker.send_signal(signal.SIGCONT)
            if worker.poll() is not None:
                del self._running[worker]
                self.exits[worker.returncode] += 1

    def complaints(self) -> list[str]:
        """Return the last line of each worker that left with an error."""
        logs = sorted((self._folder / "logs").iterdir())
        texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs]
        return [text.splitlines()[-1] for text in texts if "Traceback" in text]

    def orphans(self) -> list[str]:
        """Return the command of every process that a worker left behind, after some patience."""
        end = time.monotonic() + ORPHANS_S
        while (found := list(marked_processes(self.mark))) and time.monotonic() < end:
            time.sleep(LOOK_S)
        return found


def marked_processes(mark: str) -> Iterable[str]:
    """Yield the command of each process whose environment holds the mark."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is another user's
            if f"MARK={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()


def examine(folder: Path) -> dict[str, object]:
    """Compare records, results and attempts; every value under ``wrong`` should be zero."""
    pool = Pool(folder)
    ids = pool.grid.ids()
    results = Counter((one.task, one.fence, one.worker) for one in all_results(folder))
    attempts = list(all_attempts(folder))
    by_task: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_task[attempt.task].append(attempt)
    states: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    n_granted = n_late = 0
    for position, task in enumerate(ids):
        record = pool.record(position)
        states[record.state.name.lower()] += 1
        own = sorted(by_task.pop(task, []), key=lambda one: one.fence)
        fences = [one.fence for one in own]
        granted = max([record.fence, *fences])
        n_granted += granted
        n_late += granted > record.fence
        number = int(pool.grid.point(position)[0][1])
        is_done = record.state is TaskState.DONE
        wrong["without its result"] += (
            is_done and results[task, record.fence, worker_name(record.owner)] != 1
        )
        wrong["attempts that are not one for each claim"] += fences != list(range(1, granted + 1))
        wrong["poison that is done"] += is_done and is_poison(number)
        wrong["parked without three equal ends"] += (
            record.state is TaskState.PARKED and not ended_alike(own)
        )
        wrong["neither done nor parked"] += not is_done and record.state is not TaskState.PARKED
    wrong["attempts at no task"] += len(by_task)
    wrong["damaged attempts"] += len(damaged_attempts(folder))
    return {
        "states": dict(states),
        "claims": n_granted,
        "attempts": len(attempts),
        "causes": dict(Counter(str(attempt.cause) for attempt in attempts)),
        "found by others": sum(attempt.found_by is not None for attempt in attempts),
        "results that do not count": results.total() - states["done"],
        "late results that count": n_late,
        "wrong": {what: count for what, count in wrong.items() if count},
    }


def ended_alike(attempts: list[Attempt]) -> bool:
    """Say whether the last three ends that can be the task's fault are of one kind."""
    last = [one.cause for one in attempts if one.cause.is_poison][-3:]
    return len(last) == 3 and set(last) <= {Cause.ERROR, Cause.LOST} and len(set(last)) == 1


def main() -> int:
    parser = argparse.ArgumentParser(description="A pool under fire.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--hits", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chaos = Chaos(given.folder, given.tasks, random.Random(given.seed))
    began = time.monotonic()
    chaos.run(given.workers, given.hits)
    seconds = time.monotonic() - began
    report = {
        "seconds": round(seconds, 1),
        "hits": dict(chaos.hits),
        "workers": chaos.exits.total(),
        "exits": dict(chaos.exits),
        "complaints": chaos.complaints(),
        "orphans": chaos.orphans(),
        **examine(chaos.pool),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
