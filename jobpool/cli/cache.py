"""``jobpool cache``: fill, inspect, verify and prune a pool's ROI values and fits."""

import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Annotated

import typer

from jobpool.cli.options import PoolArgument, Trust, open_to_change, say, size, told_start
from jobpool.errors import Fault, quoted
from jobpool.units import count, duration, file_size, table

if TYPE_CHECKING:
    from jobpool.cache.roi.build import Progress
    from jobpool.cache.roi.cache import RoiCache
    from jobpool.cache.roi.maintenance import CacheInfo, ParcellationInfo, Removed
    from jobpool.experiment.config import Pass
    from jobpool.plan.sending import Sending
    from jobpool.pool import Pool

_EVERY_S = 2.0  # between lines of progress
cache = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Fill, inspect, verify and prune the cache of a pool: ROI values, and fits.

    Workers fill it as they go. Fill it beforehand to have all ROI values at once.

    \b
    jobpool cache fill POOL --workers 2
    jobpool cache fill POOL --submit --jobs 20
    jobpool cache info POOL
    jobpool cache verify POOL
    jobpool cache prune POOL --limit 20GB
    """,
)


@cache.command()
def fill(
    pool: PoolArgument,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    submit: Annotated[
        bool, typer.Option("--submit", help="Spread it over SLURM jobs instead.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="SLURM jobs, with --submit.")] = 1,
    pass_name: Annotated[
        str | None,
        typer.Option(
            "--pass",
            metavar="NAME",
            help="Submit with the resources of this pass; by default 1 core, 4 GB, 3 h.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --submit: print the sbatch lines only.")
    ] = False,
    trust: Trust = None,
) -> None:
    """Compute all ROI values that are missing, reading each map once.

    Any number of processes share the work, running workers included. What was computed is kept
    when it is stopped. Exit code 0 when everything is there.

    \b
    jobpool cache fill POOL --workers 2
    jobpool cache fill POOL --submit --jobs 20
    jobpool cache fill POOL --submit --jobs 20 --pass first --dry-run
    """
    if not submit and (pass_name is not None or dry_run or jobs != 1):
        raise typer.BadParameter("--jobs, --pass and --dry-run need --submit")
    if submit:
        opened, found = _open(pool, trust)
        from jobpool.plan.sending import Sending

        sending = Sending(show=print, say=say, trust=tuple(trust or ()), dry_run=dry_run)
        _submit_fill(opened, found.info(), jobs, pass_name, sending)
        return
    with told_start(pool) as start:
        _, found = _open(pool, trust)
        start.succeeded()
        _fill_here(found, pool, workers, trust or ())


def _fill_here(found: "RoiCache", pool: Path, workers: int, trust: Collection[str]) -> None:
    """Fill a cache by processes of this machine, and say what is there then."""
    try:
        with _signals_as_ctrl_c(), _helpers(pool, workers - 1, trust):
            report = found.fill(FillTeller())
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
    numbers = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _helpers(pool: Path, n: int, trust: Collection[str]) -> Iterator[None]:
    """Run other processes that fill the same cache; they end when it is full."""
    command = [sys.executable, "-P", "-m", "jobpool", "cache", "fill", str(pool)]
    command += [word for user in trust for word in ("--trust", user)]
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


class FillTeller:
    """Prints how far a fill is, from time to time."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._said_at, self._said = 0.0, ""
        self._spans_before: int | None = None

    def __call__(self, progress: "Progress") -> None:
        """Print the progress, if it is time."""
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
        if progress.spans == progress.n_spans:
            return f"packed {progress.packed:,} of {progress.n_parcellations:,}"
        line = f"{progress.spans:,} of {progress.n_spans:,} spans"
        done = progress.spans - (self._spans_before or 0)
        if not done:
            return line
        rate = done * progress.n_participants / progress.n_spans / seconds
        left_s = (progress.n_spans - progress.spans) * seconds / done
        return f"{line}, {rate:,.3g} participants/s, about {duration(left_s)} left"


def _submit_fill(
    pool: "Pool", found: "CacheInfo", jobs: int, pass_name: str | None, sending: "Sending"
) -> None:
    """Submit an array of jobs that fill a cache, unless it is full."""
    from jobpool.plan.sending import send_order, trust_options
    from jobpool.plan.submission import max_array_size_here
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
        arguments=trust_options(sending.trust),
    )
    send_order(pool, order, max_array_size_here(sending), sending)


def _resources(pool: "Pool", name: str | None) -> "Pass":
    """Return a pass without its selection."""
    from jobpool.experiment.config import Pass
    from jobpool.plan.submission import find_pass

    if name is None:
        return Pass(name="cache", cores=1, memory_gb=4, walltime_s=3 * 3600)
    return replace(find_pass(pool, name), only=(), skip=())


