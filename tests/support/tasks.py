"""Functions that test tasks call, in real worker processes."""

import errno
import os
import signal
import subprocess
import sys
import time
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


def naps(number: int) -> dict[str, object]:
    time.sleep(0.2)
    return {"value": number}


def rests(number: int) -> dict[str, object]:
    time.sleep(2)
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
