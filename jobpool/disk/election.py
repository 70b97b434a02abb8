"""Turns: work that one process of the whole pool does, once in a while, for all of them.

    turns/NAME-NUMBER    made by the process whose turn period NUMBER is

A turn rests on exclusive creation alone, which every file system known to us keeps atomic. Nobody
holds anything: whoever dies in a turn loses it, and the next period has another one.
"""

import os
from contextlib import suppress
from pathlib import Path

FOLDER = "turns"


def take_turn(pool: Path, name: str, period_s: float, server_time: float) -> bool:
    """Say whether this process is the one to do something in the present period.

    Parameters
    ----------
    pool : Path
        The pool's folder.
    name : str
        What is to be done.
    period_s : float
        Seconds between two turns.
    server_time : float
        The file server's clock, in seconds since the epoch: the same for all hosts.

    Returns
    -------
    bool
        True for one process per period at most; False where the disk refuses a file.
    """
    folder, number = pool / FOLDER, int(server_time // period_s)
    mark = folder / f"{name}-{number}"
    try:
        folder.mkdir(exist_ok=True)
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError:
        return False
    others = [_number(other, name) for other in folder.glob(f"{name}-*")]
    for other in others:
        if other < number:
            with suppress(OSError):
                (folder / f"{name}-{other}").unlink()
    return all(other <= number for other in others)  # else this process is late: its turn is over


def _number(mark: Path, name: str) -> int:
    found, _, number = mark.name.rpartition("-")
    return int(number) if found == name and number.isdecimal() else -1
