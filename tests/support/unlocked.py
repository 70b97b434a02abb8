"""Workers that notice a lock that does not lock: python -m tests.support.unlocked POOL...

Forks one worker for each path given, all for one pool, as the mounts of a file system show it. As
soon as one of them notices, says what it says, and kills the others. Exit code 1 if one noticed.
"""

import os
import signal
import sys
from pathlib import Path

from jobpool.errors import JobpoolError
from tests.support.drainer import work


def fork_worker(folder: Path) -> int:
    child = os.fork()
    if child == 0:
        code = 2
        try:
            work(folder)
            code = 0
        except JobpoolError as error:
            sys.stdout.write(f"{type(error).__name__}: {error}\n")
            sys.stdout.flush()
            code = 1
        finally:
            os._exit(code)
    return child


def main(folders: list[Path]) -> int:
    running = {fork_worker(folder) for folder in folders}
    worst = 0
    while running:
        child, status = os.wait()
        running.discard(child)
        worst = max(worst, os.waitstatus_to_exitcode(status))
        if worst:
            for other in running:
                os.kill(other, signal.SIGKILL)
    return worst


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
