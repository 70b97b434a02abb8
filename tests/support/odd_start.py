"""A module that does what the environment names when it is imported, as modules should not."""

import os


def interrupts() -> None:
    raise KeyboardInterrupt("no licence")


def closes() -> None:
    os.closerange(3, 70_000)


def forks() -> None:
    os.fork()


{"interrupts": interrupts, "closes": closes, "forks": forks}[os.environ["ODD_START"]]()


def nothing(number: int) -> dict[str, object]:
    return {"value": number}
