"""Probes of locks: whether each kind holds between the two sides, by the very code workers use.

A lock holds if nothing is lost of what both sides count up under it: it must keep the other side
out, and what is read under it must be what the other side wrote last, not an old copy of this host.
"""

import os
import time
from pathlib import Path

from jobpool.checks.probes.talk import Probed, ProbeError, Side, at_most
from jobpool.disk.locks import LOCKS
from jobpool.errors import BrokenLockError, DamagedStateError
from jobpool.table.records import Record
from jobpool.table.shards import Shard, new_shard

ROUNDS, STEPS = 5, 6
INSIDE_S = 0.001  # between read and write: a lock that does not lock loses counts for sure
LIMIT_S = 45.0
VISITS_S = 0.3
N_RECORDS = 2000


def probe_lock(side: Side, kind: str) -> Probed:
    """Count up under one kind of lock from both sides, and say whether nothing was lost."""
    name, path = f"lock {kind}", side.folder / f"counter-{kind}"
    if side.is_first:
        path.write_bytes(bytes(4096))
    side.meet()
    error = ""
    for _ in range(ROUNDS):
        if not error:
            error = _count_up(path, kind)
        error = error or str(side.meet(error))
        if error:
            break
    if error:
        return Probed(name=name, well=False, what=f"not offered here: {error}")
    with at_most(LIMIT_S), LOCKS[kind](path, False) as held:
        counted = int.from_bytes(os.pread(held.descriptor, 8, 0), "little")
    counted = max(counted, int(side.meet(counted)))
    expected = 2 * ROUNDS * STEPS
    if counted == expected:
        return Probed(name=name, well=True, what=f"{expected} counts, none lost")
    return Probed(name=name, well=False, what=f"{expected - counted} of {expected} counts lost")


def _count_up(path: Path, kind: str) -> str:
    """Count some steps; return why it could not be done."""
    try:
        with at_most(LIMIT_S):
            for _ in range(STEPS):
                with LOCKS[kind](path, False) as held:
                    counted = int.from_bytes(os.pread(held.descriptor, 8, 0), "little")
                    time.sleep(INSIDE_S)
                    os.pwrite(held.descriptor, (counted + 1).to_bytes(8, "little"), 0)
                    held.written = True
    except (OSError, ProbeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def probe_visits(side: Side, kind: str) -> Probed:
    """Visit one state file from both sides for a fixed time, as fast as it goes."""
    path = side.folder / "state" / "00"
    if side.is_first:
        path.parent.mkdir()
        path.write_bytes(new_shard(0, [Record()] * N_RECORDS))
    side.meet()
    shard = Shard(path=path, first=0, size=N_RECORDS, lock=LOCKS[kind], writer=1 + side.number)
    n_visits, trouble = 0, ""
    end = time.monotonic() + VISITS_S
    try:
        with at_most(LIMIT_S):
            while time.monotonic() < end:
                _visit(shard, n_visits % N_RECORDS)
                n_visits += 1
    except (BrokenLockError, DamagedStateError) as error:
        trouble = error.file if isinstance(error, BrokenLockError) else error.what
    others, other_trouble = side.meet([n_visits, trouble])
    if trouble or other_trouble:
        what = f"the state file was changed by both sides at once under {kind}"
        return Probed(name="visits", well=False, what=what)
    total = n_visits + int(others)
    counted = sum(shard.record(slot).fence for slot in range(N_RECORDS)) if side.is_first else 0
    lost = total - int(side.given_by(0, counted))
    if lost:
        return Probed(name="visits", well=False, what=f"{lost} of {total} visits lost under {kind}")
    rate = total / VISITS_S
    what = f"{rate:,.0f} a second by both with {kind}"
    return Probed(name="visits", well=True, what=what, value=round(rate))


def _visit(shard: Shard, slot: int) -> None:
    with shard.visit() as visit:
        record = visit.record(slot)
        visit.put(slot, record._replace(fence=record.fence + 1))
