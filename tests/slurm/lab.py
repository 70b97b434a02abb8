"""A lab's own module: the functions that the tasks of the stories call, in real jobs."""

import resource
import time
from pathlib import Path


def fit(pipeline: str, parcels: int, target: str) -> dict[str, object]:
    """Take as many MB as there are parcels."""
    maps = bytearray(parcels << 20)
    return {"score": 1 / parcels, "held_mb": len(maps) >> 20}


def waits(number: int, until: str) -> dict[str, object]:
    """Return once the file `until` is there."""
    while not Path(until).exists():
        time.sleep(0.05)
    return {"value": number}


def takes(number: int, until: str, mb: int) -> dict[str, object]:
    """Grow to a size, half as large again a while later, then wait; the second task does not."""
    if number == 2:
        return {"value": number}
    held = []
    for size in (mb, 1.5 * mb):
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < size * 1024:
            held.append(bytearray(b"x" * (20 << 20)))
            time.sleep(0.02)
        time.sleep(2 if mb else 0)
    return waits(number, until)
