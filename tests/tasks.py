"""Functions that test tasks call, in real worker processes."""

import os
import signal
import time


def nothing(**point: object) -> dict[str, object]:
    return {"value": 1}


def number(number: int) -> dict[str, object]:
    return {"value": number * 2}


def fails(number: int) -> dict[str, object]:
    raise ValueError(f"no luck with {number}")


def fails_on_odd(number: int) -> dict[str, object]:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return {"value": number}


def runs_out_of_memory(number: int) -> dict[str, object]:
    raise MemoryError


def kills_itself(number: int) -> dict[str, object]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def sleeps(number: int) -> dict[str, object]:
    time.sleep(600)
    return {}


def naps(number: int) -> dict[str, object]:
    time.sleep(0.2)
    return {"value": number}


def wordy(number: int) -> dict[str, object]:
    return {"text": "x" * 1000}


def huge(number: int) -> dict[str, object]:
    return {"text": "x" * 200_000}


def ignores_term(number: int) -> dict[str, object]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    return {}


def three_axes(site: str, factor: int, seed: int) -> dict[str, object]:
    return {"score": factor * seed, "where": site}
