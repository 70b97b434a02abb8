"""What the probes mean for a pool: findings with the next step, and the lock it should have."""

from collections.abc import Iterator
from dataclasses import replace

from jobpool.checks.findings import Finding, note, problem
from jobpool.checks.probes.probes import FEW_FILES, LITTLE_GB
from jobpool.checks.probes.run import Report, Reports
from jobpool.disk.locks import file_system, kinds_for
from jobpool.pool import Pool

ATOMIC = ("exclusive creation", "link", "rename")


def best_of(pool: Pool, report: Report) -> str | None:
    """Return the best kind of lock that held while both sides used it, or None."""
    kinds = [*kinds_for(pool.folder), *report.locks]
    return next((kind for kind in kinds if report.locks.get(kind)), None)


def examine(pool: Pool, reports: Reports) -> Iterator[Finding]:
    """Yield what the probes found wrong.

    Parameters
    ----------
    pool : Pool
        The pool.
    reports : two Report
        Of both sides; the first speaks for both, except for the space that each sees.
    """
    report = reports[0]
    disk = file_system(pool.folder)
    if not report.locks.get(pool.info.lock):
        yield _broken_lock(pool, report, disk)
    for one in report.probes:
        if one.well is not False:
            continue
        if one.name in ATOMIC:
            what = f"{one.name} is not safe on this {disk} file system ({one.what}): stop all "
            yield problem("the file system", what + "workers, and move the pool to another one")
        elif one.name == "visits" and report.locks.get(pool.info.lock):
            yield _broken_lock(pool, report, disk, one.what)
        elif one.name == "clocks":
            what = f"{one.what}; heartbeats are judged by these stamps: ask the cluster's support "
            yield _by_size(one.value, pool, what + "to synchronize the clocks")
        elif one.name == "delay":
            what = f"{one.what}; changes are seen that much later, but nothing is lost"
            yield note("the file system", what)
    yield from _examine_room(reports)


def _broken_lock(pool: Pool, report: Report, disk: str, why: str = "") -> Finding:
    """Return the finding that the pool's lock does not hold, and what to do."""
    kind = pool.info.lock
    found = next((one.what for one in report.probes if one.name == f"lock {kind}"), "")
    what = f"{kind} does not hold on this {disk} file system ({why or found}): stop all workers, "
    best = None if why else best_of(pool, report)
    if best is None:
        return problem("pool.json", what + "and move the pool to a file system whose locks hold")
    return problem("pool.json", what + f"then use {best}, which holds", repairable=True)


def _by_size(value: float | None, pool: Pool, what: str) -> Finding:
    """Return a problem if living workers could be judged dead, else a note."""
    is_bad = value is not None and value > pool.info.lost_after_s / 4
    return (problem if is_bad else note)("the file system", what)


def _examine_room(reports: Reports) -> Iterator[Finding]:
    rooms = {
        one.what: report.host
        for report in reversed(reports)
        for one in report.probes
        if one.name == "room" and one.well is False
    }
    for what, host in rooms.items():
        advice = f"little space: {what} (seen from {host}; at least {LITTLE_GB:.0f} GB and "
        advice += f"{FEW_FILES:,} files are recommended); free some, or ask for a larger quota"
        yield note("the file system", advice)


def repair_lock(pool: Pool, reports: Reports, finding: Finding) -> Finding:
    """Give the pool the best lock that holds, and return the finding as repaired.

    No worker may live: one that goes on uses the old lock.
    """
    best = best_of(pool, reports[0])
    if best is None or not finding.repairable:
        return finding
    replace(pool.info, lock=best).write(pool.folder)
    return finding.done(f"the pool now uses {best}")
