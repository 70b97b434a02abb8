"""Filling a ROI cache: by processes of this machine, or by SLURM jobs."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import typer

from jobpool.errors import Fault

if TYPE_CHECKING:
    from jobpool.cache.roi.build import Progress
    from jobpool.cache.roi.cache import RoiCache
    from jobpool.cache.roi.maintenance import CacheInfo
    from jobpool.experiment.config import Pass
    from jobpool.pool import Pool

_EVERY_S = 2.0  # between lines of progress


def fill_here(found: "RoiCache", pool: Path, workers: int) -> None:
    """Fill a cache by processes of this machine, and say what is there then."""
    from jobpool.units import count, file_size

    try:
        with _signals_as_ctrl_c(), _helpers(pool, workers - 1):
            report = found.fill(_Teller())
    except KeyboardInterrupt:
        print("stopped: what was computed is kept", file=sys.stderr)
        raise typer.Exit(Fault.TASK) from None
    what = found.info()
    n_packed = sum(one.state == "packed" for one in what.parcellations)
    print(
        f"{n_packed:,} of {len(what.parcellations):,} parcellations are there: "
        f"{file_size(what.n_bytes)} in {count(what.n_files, 'file')}"
    )
    for name, problem in report.problems.items():
        print(f"{name}: {problem}", file=sys.stderr)
    if report.problems:
        raise typer.Exit(Fault.INPUT)


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _helpers(pool: Path, n: int) -> Iterator[None]:
    """Run other processes that fill the same cache; they end when it is full."""
    command = [sys.executable, "-P", "-m", "jobpool", "cache", "fill", str(pool)]
    with TemporaryFile() as log:
        helpers = [
            # a group of its own: Ctrl-C reaches this process, which then asks them to stop
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
            for _ in range(n)
        ]
        try:
            yield
        except BaseException:
            for one in helpers:
                one.terminate()
            raise
        finally:
            codes = [one.wait() for one in helpers]
        if any(codes):
            print(f"a process failed: {_last_line(log)}", file=sys.stderr)


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else "it wrote nothing"


class _Teller:
    """Prints how far a fill is, from time to time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._said_at, self._said = 0.0, ""
        self._spans_before: int | None = None

    def __call__(self, progress: "Progress") -> None:
        now = time.monotonic()
        if self._spans_before is None:
            self._spans_before = progress.spans
        is_last = progress.packed == progress.n_parcellations
        if now - self._said_at < _EVERY_S and not is_last:
            return
        line = self._line(progress, now - self._begun)
        if line != self._said:
            print(line, file=sys.stderr, flush=True)
        self._said_at, self._said = now, line

    def _line(self, progress: "Progress", seconds: float) -> str:
        from jobpool.units import duration

        if progress.spans == progress.n_spans:
            return f"packed {progress.packed:,} of {progress.n_parcellations:,}"
        line = f"{progress.spans:,} of {progress.n_spans:,} spans"
        done = progress.spans - (self._spans_before or 0)
        if not done:
            return line
        rate = done * progress.n_participants / progress.n_spans / seconds
        left_s = (progress.n_spans - progress.spans) * seconds / done
        return f"{line}, {rate:,.3g} participants/s, about {duration(left_s)} left"


def submit_fill(
    pool: "Pool", found: "CacheInfo", jobs: int, pass_name: str | None, *, dry_run: bool
) -> None:
    """Submit an array of jobs that fill a cache, unless it is full."""
    from jobpool.cli.plan import say
    from jobpool.plan.submission import Sending, max_array_size_here, send_order
    from jobpool.scheduler.base import Order, fill_name, job_prefix
    from jobpool.scheduler.detect import worker_program

    if all(one.state == "packed" for one in found.parcellations):
        print("everything is there; nothing was submitted", file=sys.stderr)
        return
    order = Order(
        size=_resources(pool, pass_name),
        jobs=min(jobs, found.n_spans),
        pool=pool.folder.resolve(),
        name=fill_name(job_prefix(pool.folder, pool.info.name)),
        program=worker_program(),
        verb=("cache", "fill"),
    )
    sending = Sending(show=print, say=say, dry_run=dry_run)
    send_order(pool, order, max_array_size_here(sending), sending)


def _resources(pool: "Pool", name: str | None) -> "Pass":
    """Return a pass without its selection."""
    from jobpool.experiment.config import Pass
    from jobpool.plan.submission import find_pass

    if name is None:
        return Pass(name="cache", cores=1, memory_gb=4, walltime_s=3 * 3600)
    return replace(find_pass(pool, name), only=(), skip=())
