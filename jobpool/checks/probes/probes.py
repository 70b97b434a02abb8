"""All that is probed of a file system, by the very code that workers use.

    room                  space, and how many files may still be made
    exclusive creation    a name has one maker
    link                  the same, as whole files get their names
    rename                a file that is replaced is never missing or half done for a reader
    lock KIND             the other side is kept out, and what it wrote last is read
    delay, clocks         when one side sees what the other wrote, and whose clock stamps files
    visits                the state table itself, as fast as it goes

Two sides run each probe but the first at the same time; see `jobpool.checks.probes.talk`.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobpool.checks.probes.talk import ProbeError, Side
from jobpool.disk.files import replace_whole, server_time
from jobpool.disk.locks import LOCKS
from jobpool.errors import BrokenLockError, DamagedStateError
from jobpool.table.records import Record
from jobpool.table.shards import Shard, new_shard

LITTLE_GB = 5.0
FEW_FILES = 20_000  # some thousand workers make four files each
GB = 1e9
NAME_ROUNDS, NAMES = 6, 25  # the sides start each round together
RENAMES = 60
_REPEATS = 512  # of eight digits: one page
LOCK_ROUNDS, STEPS = 5, 6
INSIDE_S = 0.001  # between read and write: a lock that does not lock loses counts for sure
LOCK_LIMIT_S = 45.0
TRANSACTIONS_S = 0.3
N_RECORDS = 2000
SEEN_LIMIT_S = 20.0  # a longer wait is reported as such
SEEN_POLL_S = 0.005
PINGS = 6
SLOW_S = 20.0  # as long as a heartbeat: status and deaths are seen that much later


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What one probe found."""

    name: str
    well: bool | None  # whether the promise holds; None: no promise, or it could not be asked
    what: str  # one short line for people
    value: float | None = None  # the figure, in the unit that `what` names


Probe = Callable[[Side], Probed]


def probes_of(lock: str) -> Mapping[str, Probe]:
    """Return all probes by name, in the order in which both sides run them."""
    probes: dict[str, Probe] = {
        "exclusive creation": probe_creation,
        "link": probe_link,
        "rename": probe_rename,
    }
    probes |= {f"lock {kind}": partial(probe_lock, kind=kind) for kind in LOCKS}
    return probes | {
        "delay": probe_delay,
        "clocks": probe_clocks,
        "visits": partial(probe_transactions, kind=lock),
    }


def probe_room(folder: Path) -> Probed:
    """Say how much space and how many inodes are left, as far as the file system tells.

    On file systems with quotas this is often the quota of the folder, and sometimes that of all.
    """
    found = os.statvfs(folder)
    space_gb = found.f_bavail * found.f_frsize / GB
    what = f"{space_gb:,.0f} GB" if space_gb >= 10 else f"{space_gb:.1f} GB"
    has_count = found.f_files > 0  # some keep no count
    what += f" and {found.f_favail:,} files left" if has_count else " left, any number of files"
    enough = space_gb >= LITTLE_GB and (not has_count or found.f_favail >= FEW_FILES)
    return Probed(name="room", well=enough, what=what, value=round(space_gb, 1))


@dataclass(slots=True, kw_only=True)
class _Score:
    """How many names each side made, and how many were made by both or by neither."""

    mine: int = 0
    theirs: int = 0
    both: int = 0
    neither: int = 0


def _race(side: Side, stem: str, make: Callable[[Path], None]) -> _Score:
    """Let both sides make the same names."""
    score = _Score()
    for number in range(NAME_ROUNDS):
        side.meet()
        wins = [_try(make, side.folder / f"{stem}-{number}-{name}") for name in range(NAMES)]
        others = side.meet(wins)
        score.mine, score.theirs = score.mine + sum(wins), score.theirs + sum(others)
        score.both += sum(a + b == 2 for a, b in zip(wins, others, strict=True))
        score.neither += sum(a + b == 0 for a, b in zip(wins, others, strict=True))
    return score


def _try(make: Callable[[Path], None], path: Path) -> int:
    try:
        make(path)
    except FileExistsError:
        return 0
    return 1


def _judge(name: str, score: _Score) -> Probed:
    what = f"{NAME_ROUNDS * NAMES} names, won {score.mine} : {score.theirs}"
    if score.neither:  # GlusterFS, 2 of 12,000: harmless, as no side takes such a name for its own
        what += f", {score.neither} by neither"
    if score.both:
        what += f", {score.both} by both"
    return Probed(name=name, well=not score.both, what=what)


