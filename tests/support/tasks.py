"""Functions that test tasks call, in real worker processes.

`play` is for `tests.support.chaos`: most of its tasks end at once, some misbehave.
"""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


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


def sleeps_once_begun(number: int) -> dict[str, object]:
    Path(os.environ["BEGUN"]).touch()
    time.sleep(600)
    return {}


def naps(number: int) -> dict[str, object]:
    time.sleep(0.2)
    return {"value": number}


def blinks(number: int) -> dict[str, object]:
    time.sleep(0.05)
    return {"value": number}


def rests(number: int) -> dict[str, object]:
    time.sleep(2)
    return {"value": number}


def prints(number: int) -> dict[str, object]:
    sys.stdout.write("a task may say something\n")
    sys.stdout.flush()
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


def fails_with_its_process(number: int) -> dict[str, object]:
    raise ValueError(f"process {os.getpid()}")


def leaves_with_code_3(number: int) -> dict[str, object]:
    os._exit(3)


def hears_usr1(number: int) -> dict[str, object]:
    os.kill(os.getpid(), signal.SIGUSR1)
    return {}


def leaves_processes(number: int) -> dict[str, object]:
    """Start a helper and an orphan in a session of its own; write their numbers, then sleep."""
    helper = subprocess.Popen(["sleep", "600"])
    code = "import os, signal, subprocess\nsignal.signal(15, signal.SIG_IGN)\n"
    code += "print(subprocess.Popen(['sleep', '600'], stdout=2).pid)"
    orphan = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True, check=True
    )
    noted = Path(os.environ["NOTED"])
    new = noted.with_suffix(".new")
    new.write_text(f"{os.getpid()} {helper.pid} {int(orphan.stdout)}")
    new.rename(noted)
    time.sleep(600)
    return {}


def runs_a_large_step(number: int) -> dict[str, object]:
    code = f"x = bytearray({300 << 20})"
    subprocess.run(["srun", "--mem=60", sys.executable, "-c", code], check=True)
    return {"value": number}


def holds_memory(number: int) -> dict[str, object]:
    block = b"x" * 100_000_000
    time.sleep(0.5)  # long enough to be seen
    return {"size": len(block)}


def meets_a_bad_disk(number: int) -> dict[str, object]:
    code = getattr(errno, os.environ["ERRNO"])
    raise OSError(code, os.strerror(code))


def fills_a_device(number: int) -> dict[str, object]:
    try:
        Path("/dev/full").write_text("x")
    except OSError as error:
        raise RuntimeError("could not save") from error
    return {}


def scored(number: int) -> dict[str, float]:
    """Return numbers, one of which is called as a column of long tables."""
    return {"score": number / 2, "letters": 3}


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
