"""One of the two processes that probe a file system: python -m jobpool.checks.probes.partner.

    python -m jobpool.checks.probes.partner FOLDER NUMBER

Started by ``jobpool doctor`` on this host, or by the scheduler on two nodes with NUMBER 0 and 1.
"""

import socket
import sys
from pathlib import Path

from jobpool.checks.probes.run import run_side
from jobpool.errors import JobpoolError
from jobpool.scheduler.detect import find_scheduler


def main(folder: str, number: str) -> int:
    """Run one side; return the exit code."""
    try:
        job = find_scheduler().own_job()
        host = (job.node if job else None) or socket.gethostname()
        run_side(Path(folder), int(number), host)
    except JobpoolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
