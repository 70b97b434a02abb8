"""The tasks that the benchmarks run."""

import time


def nothing(**point: object) -> int:  # noqa: ARG001 - tasks get their point
    return 1


def nap(number: int, ms: float) -> float:  # noqa: ARG001 - makes tasks differ
    time.sleep(ms / 1000)
    return ms
