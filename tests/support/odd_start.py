"""A module that does what the environment names when it is imported, as modules should not."""

import os


def interrupts() -> None:
    raise KeyboardInterrupt("no licence")


def closes() -> None:
    os.closerange(3, 70_000)


def forks() -> None:
    os.fork()


def nothing(number: int = 0) -> dict[str, object]:
    return {"value": number}


match os.environ.get("ODD_START"):
    case "interrupts":
        interrupts()
    case "closes":
        closes()
    case "forks":
        forks()
