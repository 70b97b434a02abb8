"""Probes of times: when one side sees what the other wrote, and whose clock stamps files."""

import time
from collections.abc import Callable
from contextlib import suppress

from jobpool.checks.probes.talk import Probed, Side
from jobpool.disk.files import server_time

LIMIT_S = 20.0  # a longer wait is reported as such
POLL_S = 0.005
PINGS = 6
SLOW_S = 20.0  # as long as a heartbeat: status and deaths are seen that much later


def probe_delay(side: Side) -> Probed:
    """Measure how long after a write and close the other side still sees the old state."""
    path, new = side.folder / "changing", side.folder / "new-name"
    if side.is_first:
        path.write_bytes(b"old")
    side.meet()
    with suppress(OSError):  # so that this host has an old copy to believe in
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
    longest = max(LIMIT_S if after is None else after for after in seen.values())
    what = f"the other side sees a new {', '.join(words)} after close"
    return Probed(name="delay", well=longest < SLOW_S, what=what, value=round(longest, 3))


def _when(looks: dict[str, Callable[[], bool]], began: float) -> dict[str, float | None]:
    """Return after how many seconds each look saw what was written, or None."""
    seen: dict[str, float | None] = dict.fromkeys(looks)
    while None in seen.values() and time.monotonic() < began + LIMIT_S:
        for word, look in looks.items():
            if seen[word] is None:
                with suppress(OSError):
                    if look():
                        seen[word] = round(time.monotonic() - began, 3)
        time.sleep(POLL_S)
    return seen


def _seconds(after: float | None) -> str:
    return f"not within {LIMIT_S:.0f} s" if after is None else f"{after:.2f} s"


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
