"""The report of a finished study: seconds of each step, memory, and bytes of the file.

    python -m benchmarks.report [--tasks 148500] [--pool FOLDER] [--keep report.html]

Makes the pool of `benchmarks.finished` in a temporary folder, unless one is given. Reading it has
been measured by itself if its step says "collecting results": the report's own share is the rest.
"""

import argparse
import resource
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import machine, say, table
from benchmarks.finished import finish, lay_out
from jobpool.pool import Pool
from jobpool.report.making import ReportRequest, report_of_pool
from jobpool.report.writing import html_of
from jobpool.runners import make_results

_COLLECTING = "collecting results"


class Stopwatch:
    """Notes when each step began."""

    def __init__(self) -> None:
        self.began: list[tuple[str, float]] = []

    def __call__(self, step: str) -> None:
        self.began.append((step, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Return how long each step took; the last one only marks the end."""
        ends = [moment for _, moment in self.began[1:]]
        return {step: end - start for (step, start), end in zip(self.began[:-1], ends, strict=True)}


def measure(folder: Path) -> tuple[dict[str, float], bytes]:
    """Return the seconds of each step, and the file."""
    watch = Stopwatch()
    watch("opening")
    pool = Pool(folder)
    results = make_results(pool.info.runner)
    request = ReportRequest(now=time.time(), version="benchmark", metrics={})
    made = report_of_pool(pool, results, None, request, watch)
    watch("writing")
    page = html_of(made.report)
    watch("end")
    return watch.seconds(), page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=148_500)
    parser.add_argument("--pool", type=Path, help="a pool that benchmarks.finished made")
    parser.add_argument("--keep", type=Path, help="write the report here")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = given.pool
        if folder is None:
            say("making the pool ...")
            top = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder = lay_out(top, given.tasks, 0.0)
            finish(folder)
        seconds, page = measure(folder)
    if given.keep:
        given.keep.write_bytes(page)
    own = sum(seconds.values()) - seconds[_COLLECTING]
    rows = [(step, f"{value:.1f}") for step, value in seconds.items()]
    print(machine())
    print(table(["step", "seconds"], [*rows, ("all but collecting", f"{own:.1f}")]))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(page) / 1e6:.2f} MB, peak memory {memory_mb:,.0f} MB")


if __name__ == "__main__":
    main()