def probe_creation(side: Side) -> Probed:
    """Race for names by exclusive creation."""

    def make(path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))

    return _judge("exclusive creation", _race(side, "made", make))


def probe_link(side: Side) -> Probed:
    """Race for names by link, as whole files get theirs."""

    def make(path: Path) -> None:
        # a file of its own for each name, as in use: GlusterFS allows a file 100 names
        own = path.with_name(f"{path.name}-by-{side.number}")
        own.touch()
        os.link(own, path)

    return _judge("link", _race(side, "linked", make))


def probe_rename(side: Side) -> Probed:
    """Replace a file by rename again and again on one side while the other reads it."""
    path = side.folder / "renamed"
    if side.is_first:
        _put(path, 0)
    side.meet()
    counts = None
    if side.is_first:
        _replace_many(path)
    else:
        counts = _read_many(path)
    n_read, n_missing, n_mixed, n_stale = side.given_by(1, counts)
    what = f"{n_read} reads during {RENAMES} renames"
    if n_missing or n_mixed:
        what += f": {n_missing} found no file, {n_mixed} a mixture"
    elif n_stale:
        what += f", {n_stale} had to be repeated (stale handle)"
    return Probed(name="rename", well=not n_missing and not n_mixed, what=what)


def _put(path: Path, number: int) -> None:
    replace_whole(path, b"%08d" % number * _REPEATS)


def _replace_many(path: Path) -> None:
    for number in range(1, RENAMES + 1):
        _put(path, number)
    path.with_name("renamed-enough").touch()


def _read_many(path: Path) -> list[int]:
    """Return how many reads there were, and how many found no file, a mixture, a stale handle."""
    counts, end = [0, 0, 0, 0], time.monotonic() + 20
    enough = path.with_name("renamed-enough")
    while time.monotonic() < end:
        is_last = enough.exists()
        counts[0] += 1
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            counts[1] += 1
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            counts[3] += 1
        else:
            counts[2] += len(content) != 8 * _REPEATS or content != content[:8] * _REPEATS
        if is_last:
            break
    with suppress(OSError):
        enough.unlink()
    return counts


def probe_lock(side: Side, kind: str) -> Probed:
    """Count up under one kind of lock from both sides, and say whether nothing was lost."""
    name, path = f"lock {kind}", side.folder / f"counter-{kind}"
    if side.is_first:
        path.write_bytes(bytes(4096))
    side.meet()
    error = ""
    for _ in range(LOCK_ROUNDS):
        if not error:
            error = _count_up(path, kind)
        error = error or str(side.meet(error))
        if error:
            break
    if error:
        return Probed(name=name, well=False, what=f"not available here: {error}")
    with at_most(LOCK_LIMIT_S), LOCKS[kind](path, False) as held:
        counted = int.from_bytes(os.pread(held.descriptor, 8, 0), "little")
    counted = max(counted, int(side.meet(counted)))
    expected = 2 * LOCK_ROUNDS * STEPS
    if counted == expected:
        return Probed(name=name, well=True, what=f"{expected} counts, none lost")
    return Probed(name=name, well=False, what=f"{expected - counted} of {expected} counts lost")


