"""Processes that tests start: wait for what they do, and for their end."""

import time
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess


def wait_until(happened: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def exit_codes(processes: Iterable[BaseProcess]) -> list[int | None]:
    """Return the exit code of each once it ended; None where it has not after a minute."""
    codes = []
    for one in processes:
        one.join(60)
        codes.append(one.exitcode)
    return codes
