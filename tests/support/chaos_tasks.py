"""What the tasks of `tests.support.chaos` do: most end at once, some misbehave."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def _nothing(number: int) -> None:
    pass


def _nap(number: int) -> None:
    time.sleep(0.05)


def _allocate(number: int) -> None:
    block = bytearray(60_000_000)
    block[::4096] = b"x" * len(block[::4096])


def _ignore_term(number: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(0.5)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int) -> None:
    """Leave a helper in the own group, and one in a session of its own that ignores TERM."""
    subprocess.Popen(["sleep", "600"])
    orphan = ["sh", "-c", "trap '' TERM; sleep 600 &"]  # the shell ends at once
    subprocess.run(orphan, start_new_session=True, check=True)


def _leave_and_fail_once(number: int) -> None:
    _leave(number)
    _fail_once(number)


def _fail(number: int) -> None:
    raise ValueError(f"no luck with {number}")


def _fail_once(number: int) -> None:
    if is_first(number):
        raise OSError(f"not yet {number}")


def _end_once(number: int) -> None:
    if is_first(number):
        os.kill(os.getpid(), signal.SIGKILL)


# of 1,000 tasks so many do this; the others return at once
SHARES: Mapping[Callable[[int], None], int] = {
    _fail: 10,
    _fail_once: 20,
    _end_once: 4,
    _leave: 8,
    _leave_and_fail_once: 4,
    _ignore_term: 8,
    _allocate: 10,
    _nap: 60,
}
ROLES = tuple(role for role, share in SHARES.items() for _ in range(share))


def role_of(number: int) -> Callable[[int], None]:
    place = number * 617 % 1000  # a few hundred numbers have some of each role
    return ROLES[place] if place < len(ROLES) else _nothing


def is_poison(number: int) -> bool:
    """Say whether a task can never be done."""
    return role_of(number) is _fail


def is_first(number: int) -> bool:
    """Say, once for each task in the whole pool, that this is its first attempt."""
    try:
        (Path(os.environ["CHAOS"]) / str(number)).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def play(number: int) -> dict[str, object]:
    role_of(number)(number)
    return {"value": number}