@cache.command()
def info(pool: PoolArgument, trust: Trust = None) -> None:
    """Show the state of each parcellation, the number of fits, and the size of all files.

    \b
    jobpool cache info POOL
    """
    from jobpool.cache.fits.maintenance import look_at_fits
    from jobpool.cache.roi.maintenance import COLUMNS

    _, opened = _open(pool, trust)
    found = opened.info()
    print(f"{count(found.n_participants, 'participant')} in {count(found.n_spans, 'span')}")
    print()
    rows = [_row(one, found.n_spans) for one in found.parcellations]
    for line in table(COLUMNS, rows):
        print(line)
    print()
    print(f"{file_size(found.n_bytes)} in {count(found.n_files, 'file')}")
    if found.n_unused:
        what = f"{file_size(found.unused_bytes)} of that for nothing in this study"
        print(f"{what}; to remove it: jobpool cache prune {quoted(pool)}")
    fits = look_at_fits(pool / "cache")
    if fits.n_buckets:
        where = f"{file_size(fits.n_bytes)} in {count(fits.n_buckets, 'file')}"
        print(f"{count(fits.n_fits, 'fit')}: {where}")
    for one in found.parcellations:
        if one.problem:
            print(f"{one.name}: {one.problem}", file=sys.stderr)


def _row(one: "ParcellationInfo", n_spans: int) -> list[str]:
    state = {
        "packed": "packed",
        "part": f"{one.n_spans} of {n_spans} spans",
        "none": "cannot be used" if one.problem else "none",
    }[one.state]
    size = file_size(one.n_bytes) if one.n_bytes else ""
    return [one.name, one.kind, f"{one.n_parcels:,}" if one.kind else "", size, state]


@cache.command()
def verify(
    pool: PoolArgument,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove damaged files: they are computed again.")
    ] = False,
    contents: Annotated[
        bool,
        typer.Option(
            "--contents", help="Read all maps and parcellations again, and compare their values."
        ),
    ] = False,
    trust: Trust = None,
) -> None:
    """Read all values and fits, and compare them with their checksums.

    Workers check all that they read, too, and never use damaged values. With --contents the values
    are computed again: it finds files of the same size and time that hold something else. Exit
    code 0 if all is well, else 10.

    \b
    jobpool cache verify POOL
    jobpool cache verify POOL --repair
    jobpool cache verify POOL --contents
    """
    from jobpool.cache.fits.maintenance import find_damaged_fits

    opened, found = _open(pool, trust)
    damage = found.verify(repair=repair)
    damage += find_damaged_fits(pool / "cache", opened.info.lock, repair=repair)
    for one in damage:
        part = f": {one.what}" if one.what else ""
        print(f"damaged: {one.path}{part}{'; removed' if one.removed else ''}")
    n_left = len({one.path for one in damage if not one.removed})
    is_changed = contents and _tell_changed(found)
    if n_left or not is_changed:
        print(f"{count(n_left, 'damaged file')} left" if n_left else "all is well")
    if n_left or is_changed:
        raise typer.Exit(Fault.POOL)


def _tell_changed(cache: "RoiCache") -> bool:
    """Print which files hold something else than the values made from them; say if any does."""
    from jobpool.errors import listing

    found = cache.changed(FillTeller())
    for problem in found.problems:
        print(f"changed: {problem}")
    if found.maps:
        names = listing((cache.participants[who] for who in found.maps), most=20)
        print(f"changed: maps of {count(len(found.maps), 'participant')}: {names}")
    any_changed = bool(found.maps or found.problems)
    if any_changed:
        # values, fits and checkpoints have keys of sizes and times: old and new would be mixed
        print("the pool's values were made from other contents; restore them, or make a new pool")
    else:
        print(f"computed {count(found.n_compared, 'packed file')} again: the same")
    return any_changed


@cache.command()
def prune(
    pool: PoolArgument,
    limit: Annotated[
        int | None,
        typer.Option(
            parser=size,
            metavar="SIZE",
            help="Remove also what is in use until the rest is no larger than this, such as 20GB: "
            "first the values not used for longest, then the fits, and the "
            "predictions with them. Stop the workers before.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, remove nothing.")
    ] = False,
    trust: Trust = None,
) -> None:
    """Remove what nothing uses, and what killed processes left.

    In use are the values of every parcellation of the experiment, for the maps as they are now,
    and all fits.

    \b
    jobpool cache prune POOL --dry-run
    jobpool cache prune POOL
    jobpool cache prune POOL --limit 20GB
    """
    from jobpool.cache.fits.maintenance import fits_bytes, prune_fits

    opened, found = _open(pool, trust)
    folder, lock = pool / "cache", opened.info.lock
    # values are made again from the maps in minutes, fits in core-years: values go first
    for_values = None if limit is None else max(0, limit - fits_bytes(folder))
    removed = found.prune(for_values, dry_run=dry_run)
    removed += prune_fits(folder, lock, limit, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    reasons: dict[str, list[Removed]] = {}
    for one in removed:
        reasons.setdefault(one.why, []).append(one)
    for why, files in reasons.items():
        size = file_size(sum(one.n_bytes for one in files))
        print(f"{verb} {count(len(files), 'file')}, {size}: {why}")
    if not removed:
        print("nothing to remove")


def _open(folder: Path, trust: Collection[str] | None) -> "tuple[Pool, RoiCache]":
    """Return a pool and its ROI cache."""
    from jobpool.errors import RequestError
    from jobpool.runners import runner_of

    folder = folder.absolute()
    pool = open_to_change(folder)
    runner = runner_of(pool, trust or ())
    make = getattr(runner, "roi_cache", None)
    if make is None:
        what = f"its runner, {pool.info.runner}, has no ROI cache; only evaluate has one"
        raise RequestError(folder, what)
    found: RoiCache = make(folder / "cache")
    return pool, found
