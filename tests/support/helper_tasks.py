"""Test tasks that need joblib, which is slow to import."""

import os
import signal
import time

from jobpool.learning.parallel import in_processes


def loses_a_helper(number: int) -> dict[str, object]:
    list(in_processes(_is_killed, [0, 1], cores=2))
    return {}


def _is_killed(number: int) -> None:
    time.sleep(0.5)  # long enough to be seen
    os.kill(os.getpid(), signal.SIGKILL)
