"""A lock on a network disk, shared by two hosts: by the kernel's queue, and by looking at it.

    python -m benchmarks.fairness [--workers 3] [--seconds 10] [--rtt-ms 0.3 0.6] [--notify]

Linux's NFS client hands a lock on within its host: who waits there is woken by the release, before
the server has heard of it. Who was refused by the server asks again after 1 s, then 2, 4, up to
30 s; with ``--notify`` (NFS 4.1) the server wakes it. The model does the same with real locks of
this machine: one for each host, one for the server, and a sleep for each way to the server and
back. Each worker is a process that runs tasks of no length: it takes the lock, reads and writes
under it, releases it, and writes its result. The table gives the tasks of each host, the larger to
the smaller, tasks a second, and the ratio to the kernel's queue.
"""

import argparse
import fcntl
import mmap
import os
import random
import signal
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import say, table
from jobpool.disk.locks import Polling

HEADER = ("wait", "tasks by host", "larger : smaller", "tasks/s", "ratio", "asked/s")
UNDER_LOCK = 6  # ways to the server and back: opens, reads, writes, flushes
BESIDE = 8  # the same of a result and an attempt, each written and flushed
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
COUNT = struct.Struct("<qq")  # tasks, requests to the server


@dataclass
class Host:
    """NFS's lock as one process of a host has it."""

    folder: Path
    name: str
    rtt_s: float
    notify: bool
    releases: mmap.mmap  # how often the server released the lock
    asked: int = 0
    _local: int = field(default=-1)
    _server: int = field(default=-1)

    def __post_init__(self) -> None:
        self._local = os.open(self.folder / f"host-{self.name}", os.O_RDWR | os.O_CREAT)
        self._server = os.open(self.folder / "server", os.O_RDWR | os.O_CREAT)

    def call(self, _descriptor: int, operation: int) -> None:
        """Do what `fcntl.flock` does."""
        if operation == fcntl.LOCK_UN:
            self._release()
        elif operation & fcntl.LOCK_NB:
            fcntl.flock(self._local, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no word to the server
            if not self._ask():
                fcntl.flock(self._local, fcntl.LOCK_UN)
                raise BlockingIOError
        else:
            self._wait()

    def _wait(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            fcntl.flock(self._local, fcntl.LOCK_EX)  # wait for the others of this host,
            fcntl.flock(self._local, fcntl.LOCK_UN)  # but keep nobody from asking
            seen = self.releases[:8]
            if self._ask():
                fcntl.flock(self._local, fcntl.LOCK_EX)
                return
            until = time.monotonic() + retry_s
            retry_s = min(2 * retry_s, LAST_RETRY_S)
            while time.monotonic() < until:
                if self.notify and self.releases[:8] != seen:
                    time.sleep(self.rtt_s / 2)  # the server's call
                    break
                time.sleep(0.0002 if self.notify else min(retry_s, 0.05))

    def _ask(self) -> bool:
        self.asked += 1
        time.sleep(self.rtt_s / 2)
        taken = True
        try:
            fcntl.flock(self._server, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = False
        time.sleep(self.rtt_s / 2)
        return taken

    def _release(self) -> None:
        fcntl.flock(self._local, fcntl.LOCK_UN)  # first: the others of this host begin to ask
        time.sleep(self.rtt_s / 2)
        n_releases = int.from_bytes(self.releases[:8], "little") + 1
        fcntl.flock(self._server, fcntl.LOCK_UN)
        self.releases[:8] = n_releases.to_bytes(8, "little")
        time.sleep(self.rtt_s / 2)


def run_tasks(host: Host, call: Callable[[int, int], object], counts: mmap.mmap, at: int) -> None:
    """Run tasks of no length until this process is stopped."""
    rng, n_tasks = random.Random(os.getpid()), 0
    while True:
        call(0, fcntl.LOCK_EX)
        time.sleep(UNDER_LOCK * host.rtt_s)
        call(0, fcntl.LOCK_UN)
        n_tasks += 1
        COUNT.pack_into(counts, COUNT.size * at, n_tasks, host.asked)
        time.sleep(BESIDE * host.rtt_s * (0.5 + rng.random()))


def measure(options: argparse.Namespace, *, polls: bool) -> list[tuple[int, int]]:
    """Return tasks, and requests for the lock, of each host."""
    n_workers = options.workers
    counts = mmap.mmap(-1, COUNT.size * 2 * n_workers)
    releases = mmap.mmap(-1, 8)
    children = []
    with tempfile.TemporaryDirectory() as folder:
        for at in range(2 * n_workers):
            child = os.fork()
            if child == 0:
                rtt_s = options.rtt_ms[at % 2] / 1000
                host = Host(Path(folder), "ab"[at % 2], rtt_s, options.notify, releases)
                with suppress(BaseException):
                    run_tasks(host, Polling(host.call) if polls else host.call, counts, at)
                os._exit(1)
            children.append(child)
        time.sleep(options.seconds)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    found = [COUNT.unpack_from(counts, COUNT.size * at) for at in range(2 * n_workers)]
    return [
        (sum(t for t, _ in found[host::2]), sum(a for _, a in found[host::2])) for host in (0, 1)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="How fairly two hosts share a lock.")
    parser.add_argument("--workers", type=int, default=3, help="of each host")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rtt-ms", type=float, nargs=2, default=(0.3, 0.6), help="of each host")
    parser.add_argument("--notify", action="store_true", help="the server wakes who waits")
    options = parser.parse_args()
    rows, usual = [], 0.0
    for name, polls in (("the kernel's queue", False), ("looking", True)):
        (a, asked_a), (b, asked_b) = measure(options, polls=polls)
        rate = (a + b) / options.seconds
        usual = usual or rate
        share = f"{max(a, b) / max(min(a, b), 1):.1f} : 1"
        asked = f"{(asked_a + asked_b) / options.seconds:,.0f}"
        rows.append([name, f"{a:,} : {b:,}", share, f"{rate:,.0f}", f"{rate / usual:.2f}", asked])
    say(table(HEADER, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
