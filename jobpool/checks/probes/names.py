"""Probes of names: what is made exclusively has one maker, and a rename is never seen half done."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobpool.checks.probes.talk import Probed, Side
from jobpool.disk.files import replace_whole

ROUNDS, NAMES = 6, 25  # the sides start each round together
RENAMES = 60
_CONTENT = 512  # times eight digits: one page


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
    for number in range(ROUNDS):
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
    what = f"{ROUNDS * NAMES} names, won {score.mine} : {score.theirs}"
    if score.neither:  # GlusterFS, 2 of 12,000: harmless, for who did not win does not go on
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
        _replace(path, 0)
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


def _replace(path: Path, number: int) -> None:
    replace_whole(path, b"%08d" % number * _CONTENT)


def _replace_many(path: Path) -> None:
    for number in range(1, RENAMES + 1):
        _replace(path, number)
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
            counts[2] += len(content) != 8 * _CONTENT or content != content[:8] * _CONTENT
        if is_last:
            break
    with suppress(OSError):
        enough.unlink()
    return counts