def _count_up(path: Path, kind: str) -> str:
    """Count some steps; return why it could not be done."""
    try:
        with at_most(LOCK_LIMIT_S):
            for _ in range(STEPS):
                with LOCKS[kind](path, False) as held:
                    counted = int.from_bytes(os.pread(held.descriptor, 8, 0), "little")
                    time.sleep(INSIDE_S)
                    os.pwrite(held.descriptor, (counted + 1).to_bytes(8, "little"), 0)
                    held.written = True
    except (OSError, ProbeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def probe_transactions(side: Side, kind: str) -> Probed:
    """Change records of one state file from both sides for a fixed time, as fast as it goes."""
    path = side.folder / "state" / "00"
    if side.is_first:
        path.parent.mkdir()
        path.write_bytes(new_shard(0, [Record()] * N_RECORDS))
    side.meet()
    shard = Shard(path=path, first=0, size=N_RECORDS, lock=LOCKS[kind], writer=1 + side.number)
    n_transactions, trouble = 0, ""
    end = time.monotonic() + TRANSACTIONS_S
    try:
        with at_most(LOCK_LIMIT_S):
            while time.monotonic() < end:
                _transaction(shard, n_transactions % N_RECORDS)
                n_transactions += 1
    except (BrokenLockError, DamagedStateError) as error:
        trouble = error.file if isinstance(error, BrokenLockError) else error.what
    others, other_trouble = side.meet([n_transactions, trouble])
    if trouble or other_trouble:
        what = f"the state file was changed by both sides at once under {kind}"
        return Probed(name="visits", well=False, what=what)
    total = n_transactions + int(others)
    counted = sum(shard.record(slot).fence for slot in range(N_RECORDS)) if side.is_first else 0
    lost = total - int(side.given_by(0, counted))
    if lost:
        return Probed(
            name="visits", well=False, what=f"{lost} of {total} transactions lost under {kind}"
        )
    rate = total / TRANSACTIONS_S
    what = f"{rate:,.0f} a second by both with {kind}"
    return Probed(name="visits", well=True, what=what, value=round(rate))


def _transaction(shard: Shard, slot: int) -> None:
    with shard.transaction() as transaction:
        record = transaction.record(slot)
        transaction.put(slot, record._replace(fence=record.fence + 1))


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, such as a lock that is never given; main thread only.

    Raises
    ------
    ProbeError
        When the time is over.
    """

    def interrupt(*_: object) -> None:
        raise ProbeError(f"no answer within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def probe_delay(side: Side) -> Probed:
    """Measure how long after a write and close the other side still sees the old state."""
    path, new = side.folder / "changing", side.folder / "new-name"
    if side.is_first:
        path.write_bytes(b"old")
    side.meet()
    with suppress(OSError):  # so that this host caches the old state
        path.read_bytes()
        path.stat()
        new.stat()
    side.meet()
    if side.is_first:
        path.write_bytes(b"new and longer")
        new.touch()
    side.meet()
    began = time.monotonic()
    looks: dict[str, Callable[[], bool]] = {
        "size": lambda: path.stat().st_size == 14,
        "content": lambda: path.read_bytes() == b"new and longer",
        "name": new.exists,
    }
    seen = side.given_by(1, None if side.is_first else _when(looks, began))
    words = [f"{word} {_seconds(after)}" for word, after in seen.items()]
    longest = max(SEEN_LIMIT_S if after is None else after for after in seen.values())
    what = f"the other side sees a new {', '.join(words)} after close"
    return Probed(name="delay", well=longest < SLOW_S, what=what, value=round(longest, 3))


def _when(looks: dict[str, Callable[[], bool]], began: float) -> dict[str, float | None]:
    """Return after how many seconds each look saw what was written, or None."""
    seen: dict[str, float | None] = dict.fromkeys(looks)
    while None in seen.values() and time.monotonic() < began + SEEN_LIMIT_S:
        for word, look in looks.items():
            if seen[word] is None:
                with suppress(OSError):
                    if look():
                        seen[word] = round(time.monotonic() - began, 3)
        time.sleep(SEEN_POLL_S)
    return seen


def _seconds(after: float | None) -> str:
    return f"not within {SEEN_LIMIT_S:.0f} s" if after is None else f"{after:.2f} s"


def probe_clocks(side: Side) -> Probed:
    """Compare this host's clock with the stamps of files, and the stamps of both sides."""
    own = server_time(side.folder) - time.time()
    pings = [_ping(side) for _ in range(PINGS)]
    width, difference = side.given_by(0, min(pings))
    other = float(side.meet(own))
    what = f"stamps of the two sides differ by {difference:+.2f} s (to {width / 2:.2f} s); "
    what += f"clocks are {_off(own)} and {_off(other)} off the stamps"
    surely = max(abs(difference) - width / 2, 0.0)
    return Probed(name="clocks", well=surely < 1.0, what=what, value=round(surely, 3))


def _off(difference: float) -> str:
    return f"{abs(difference):.2f} s"


def _ping(side: Side) -> tuple[float, float]:
    """Stamp a file here, then there, then here; return how far apart, and the stamps' difference.

    If one clock stamps all files, the stamp made there lies between the two made here.
    """
    before = server_time(side.folder)
    side.meet()
    there = float(side.given_by(1, None if side.is_first else server_time(side.folder)))
    after = server_time(side.folder)
    return after - before, there - (before + after) / 2
